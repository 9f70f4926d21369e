"""Reads the DER of the one certificate in a PEM text (RFC 7468).

Text before and after the block is ignored, and so are header lines inside it (RFC 1421, as `Comment: …`), which old
and some current tools write. An encrypted block gets a message of its own.
"""

import binascii
import re

from jitr.errors import Reason, Rejected

LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
_BLOCK = re.compile(r"-----BEGIN ([^-]*)")
_LINE_END = re.compile(r"\r\n|\r|\n")
_ENCRYPTED = re.compile(r"Proc-Type:\s*4\s*,\s*ENCRYPTED", re.IGNORECASE)


class Encrypted(ValueError):
    """The block is encrypted."""


def decode(pem: str) -> bytes:
    """The DER in a PEM text.

    Raises Rejected(UNREADABLE) when the text does not hold exactly one certificate, or it is not base64.
    """
    labels = _BLOCK.findall(pem)
    if len(labels) != 1:
        raise Rejected(Reason.UNREADABLE, f"its PEM has {len(labels) or 'no'} blocks, not one certificate")
    if labels[0] not in LABELS:
        raise Rejected(Reason.UNREADABLE, "its PEM block is not a certificate")
    match = re.search(r"-----BEGIN ([^-]*)-----(.*?)-----END \1-----", pem, re.DOTALL)
    if match is None:
        raise Rejected(Reason.UNREADABLE, "its PEM has no END line")
    try:
        pem.encode()  # refuses lone surrogates, also outside the block
        body = without_headers(match[2])
        return binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except Encrypted as error:
        raise Rejected(Reason.UNREADABLE, "its PEM is encrypted") from error
    except ValueError as error:
        raise Rejected(Reason.UNREADABLE, "its PEM is not base64 in ASCII") from error


def without_headers(body: str) -> str:
    """The text between BEGIN and END without header lines, which have a colon; base64 has none.

    Raises Encrypted.
    """
    if ":" not in body:
        return body
    if _ENCRYPTED.search(body):
        raise Encrypted
    lines = [line.strip() for line in _LINE_END.split(body)]
    last = max(number for number, line in enumerate(lines) if ":" in line)
    # A header may continue in lines without a colon; an empty line ends the headers.
    ends = next((number for number, line in enumerate(lines[last:], last) if not line), last)
    rest = lines[ends + 1 :]
    return "\n".join(rest if any(rest) else lines[last + 1 :])
