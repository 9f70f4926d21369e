"""A valid fleet to break one thing in; its certificates are made for the test run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from jitr_fleet.model import Fleet
from jitr_fleet.parse import FleetError, Problem, load

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CODE = "c0de" * 16

POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", '
    '"Resource": "arn:<partition>:iot:<region>:<account>:client/${iot:Connection.Thing.ThingName}"}, '
    '{"Effect": "Allow", "Action": "iot:Publish", '
    '"Resource": "arn:<partition>:iot:<region>:<account>:topic/sensors"}]}'
)

VALID = """\
[fleet]
name = "acme"

[ca.factory]
certificate = "factory.pem"
common_name = "sensor-[0-9]{4,}"
thing_name = "{common_name}"
thing_type = "sensor"
thing_groups = ["factory-1", "sensors"]
attributes = { model = "{organizational_unit}", line = "A:1" }
policy = "device.json"
on_reject = "revoke"
minimum_remaining_life = "30d"
rsa_bits = [3072, 4096]
curves = ["P-256"]

[ca.factory.checks]
subject = "observe"

[sweep]
every = "5m"
pending_after = "90s"
horizon = "12h"

[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
profile = "acme-dev"
ca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }

[account.prod]
id = "222222222222"
regions = ["eu-central-1", "us-east-1"]
activations_per_second = 50
ca.factory = { mode = "SNI_ONLY" }
"""


def line_of(text: str, written: str) -> int:
    """The 1-based line on which `written` begins; it stands in the text exactly once."""
    assert text.count(written) == 1, written
    return text.count("\n", 0, text.index(written)) + 1


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Issuer:
    """A CA that issues what a test asks for; certificates are valid from 2020 to 2040 unless told otherwise."""

    def __init__(self, common_name: str = "Factory CA", key: SigningKey | None = None) -> None:
        self.name = name(common_name)
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    def certificate(
        self,
        *extensions: x509.ExtensionType,
        begins: datetime = datetime(2020, 1, 1, tzinfo=UTC),
        ends: datetime = datetime(2040, 1, 1, tzinfo=UTC),
    ) -> bytes:
        """The CA's own certificate as PEM, by default with basicConstraints CA:TRUE and nothing else."""
        constraints = extensions or (x509.BasicConstraints(ca=True, path_length=None),)
        return self._sign(self.name, self.key, constraints, begins, ends)

    def verification(
        self,
        common_name: str = CODE,
        *,
        extensions: tuple[x509.ExtensionType, ...] = (),
        begins: datetime = datetime(2020, 1, 1, tzinfo=UTC),
        ends: datetime = datetime(2040, 1, 1, tzinfo=UTC),
    ) -> bytes:
        """A verification certificate for a registration code, as PEM."""
        return self._sign(name(common_name), ec.generate_private_key(ec.SECP256R1()), extensions, begins, ends)

    def private_key(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _sign(
        self,
        subject: x509.Name,
        key: SigningKey,
        extensions: tuple[x509.ExtensionType, ...],
        begins: datetime,
        ends: datetime,
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        digest = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self.key, digest).public_bytes(serialization.Encoding.PEM)


class Draft:
    """A folder with a fleet.toml and the files that it names; valid until a test breaks it."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.folder = folder
        self.issuer = issuer
        self.path = folder / "fleet.toml"
        self.text = VALID
        self.write("factory.pem", issuer.certificate())
        self.write("dev.pem", issuer.verification())
        self.write("device.json", POLICY.encode())

    def write(self, file: str, content: bytes) -> None:
        (self.folder / file).write_bytes(content)

    def replace(self, old: str, new: str) -> None:
        """Break one thing: `old` stands in the text exactly once."""
        assert self.text.count(old) == 1, old
        self.text = self.text.replace(old, new)

    def give_extras(self) -> None:
        """Give the CA's devices a billing group and a first shadow."""
        self.replace(
            'policy = "device.json"', 'policy = "device.json"\nbilling_group = "costs"\nshadow = "shadow.json"'
        )
        self.write("shadow.json", b'{"state": {"desired": {"name": "{thing_name}"}}}')

    def load(self, now: datetime = NOW) -> Fleet:
        self.path.write_text(self.text, encoding="utf-8")
        return load(self.path, now=now)

    def problems(self, now: datetime = NOW) -> list[tuple[int, str]]:
        """What `load` finds wrong: lines, and messages with their cures, and without the folder."""
        with pytest.raises(FleetError) as caught:
            self.load(now)
        return [
            (problem.line, f"{problem.message}; {problem.cure}".replace(f"{self.folder}/", ""))
            for problem in caught.value.problems
        ]

    def refused(self, now: datetime = NOW) -> Problem:
        """The one thing that `load` finds wrong, with its file."""
        with pytest.raises(FleetError) as caught:
            self.load(now)
        assert len(caught.value.problems) == 1, caught.value.problems
        return caught.value.problems[0]

    def problem(self, now: datetime = NOW) -> tuple[int, str]:
        """The one thing that `load` finds wrong."""
        problems = self.problems(now)
        assert len(problems) == 1, problems
        return problems[0]

    def line(self, written: str) -> int:
        return line_of(self.text, written)
