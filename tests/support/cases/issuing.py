"""Makes CAs and device certificates, and with them what admission is asked: valid, unless a case breaks something.

Keys are made once for a test run, certificates every time; nothing is stored.
"""

import hashlib
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jitr.admission.applicant import Applicant
from jitr.admission.enrollment import Enrollment, Entry
from jitr.admission.identity import Identity
from jitr.admission.procedure import Examination, examine
from jitr.iot_models import CaRegistration, DeviceRegistration, Status
from jitr.rules import CaRules, CertificateMode, CheckMode, Rules
from jitr.x509.crl import RevocationList, Revocations

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
ACCOUNT = "111111111111"
REGION = "eu-central-1"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
Digest = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

# Attributes of a subject: a pair for each, in order.
Subject = Sequence[tuple[x509.ObjectIdentifier, str]]
SENSOR: Subject = (
    (NameOID.ORGANIZATION_NAME, "Acme"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "Mark-2"),
    (NameOID.COMMON_NAME, "sensor-0001"),
)


def named(common_name: str) -> Subject:
    """The valid subject under another common name."""
    return (*SENSOR[:2], (NameOID.COMMON_NAME, common_name))


@cache
def rsa_key(bits: int = 2048, owner: str = "device") -> rsa.RSAPrivateKey:
    assert owner
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1, owner: str = "device") -> ec.EllipticCurvePrivateKey:
    assert owner
    return ec.generate_private_key(curve())


def name(subject: Subject) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def certificate_id(pem: str) -> str:
    """The id that AWS IoT gives a certificate: the SHA-256 of its DER."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA with its key; `issue_ca` and the openssl cases make one."""

    pem: str
    key: SigningKey

    @property
    def certificate_id(self) -> str:
        return certificate_id(self.pem)

    @property
    def subject(self) -> x509.Name:
        return x509.load_pem_x509_certificate(self.pem.encode()).subject

    def leaf(
        self,
        subject: Subject = SENSOR,
        *,
        key: PrivateKey | None = None,
        begins: datetime = NOW - DAY,
        ends: datetime = NOW + 365 * DAY,
        issuer: x509.Name | None = None,
        signer: SigningKey | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
        critical: Sequence[x509.ExtensionType] = (),
        digest: Digest | None = None,
        padding: PKCS1v15 | PSS | None = None,
    ) -> str:
        """A device's certificate in PEM; as it stands a valid one."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(issuer or self.subject)
            .public_key((key or ec_key()).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension in (*extensions, *critical):
            builder = builder.add_extension(extension, critical=extension in critical)
        return pem_of(builder.sign(signer or self.key, digest or hashes.SHA256(), rsa_padding=padding))


def issue_ca(
    common_name: str = "Acme factory CA",
    *,
    key: SigningKey | None = None,
    begins: datetime = NOW - 30 * DAY,
    ends: datetime = NOW + 3650 * DAY,
    is_ca: bool | None = True,
) -> Authority:
    """A self-signed root; `is_ca` None leaves basicConstraints out."""
    key = key or ec_key(owner="ca")
    subject = name([(NameOID.ORGANIZATION_NAME, "Acme"), (NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    return Authority(pem_of(builder.sign(key, hashes.SHA256())), key)


@cache
def factory() -> Authority:
    """The CA of the valid case."""
    return issue_ca()


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """All that admission is asked with."""

    device: DeviceRegistration
    ca: CaRegistration | None
    rules: Rules
    now: datetime
    revocations: Revocations = None
    enrollment: Enrollment = field(default_factory=lambda: Enrollment(account_id=ACCOUNT))

    @property
    def ca_rules(self) -> CaRules:
        return self.rules.cas[0]

    def with_rules(self, **changes: Any) -> "Application":
        """The same under other rules of its CA."""
        return replace(self, rules=replace(self.rules, cas=(replace(self.ca_rules, **changes),)))

    def with_device(self, **changes: Any) -> "Application":
        """The same, where AWS says something else of the device."""
        return replace(self, device=replace(self.device, **changes))

    def with_ca(self, **changes: Any) -> "Application":
        """The same, where AWS says something else of the CA."""
        assert self.ca
        return replace(self, ca=replace(self.ca, **changes))

    def with_enrollment(self, *entries: Entry, approved: bool = False) -> "Application":
        """The same, where the enrollment table holds these entries."""
        return replace(self, enrollment=replace(self.enrollment, entries=entries, approved=approved))

    def examine(self) -> Examination:
        return examine(
            Applicant.of(self.device, self.rules),
            self.ca,
            revocations=self.revocations,
            enrollment=self.enrollment,
            now=self.now,
        )

    def admit(self) -> Identity:
        return self.examine().admit().identity


def arn(device_certificate_id: str) -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{device_certificate_id}"


def rules_for(authority: Authority, **changes: Any) -> Rules:
    """A fleet with one CA, whose devices are sensors."""
    ca = CaRules(
        name="factory",
        certificate_id=authority.certificate_id,
        certificate_pem=authority.pem,
        certificate_mode=CertificateMode.DEFAULT,
        common_name="sensor-[0-9]{4,}",
        thing_type="sensor",
        thing_groups=("factory-1",),
        attributes={"model": "{organizational_unit}"},
        policy="jitr-acme-factory",
    )
    return Rules(fleet="acme", cas=(replace(ca, **changes),))


def nobody_revoked(now: datetime) -> RevocationList:
    """A list in force that lists nobody."""
    return RevocationList(
        this_update=now - DAY,
        next_update=now + 7 * DAY,
        number=1,
        size=0,
        distribution_points=frozenset(),
        rows={},
    )


def applying(pem: str | None = None, *, authority: Authority | None = None, now: datetime = NOW) -> Application:
    """A device that knocks with this certificate, in an account where everything is as it should be."""
    authority = authority or factory()
    pem = pem or authority.leaf()
    return Application(
        device=device_registration(pem, ca_certificate_id=authority.certificate_id, created_at=now),
        ca=CaRegistration(certificate_id=authority.certificate_id, pem=authority.pem, active=True, mode="DEFAULT"),
        rules=rules_for(authority, checks={"revocation": CheckMode.ENFORCE}),
        revocations=nobody_revoked(now),
        now=now,
    )


def device_registration(pem: str, *, ca_certificate_id: str | None, created_at: datetime = NOW) -> DeviceRegistration:
    """What AWS says of a device's certificate right after its first CONNECT."""
    try:
        device_id = certificate_id(pem)
    except ValueError:
        device_id = "0" * 64  # what cannot be read has no id of its own
    return DeviceRegistration(
        certificate_id=device_id,
        arn=arn(device_id),
        status=Status.PENDING_ACTIVATION,
        pem=pem,
        ca_certificate_id=ca_certificate_id,
        created_at=created_at,
    )


def openssl(folder: Path, *arguments: str) -> None:
    """Run one openssl command in a folder; for what cryptography refuses to make."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
