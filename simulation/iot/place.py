"""What all parts of AWS IoT share: where they are, what nobody knows, and a device's certificate as they see it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from simulation.clock import Clock
from simulation.faults import ServiceError


@dataclass(slots=True, kw_only=True)
class Undocumented:
    """Where nobody outside AWS knows, or AWS gives no figure; each default is the harder case for us."""

    # Facts §5: not confirmed that UpdateCertificate refuses REVOKED → ACTIVE.
    revoked_may_become_active: bool = True
    # Facts §11 h: whether an expired leaf is registered at its first CONNECT, or refused.
    registers_outside_validity: bool = True
    # DetachThingPrincipal "takes several seconds to propagate" (facts §2.1).
    detach_seconds: float = 5.0


@dataclass(slots=True)
class Place:
    """One account in one Region."""

    account_id: str
    region: str
    clock: Clock
    undocumented: Undocumented
    # CAs registered in DEFAULT mode in this Region → the account that did: there is at most one (facts §4.2).
    default_cas: dict[str, str]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


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
    """SHA-256 of the DER, which is what AWS uses as certificateId, for devices and CAs (facts §7)."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def missing(what: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"{what} does not exist")


def invalid(why: str) -> ServiceError:
    return ServiceError("InvalidRequestException", why)


_MOST_PER_PAGE, _DEFAULT_PER_PAGE = 250, 25  # facts §2.2


def page(everything: Sequence[Any], params: dict[str, Any], *, size: str, token: str) -> tuple[list[Any], str | None]:
    """One page of a list, and the next page's token; the token is a position, so nothing may be deleted between."""
    wanted = page_size(params, size)
    start = int(params.get(token) or 0)
    end = start + wanted
    return list(everything[start:end]), str(end) if end < len(everything) else None


def page_size(params: dict[str, Any], name: str) -> int:
    wanted = int(params.get(name, _DEFAULT_PER_PAGE))
    if not 1 <= wanted <= _MOST_PER_PAGE:
        raise invalid(f"{name} must be between 1 and {_MOST_PER_PAGE}")
    return wanted
