"""A device or CA certificate as a value: what it says of itself, read once, without judging it.

X.509 is read by pyca/cryptography, which parses lazily and raises five kinds of error for a damaged certificate, some
only when a field is touched. Here every field that jitr uses is touched once, inside one place that turns all of
them into Rejected(UNREADABLE).

Version 1 certificates are real devices: `openssl x509 -req` without extensions makes them, in AWS's own walk-throughs
too. pyca's path verifier refuses every one, so issuance is verified directly.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jitr.errors import Reason, Rejected

# What pyca raises for damaged input, measured over mutated certificates. InvalidVersion is not in x509's stubs' tree of
# ValueError, the others come from parsing fields on first use.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    InvalidSignature,
    OverflowError,
)

_SUBJECT_FIELDS = {
    "common_name": NameOID.COMMON_NAME,
    "serial_number": NameOID.SERIAL_NUMBER,
    "country": NameOID.COUNTRY_NAME,
    "state": NameOID.STATE_OR_PROVINCE_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "dn_qualifier": NameOID.DN_QUALIFIER,
}

# RFC 5480 names in the form that fleet.toml and NIST use.
_CURVES = {
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "secp192r1": "P-192",
    "secp224r1": "P-224",
}


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The public key's kind: `RSA` with its modulus in bits, `EC` with its curve's name, or another's name."""

    algorithm: str
    bits: int
    curve: str | None = None

    def __str__(self) -> str:
        return f"{self.algorithm} {self.curve or self.bits}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One X.509 certificate, every field read; made by `from_pem` only."""

    parsed: x509.Certificate
    fingerprint: str  # lower-case hex SHA-256 of the DER; in practice AWS IoT's certificateId
    serial: str  # lower-case hex, no prefix
    subject: str  # RFC 4514
    issuer: str  # RFC 4514
    not_before: datetime
    not_after: datetime
    key: KeyFacts
    subject_fields: Mapping[str, tuple[str, ...]]  # template field name → its values, in the certificate's order

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """Read the certificate in a PEM text.

        Raises Rejected(UNREADABLE) when the text does not hold exactly one certificate, or the certificate is damaged.
        """
        try:
            certificates = x509.load_pem_x509_certificates(pem.encode())
            if len(certificates) != 1:
                raise Rejected(Reason.UNREADABLE, f"the PEM holds {len(certificates)} certificates, not one")
            return cls._read(certificates[0])
        except UNREADABLE as error:
            raise Rejected(Reason.UNREADABLE, f"not a certificate that X.509 allows: {_first_line(error)}") from error

    @classmethod
    def _read(cls, certificate: x509.Certificate) -> Self:
        subject = certificate.subject
        fields = {
            name: tuple(_as_text(attribute) for attribute in subject.get_attributes_for_oid(oid))
            for name, oid in _SUBJECT_FIELDS.items()
        }
        return cls(
            parsed=certificate,
            fingerprint=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
            serial=f"{certificate.serial_number:x}",
            subject=subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key=_key_facts(certificate),
            subject_fields=fields,
        )

    def field_values(self, name: str) -> tuple[str, ...]:
        """The values of a template field (rules.TEMPLATE_FIELDS), none, one or many."""
        if name == "certificate_serial":
            return (self.serial,)
        if name == "certificate_id":
            return (self.fingerprint,)
        return self.subject_fields[name]

    def is_ca(self) -> bool:
        """Whether basicConstraints says CA:TRUE (RFC 5280 §4.2.1.9); a v1 certificate cannot say so."""
        try:
            return self.parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, x509.DuplicateExtension, *UNREADABLE):
            return False

    def is_issued_by(self, ca: "Certificate") -> bool:
        """Whether the names chain and the CA's key made the signature (RFC 5280 §6.1.3 (a)(1) and (a)(4))."""
        try:
            self.parsed.verify_directly_issued_by(ca.parsed)
        except UNREADABLE:
            return False
        return True


def _key_facts(certificate: x509.Certificate) -> KeyFacts:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return KeyFacts("RSA", key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyFacts("EC", key.key_size, _CURVES.get(key.curve.name, key.curve.name))
    return KeyFacts(type(key).__name__.removesuffix("PublicKey").removeprefix("_"), getattr(key, "key_size", 0))


def _as_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
