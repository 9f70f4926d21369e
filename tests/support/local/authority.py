"""A device maker's CA and the certificates it signs, as files that a device can use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jitrctl.mqtt.client import Device

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA of a device maker; it signs devices whether or not AWS knows it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    directory: Path

    @classmethod
    def new(cls, name: str, directory: Path) -> Authority:
        """Make a root CA; the files of its devices go to the directory."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = _certificate(name, key, issuer=issuer, signer=key, ca=True)
        return cls(certificate=certificate, key=key, directory=directory)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def verification(self, registration_code: str) -> str:
        """Prove possession of the CA's key to an account, which DEFAULT mode asks for; answer the PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        proof = _certificate(registration_code, key, issuer=self.certificate.subject, signer=self.key, ca=False)
        return proof.public_bytes(serialization.Encoding.PEM).decode()

    def device(self, name: str) -> Device:
        """Make a device with a new key and a certificate of this CA; its name is the common name and client id."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, issuer=self.certificate.subject, signer=self.key, ca=False)
        files = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Device(client_id=name, certificate=files[0], key=files[1])


def certificate_id(device: Device) -> str:
    """Answer the id that AWS will give the device's certificate: SHA-256 of its DER."""
    return x509.load_pem_x509_certificate(device.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


def status(iot: IoTClient, device: Device) -> str:
    """Answer the certificate's status, or that the account does not know it."""
    try:
        answer = iot.describe_certificate(certificateId=certificate_id(device))
    except iot.exceptions.ResourceNotFoundException:
        return "unknown"
    return answer["certificateDescription"]["status"]


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a simulated clock may have stood still since the tests began
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        # For the tests' own brokers: a device's certificate then serves as a server's.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signer, hashes.SHA256())
    )
