"""The fields of a certificate's signed part, as the value that both readers make."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from jitr.frozen import value
from jitr.x509.extensions import Extensions

# Fields of the subject that templates can use.
_TEMPLATE_FIELDS = {
    "common_name": NameOID.COMMON_NAME,
    "serial_number": NameOID.SERIAL_NUMBER,
    "country": NameOID.COUNTRY_NAME,
    "state": NameOID.STATE_OR_PROVINCE_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "dn_qualifier": NameOID.DN_QUALIFIER,
}
# Fields that only policies can use (developer guide, "X.509 certificate policy variables").
_POLICY_FIELDS = {
    "title": NameOID.TITLE,
    "surname": NameOID.SURNAME,
    "given_name": NameOID.GIVEN_NAME,
    "initials": NameOID.INITIALS,
    "pseudonym": NameOID.PSEUDONYM,
    "generation_qualifier": NameOID.GENERATION_QUALIFIER,
}
SUBJECT_FIELDS = _TEMPLATE_FIELDS | _POLICY_FIELDS


@value
class Contents:
    """The fields of the signed part that the readers decode; encoding.py has the others."""

    subject: str  # RFC 4514
    issuer: str  # RFC 4514
    not_before: datetime
    not_after: datetime
    public_key: CertificatePublicKeyTypes
    extensions: Extensions
    subject_fields: Mapping[str, tuple[str, ...]]  # field name → its values, in the certificate's order


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The public key's kind: `RSA` with its modulus in bits, `EC` with its curve's name, or another's name."""

    algorithm: str
    bits: int
    curve: str | None = None

    def __str__(self) -> str:
        return f"{self.algorithm} {self.curve or self.bits or ''}".rstrip()
