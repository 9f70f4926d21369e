"""Reads a device's certificate as AWS IoT does."""

import hashlib
import re
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from simulation.faults import ServiceError

_FIRST_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----.*?-----END [A-Z0-9 ]*CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A device's certificate, and what AWS reads in it; a storm's may have any id and PEM."""

    certificate_id: str
    pem: str
    ca_certificate_id: str | None  # the CA that signed it; None if that CA is not registered
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate, *, ca_certificate_id: str | None) -> Self:
        return cls(
            certificate_id=fingerprint(certificate),
            pem=certificate.public_bytes(Encoding.PEM).decode(),
            ca_certificate_id=ca_certificate_id,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    @classmethod
    def read(cls, certificate: Certificate, *, ca_certificate_id: str | None) -> Self:
        """A leaf from a certificate that cryptography may refuse."""
        return cls(
            certificate_id=certificate.fingerprint,
            pem=ssl.DER_cert_to_PEM_cert(certificate.der),
            ca_certificate_id=ca_certificate_id,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
        )

    def is_valid_at(self, moment: datetime) -> bool:
        return self.not_before <= moment.replace(microsecond=0) <= self.not_after


@lru_cache(maxsize=10_000)
def parse(certificate: str | bytes) -> Certificate:
    """A certificate from PEM or DER.

    AWS's parser is not documented. It is known to accept certificates that cryptography refuses, so this one accepts
    what either of jitr's readers does.

    Raises ServiceError, as the registering APIs do.
    """
    text = certificate if isinstance(certificate, str) else certificate.decode("latin-1")
    block = _FIRST_BLOCK.search(text)
    try:
        if block:
            return Certificate.from_pem(block[0])
        return Certificate.from_der(text.encode("latin-1"))
    except (Rejected, UnicodeEncodeError) as error:
        raise ServiceError("CertificateValidationException", "The certificate could not be parsed") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, which is what AWS uses as certificateId, for devices and CAs (aws-facts §4)."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
