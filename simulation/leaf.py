"""A device's certificate as AWS IoT sees it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from simulation.faults import ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A device's certificate, and what AWS reads in it; for a storm, make it with any id and PEM."""

    certificate_id: str
    pem: str
    ca_certificate_id: str | None  # the CA that signed it; None when that is not known here
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

    def is_valid_at(self, moment: datetime) -> bool:
        return self.not_before <= moment.replace(microsecond=0) <= self.not_after


@lru_cache(maxsize=10_000)
def parse(certificate: str | bytes) -> x509.Certificate:
    """A certificate from PEM or DER.

    Raises ServiceError, as the registering APIs do.
    """
    encoded = certificate.encode() if isinstance(certificate, str) else certificate
    try:
        if encoded.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(encoded)
        return x509.load_der_x509_certificate(encoded)
    except ValueError as error:
        raise ServiceError("CertificateValidationException", "The certificate could not be parsed") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, which is what AWS uses as certificateId, for devices and CAs (aws-facts §4)."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
