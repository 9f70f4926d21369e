"""A device or CA certificate as a value; every field is read once, and nothing is decided on it.

Outside the signed part, only DER is accepted (encoding.py). The signed part is read by cryptography
(library_reader.py), and what that refuses by jitr's own reader (second_reader.py): the CA's signature and the fleet's
rules protect the fleet, not a parser's view of string types. Both readers make the same value.

Version 1 certificates are valid devices: `openssl x509 -req` without extensions makes them, also in AWS's tutorials.
cryptography's path verifier refuses all of them, so the signature is verified directly, over the bytes of the signed
part.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.x509 import library_reader
from jitr.x509.contents import Contents, KeyFacts
from jitr.x509.der import OID, element, elements
from jitr.x509.encoding import Encoded
from jitr.x509.extensions import Extensions
from jitr.x509.parsing import Damaged
from jitr.x509.pem import decode
from jitr.x509.signatures import SignatureFacts, is_signed_by, signature_facts

_LONGEST_NAME = 8192  # characters that are kept
_HEX_PAIRS = re.compile("..")

# RFC 5480's names of curves → the names in fleet.toml, which are NIST's.
_CURVES = {
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "secp192r1": "P-192",
    "secp224r1": "P-224",
}


class Reader(StrEnum):
    """The reader of a certificate."""

    LIBRARY = "library"  # cryptography
    SECOND = "second"  # jitr's own, for what cryptography refuses


@value
class Certificate:
    """One X.509 certificate; made by `from_pem` and `from_der` only."""

    encoded: Encoded
    reader: Reader
    fingerprint: str  # lower-case hex SHA-256 of the DER; in practice equal to AWS IoT's certificateId
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

        Raises Rejected: UNREADABLE when the text does not hold exactly one certificate, or it cannot be read;
        ENCODING_REFUSED when it is not DER outside the signed part.
        """
        return cls.from_der(decode(pem))

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Read the certificate in DER.

        Raises Rejected (UNREADABLE, ENCODING_REFUSED).
        """
        try:
            encoded = Encoded.of(der)
            try:
                return cls._of(encoded, Reader.LIBRARY, library_reader.read(encoded))
            except Damaged:
                # Imported here, since an ordinary activation does not need it.
                from jitr.x509 import second_reader  # noqa: PLC0415

                return cls._of(encoded, Reader.SECOND, second_reader.read(encoded))
        except Damaged as error:
            raise Rejected(Reason.UNREADABLE, f"the certificate cannot be read: {error}") from error

    @classmethod
    def _of(cls, encoded: Encoded, reader: Reader, contents: Contents) -> Self:
        return cls(
            encoded=encoded,
            reader=reader,
            fingerprint=hashlib.sha256(encoded.der).hexdigest(),
            serial=f"{encoded.serial:x}",
            subject=_in_one_line(contents.subject),
            issuer=_in_one_line(contents.issuer),
            not_before=contents.not_before,
            not_after=contents.not_after,
            public_key=contents.public_key,
            key=_key_facts(contents.public_key, encoded.public_key),
            signature=signature_facts(encoded.algorithm_in_der),
            extensions=contents.extensions,
            subject_fields=contents.subject_fields,
        )

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.encoded.der

    def field_values(self, name: str) -> tuple[str, ...]:
        """All values of a template field (rules.TEMPLATE_FIELDS)."""
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
        """Everything that can fill an IoT policy's variables: field name → values."""
        return {
            **self.subject_fields,
            "alternative names": (
                *self.extensions.alternative_uris,
                *self.extensions.alternative_dns_names,
                *self.extensions.other_alternative_names,
            ),
        }

    def is_ca(self) -> bool:
        """Whether basicConstraints says CA:TRUE (RFC 5280 §4.2.1.9); False for a version 1 certificate."""
        return self.extensions.is_ca is True

    def is_issued_by(self, ca: "Certificate") -> bool:
        """Whether it names this CA as its issuer and the CA's key signed it (RFC 5280 §6.1.3 (a)(1) and (a)(4))."""
        return self.names_as_issuer(ca) and self.is_signed_by(ca)

    def is_signed_by(self, ca: "Certificate") -> bool:
        """Whether the CA's key made the signature, with any hash; the issuer's name is not compared."""
        return is_signed_by(ca.public_key, self.encoded.signature, self.encoded.tbs, self.signature)

    @property
    def was_read_again(self) -> bool:
        """Whether cryptography refused it and the second reader read it."""
        return self.reader is Reader.SECOND

    def names_as_issuer(self, ca: "Certificate") -> bool:
        """Whether its issuer's name is the CA's subject (RFC 5280 §7.1)."""
        return are_same_names(self.encoded.issuer, ca.encoded.subject)


def are_same_names(one: bytes, other: bytes) -> bool:
    """Whether two Names in DER are equal by RFC 5280 §7.1; nearly all equal names are the same bytes."""
    if one == other:
        return True
    from jitr.x509.distinguished_names import are_same  # noqa: PLC0415 -- rarely needed

    return are_same(one, other)


def _in_one_line(name: str) -> str:
    r"""A name in RFC 4514, with unprintable characters as the hex of their UTF-8 (§2.4), as `\0A`.

    Names go into records, logs and terminals, where line ends and control sequences could forge other text. They are
    for people to read, so one that is longer than any real name is cut: a DynamoDB item holds 400 KB.
    """
    name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else _HEX_PAIRS.sub(r"\\\g<0>", one.encode().hex().upper()) for one in name)


def _key_facts(key: CertificatePublicKeyTypes, encoded: bytes) -> KeyFacts:
    if isinstance(key, rsa.RSAPublicKey):
        return KeyFacts("RSA", key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = _CURVES.get(key.curve.name, key.curve.name)
        return KeyFacts("EC", key.key_size, curve if _names_its_curve(encoded) else f"{curve} written out")
    return KeyFacts(type(key).__name__.removesuffix("PublicKey").removeprefix("_"), getattr(key, "key_size", 0))


def _names_its_curve(key: bytes) -> bool:
    """Whether an EC key (SubjectPublicKeyInfo) names its curve; RFC 5480 §2.1.1 forbids explicit parameters.

    cryptography recognizes the parameters of NIST curves; openssl verifies no certificate that has them.
    """
    _, _, start, end = element(key, element(key, 0, len(key))[2], len(key))
    return [tag for tag, *_ in elements(key, start, end)] == [OID, OID]
