"""Issues the CAs and device certificates of one run; keys are in memory, or in a folder that is removed at its end.

Certificates are plain. The odd shapes that some real certificates have are made by encoding the signed part anew and
signing it again.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jitr.x509 import der
from jitr.x509.encoding import Encoded

_BACKDATED = timedelta(hours=1)  # clocks differ
_DAYS = timedelta(days=2)  # a certificate that a run leaves behind soon expires


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeIdentity:
    """A device's certificate and key, PEM."""

    name: str
    certificate: str
    key: str
    ca: str = ""  # the CA's certificate, which the device sends after its own

    @property
    def certificate_id(self) -> str:
        """The id that jitr expects of AWS: the SHA-256 of the DER."""
        return id_of(self.certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCa:
    """A CA of this run."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str, now: datetime) -> ProbeCa:
        """A self-signed CA on P-256, valid for two days."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), _name(name), key.public_key(), now - _BACKDATED, now + _DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(certificate=builder.sign(key, hashes.SHA256()), key=key)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def certificate_id(self) -> str:
        return id_of(self.pem)

    def issue(
        self,
        name: str,
        now: datetime,
        *,
        begins: timedelta = -_BACKDATED,
        lasts: timedelta = _DAYS,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> ProbeIdentity:
        """A device's certificate, valid from `now` + `begins`, for `lasts`."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        first = now + begins
        builder = _builder(_name(name), self.certificate.subject, key.public_key(), first, first + lasts)
        made = builder.sign(self.key, hashes.SHA256())
        return ProbeIdentity(
            name=name, certificate=made.public_bytes(Encoding.PEM).decode(), key=_private(key), ca=self.pem
        )

    def issue_parts(self, name: str, now: datetime, **parts: bytes) -> ProbeIdentity:
        """A device's certificate with some parts replaced: names as in Encoded, values DER with tag and length.

        The part `extensions` follows the public key. The part `algorithm` is written inside and outside.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        plain = self.issue(name, now, key=key)
        made = Encoded.of(ssl.PEM_cert_to_DER_cert(plain.certificate))
        serial = der.encode(der.INTEGER, made.serial.to_bytes(der.number_width(made.serial), "big", signed=True))
        written = {
            "version": made.version,
            "serial": serial,
            "algorithm": made.algorithm,
            "issuer": made.issuer,
            "validity": made.validity,
            "subject": made.subject,
            "public_key": made.public_key,
            "extensions": b"".join(element for _, element in made.rest),
        } | parts
        signed = der.encode(der.SEQUENCE, *written.values())
        signature = der.encode(der.BIT_STRING, b"\0", self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
        whole = der.encode(der.SEQUENCE, signed, written["algorithm"], signature)
        return ProbeIdentity(name=name, certificate=ssl.DER_cert_to_PEM_cert(whole), key=plain.key, ca=self.pem)

    def verification(self, registration_code: str, now: datetime) -> str:
        """The verification certificate that DEFAULT mode needs in the account with this code; PEM."""
        return self.issue(registration_code, now).certificate


def issue_self_signed(name: str, now: datetime) -> ProbeIdentity:
    """A self-signed certificate, for a client that is registered without a CA, valid for two days."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _builder(_name(name), _name(name), key.public_key(), now - _BACKDATED, now + _DAYS).sign(
        key, hashes.SHA256()
    )
    return ProbeIdentity(name=name, certificate=made.public_bytes(Encoding.PEM).decode(), key=_private(key))


def id_of(pem: str) -> str:
    """The lower-case SHA-256 of a certificate's DER (aws-facts §4)."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins.astimezone(UTC).replace(microsecond=0))
        .not_valid_after(ends.astimezone(UTC).replace(microsecond=0))
    )
