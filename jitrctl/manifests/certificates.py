"""Reads the certificate of one row, as PEM or DER, and gives its id and its subject's common name."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr.x509.pem import LABELS, Encrypted, without_headers
from jitrctl.manifests.rows import BadRow, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.manifests.rows import Origin

LONGEST_PEM = 65_536  # characters; RegisterCertificate certificatePem
_BLOCK = re.compile(r"-----BEGIN ([^-\r\n]{1,64})-----([^-]*)-----END \1-----")


class IsCa(BadRow):
    """The certificate is a CA's."""


def row_of(
    origin: Origin,
    der: bytes,
    *,
    name: str | None = None,
    cells: Mapping[str, str] | None = None,
    chooses_subject: bool = False,
) -> Row:
    """The row of a device's certificate; without a name from its list, its name is the subject's common name.

    Raises BadRow, saying what is wrong with the certificate; IsCa.
    """
    certificate = read_device(der)
    names = certificate.subject_fields["common_name"]
    return Row(
        origin=origin,
        certificate_id=certificate.fingerprint,
        certificate=der,
        name=name if name is not None else names[0] if len(names) == 1 else "",
        cells=cells or {},
        chooses_subject=chooses_subject,
    )


def read_device(der: bytes) -> Certificate:
    """A device's certificate, as AWS IoT and the functions read it.

    Raises BadRow, saying what is wrong; IsCa.
    """
    try:
        certificate = Certificate.from_der(der)
    except Rejected as error:
        raise BadRow(error.detail) from error
    if certificate.is_ca():
        raise IsCa("is a CA's certificate, not a device's")
    return certificate


def first_in(pem: str) -> bytes:
    """The DER of the first certificate in a PEM text; in a chain it is the device's (RFC 8446 §4.4.2).

    Line ends may be written as backslash n, or be missing: makers' CSV has both.

    Raises BadRow when the text holds anything but certificates.
    """
    if len(pem) > LONGEST_PEM:
        raise BadRow(f"its certificate has {len(pem):,} characters; AWS IoT accepts {LONGEST_PEM:,}")
    text = pem.replace("\\r", "").replace("\\n", "\n")
    blocks = _BLOCK.findall(text)
    if not blocks or text.count("-----BEGIN ") != len(blocks):
        raise BadRow("its certificate is not PEM: -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
    if any(label not in LABELS for label, _ in blocks):
        raise BadRow("its PEM holds other things than certificates")
    return decode_body(blocks[0][1])


def decode_body(body: str) -> bytes:
    """The DER in a PEM block, between its first and last line.

    Raises BadRow.
    """
    try:
        return binascii.a2b_base64("".join(without_headers(body).split()), strict_mode=True)
    except Encrypted as error:
        raise BadRow("its PEM is encrypted") from error
    except ValueError as error:  # also binascii.Error, and text that is not ASCII
        raise BadRow("its PEM is not base64") from error
