"""A device or CA certificate as a value: what it says of itself, read once, without judging it.

X.509 is read by cryptography, which parses lazily: damage shows when a field is first touched. Here every field that
jitr uses is touched once, inside one place that turns whatever comes out of the library into Rejected(UNREADABLE).

Version 1 certificates are real devices: `openssl x509 -req` without extensions makes them, in AWS's own walk-throughs
too. cryptography's path verifier refuses every one, so issuance is verified directly.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from jitr.damage import Damaged, quietly
from jitr.errors import Reason, Rejected
from jitr.extensions import Extensions
from jitr.value import value

_Read = TypeVar("_Read")

_BLOCK = re.compile(r"-----BEGIN (?P<label>[^-]*)")
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")

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
# What policies can name besides (developer guide, "X.509 certificate policy variables"), and templates cannot.
_POLICY_FIELDS = {
    "title": NameOID.TITLE,
    "surname": NameOID.SURNAME,
    "given_name": NameOID.GIVEN_NAME,
    "initials": NameOID.INITIALS,
    "pseudonym": NameOID.PSEUDONYM,
    "generation_qualifier": NameOID.GENERATION_QUALIFIER,
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
        return f"{self.algorithm} {self.curve or self.bits or ''}".rstrip()


@value
class SignatureFacts:
    """How the certificate was signed: the algorithm's name, and every hash in it, the mask's of RSASSA-PSS too."""

    algorithm: str  # the name of its OID, or the OID
    hashes: tuple[str, ...]  # lower-case names; none for an algorithm that cryptography does not know


class Reader(StrEnum):
    """What read a certificate."""

    LIBRARY = "library"  # cryptography
    SECOND = "second"  # jitr's own, for what the library refuses


@value
class Certificate:
    """One X.509 certificate, every field read; made by `from_pem` and `from_der` only."""

    der: bytes
    reader: Reader

    parsed: x509.Certificate
    fingerprint: str  # lower-case hex SHA-256 of the DER; in practice AWS IoT's certificateId
    serial: str  # lower-case hex, no prefix; a minus sign before a negative one
    subject: str  # RFC 4514
    issuer: str  # RFC 4514
    not_before: datetime
    not_after: datetime
    public_key: CertificatePublicKeyTypes
    key: KeyFacts
    signature: SignatureFacts
    extensions: Extensions
    subject_fields: Mapping[str, tuple[str, ...]]  # field name → its values, in the certificate's order

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """Read the certificate in a PEM text.

        Raises Rejected(UNREADABLE) when the text does not hold exactly one certificate, or the certificate is damaged.
        """
        labels = _BLOCK.findall(pem)
        if len(labels) != 1:
            raise Rejected(Reason.UNREADABLE, f"it is PEM of {len(labels) or 'no'} blocks, and not of one certificate")
        if labels[0] not in _LABELS:
            raise Rejected(Reason.UNREADABLE, "it is PEM of something else than a certificate")
        return _reading(lambda: cls._read(x509.load_pem_x509_certificate(pem.encode())))

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Read the certificate in DER.

        Raises Rejected(UNREADABLE).
        """
        return _reading(lambda: cls._read(x509.load_der_x509_certificate(der)))

    @classmethod
    def _read(cls, certificate: x509.Certificate) -> Self:
        _refuse_loose_end(certificate)
        subject = certificate.subject
        fields = {
            name: tuple(_as_text(attribute) for attribute in subject.get_attributes_for_oid(oid))
            for name, oid in (_SUBJECT_FIELDS | _POLICY_FIELDS).items()
        }
        key = certificate.public_key()
        return cls(
            der=certificate.public_bytes(Encoding.DER),
            reader=Reader.LIBRARY,
            parsed=certificate,
            fingerprint=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
            serial=f"{certificate.serial_number:x}",
            subject=subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            public_key=key,
            key=_key_facts(key),
            signature=_signature_facts(certificate),
            extensions=_extensions(certificate),
            subject_fields=fields,
        )

    def field_values(self, name: str) -> tuple[str, ...]:
        """The values of a template field (rules.TEMPLATE_FIELDS), none, one or many."""
        match name:
            case "certificate_serial":
                return (self.serial,)
            case "certificate_id":
                return (self.fingerprint,)
            case "san_uri":
                return self.extensions.alternative_uris
            case "subject_key_identifier":
                return self.extensions.subject_key_identifier
            case "san_dns":
                return self.extensions.alternative_dns_names
        return self.subject_fields[name]

    def policy_values(self) -> Mapping[str, tuple[str, ...]]:
        """What an IoT policy's variables can be filled with: field name → values."""
        return {
            **self.subject_fields,
            "alternative names": (
                *self.extensions.alternative_uris,
                *self.extensions.alternative_dns_names,
                *self.extensions.other_alternative_names,
            ),
        }

    def is_ca(self) -> bool:
        """Whether basicConstraints says CA:TRUE (RFC 5280 §4.2.1.9); a v1 certificate cannot say so."""
        return self.extensions.is_ca is True

    def is_issued_by(self, ca: "Certificate") -> bool:
        """Whether the names chain and the CA's key made the signature (RFC 5280 §6.1.3 (a)(1) and (a)(4))."""
        try:
            quietly(lambda: self.parsed.verify_directly_issued_by(ca.parsed))
        except Damaged:
            return False
        return True


def _refuse_loose_end(certificate: x509.Certificate) -> None:
    """A signature is whole bytes, so that it has one form in DER, and the certificate one fingerprint.

    cryptography does not look at how many bits of the last byte are unused (X.690 §8.6.2.2).

    Raises Rejected(UNREADABLE).
    """
    if not certificate.public_bytes(Encoding.DER).endswith(b"\0" + certificate.signature):
        raise Rejected(Reason.UNREADABLE, "its signature is no whole number of bytes")


def _reading(read: Callable[[], _Read]) -> _Read:
    try:
        return quietly(read)
    except Damaged as error:
        raise Rejected(Reason.UNREADABLE, f"not a certificate that X.509 allows: {error}") from error


def _key_facts(key: CertificatePublicKeyTypes) -> KeyFacts:
    if isinstance(key, rsa.RSAPublicKey):
        return KeyFacts("RSA", key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyFacts("EC", key.key_size, _CURVES.get(key.curve.name, key.curve.name))
    return KeyFacts(type(key).__name__.removesuffix("PublicKey").removeprefix("_"), getattr(key, "key_size", 0))


def _signature_facts(certificate: x509.Certificate) -> SignatureFacts:
    oid = certificate.signature_algorithm_oid
    name = oid.dotted_string if oid._name == "Unknown OID" else oid._name  # noqa: SLF001 -- it has no other name
    try:
        hashed = certificate.signature_hash_algorithm
        # Those of other algorithms say nothing more, and reading ECDSA's loads another part of the library.
        parameters = certificate.signature_algorithm_parameters if oid == SignatureAlgorithmOID.RSASSA_PSS else None
    except UnsupportedAlgorithm:
        return SignatureFacts(algorithm=name, hashes=())
    hashes = [hashed.name] if hashed else []
    if isinstance(parameters, padding.PSS):
        hashes.append(parameters.mgf._algorithm.name)  # noqa: SLF001 -- it is told nowhere else
    return SignatureFacts(algorithm=name, hashes=tuple(hashes))


def _extensions(certificate: x509.Certificate) -> Extensions:
    """Damaged extensions are told as such: a certificate can be judged without them, where its rules say so."""
    try:
        return quietly(lambda: Extensions.of(certificate))
    except Damaged as error:
        return Extensions(problem=str(error))


def _as_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value.decode("latin-1") if isinstance(value, bytes) else value
