"""PEM (RFC 7468): the DER of the one certificate in a text.

Text before and behind the block is passed over, and so are header lines inside it (RFC 1421, as `Comment: …`), which
tools of the nineties and some of today's write. What is encrypted is called so.
"""

import binascii
import re

from jitr.errors import Reason, Rejected

LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
_BLOCK = re.compile(r"-----BEGIN ([^-]*)")
_LINE_END = re.compile(r"\r\n|\r|\n")
_ENCRYPTED = re.compile(r"Proc-Type:\s*4\s*,\s*ENCRYPTED", re.IGNORECASE)


class Encrypted(ValueError):
    """What is in the block is encrypted."""


def decode(pem: str) -> bytes:
    """The DER in a PEM text.

    Raises Rejected(UNREADABLE) when the text does not hold exactly one certificate, or it is not base64.
    """
    labels = _BLOCK.findall(pem)
    if len(labels) != 1:
        raise Rejected(Reason.UNREADABLE, f"it is PEM of {len(labels) or 'no'} blocks, and not of one certificate")
    if labels[0] not in LABELS:
        raise Rejected(Reason.UNREADABLE, "it is PEM of something else than a certificate")
    match = re.search(r"-----BEGIN ([^-]*)-----(.*?)-----END \1-----", pem, re.DOTALL)
    if match is None:
        raise Rejected(Reason.UNREADABLE, "its PEM has no end")
    try:
        pem.encode()  # what no encoding has is in no PEM, around the block neither
        body = without_headers(match[2])
        return binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except Encrypted as error:
        raise Rejected(Reason.UNREADABLE, "its PEM is encrypted") from error
    except ValueError as error:
        raise Rejected(Reason.UNREADABLE, "its PEM is not base64 in ASCII") from error


def without_headers(body: str) -> str:
    """What is between BEGIN and END, without header lines; base64 has no colon.

    Raises Encrypted.
    """
    if ":" not in body:
        return body
    if _ENCRYPTED.search(body):
        raise Encrypted
    lines = [line.strip() for line in _LINE_END.split(body)]
    last = max(number for number, line in enumerate(lines) if ":" in line)
    # A header may go on in lines without a colon; an empty line ends them all.
    ends = next((number for number, line in enumerate(lines[last:], last) if not line), last)
    rest = lines[ends + 1 :]
    return "\n".join(rest if any(rest) else lines[last + 1 :])
