"""Makes a device maker's CA that signs quickly: all its devices share one key, which the simulation never uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from simulation.clock import START
from simulation.leaf import Leaf, fingerprint

_device_key = ec.generate_private_key(ec.SECP256R1()).public_key()
_YEARS = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """One CA, valid for ten years before and after the clock's start."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str) -> Self:
        return cls._of(_name(name), ec.generate_private_key(ec.SECP256R1()))

    def renew(self) -> Self:
        """Issue the CA another certificate, with the same name and key."""
        return self._of(self.certificate.subject, self.key)

    @classmethod
    def _of(cls, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> Self:
        builder = _builder(subject, subject, key.public_key(), START - _YEARS, START + _YEARS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(certificate=builder.sign(key, hashes.SHA256()), key=key)

    @cached_property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @cached_property
    def certificate_id(self) -> str:
        return fingerprint(self.certificate)

    def issue(
        self,
        common_name: str,
        *,
        not_before: datetime = START - timedelta(days=1),
        not_after: datetime = START + timedelta(days=365),
        subject: Sequence[x509.NameAttribute[str]] = (),
    ) -> Leaf:
        """A device's certificate, a new one at every call; `subject` is what it has besides the common name."""
        name = x509.Name([*_name(common_name), *subject])
        builder = _builder(name, self.certificate.subject, _device_key, not_before, not_after)
        return Leaf.of(builder.sign(self.key, hashes.SHA256()), ca_certificate_id=self.certificate_id)

    def verification(self, registration_code: str) -> str:
        """The verification certificate that DEFAULT mode requires (aws-facts §3); PEM."""
        return self.issue(registration_code).pem


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
