"""A fleet of two accounts on the local AWS, with a CA that no account knows yet."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from jitr_fleet.parse import load
from jitr_fleet.resources import ResourceNames
from jitrctl.__main__ import main
from tests.support.local.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from jitrctl.localaws.accounts import LocalAccount

SNI_ONLY = '{ mode = "SNI_ONLY" }'
DEFAULT = '{ mode = "DEFAULT", verification_certificate = "dev.pem" }'
NUMBERS = count(1)
NAMES = ResourceNames("acme")


class Fleet:
    """A fleet of two accounts with a CA that no account knows yet."""

    def __init__(self, directory: Path, places: tuple[LocalAccount, ...], capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.ca = Authority.new(f"Maker {next(NUMBERS)}", directory)
        self.places = {place.name: place for place in places}
        self.file = directory / "fleet.toml"
        self.capsys = capsys
        (directory / "factory.pem").write_text(self.ca.pem)
        (directory / "factory.key").write_bytes(
            self.ca.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.write(dev=DEFAULT)

    def write(self, *, dev: str = SNI_ONLY, prod: str = SNI_ONLY) -> None:
        """Write the fleet file, with the CA's registration in either account."""
        text = '[fleet]\nname = "acme"\n[ca.factory]\ncertificate = "factory.pem"\ncommon_name = "sensor-[0-9]+"\n'
        for name, registration in (("dev", dev), ("prod", prod)):
            place = self.places[name]
            text += f'[account.{name}]\nid = "{place.id}"\nregions = ["{place.region}"]\n'
            text += f'endpoint_url = "{place.endpoint_url}"\nca.factory = {registration}\n'
        self.file.write_text(text)

    def iot(self, account: str) -> Any:
        return self.places[account].client("iot")

    def described(self, account: str) -> dict[str, Any] | None:
        iot = self.iot(account)
        ca_id = load(self.file, proven=False).cas[0].certificate_id
        try:
            return dict(iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"])
        except iot.exceptions.ResourceNotFoundException:
            return None

    def deploy(self, account: str, *, topic: str | None = None) -> None:
        """Make what the stack makes, as far as these commands look at it: the CA's topic rule."""
        ca_id = load(self.file, proven=False).cas[0].certificate_id
        self.iot(account).create_topic_rule(
            ruleName=NAMES.rule("factory"),
            topicRulePayload={
                "sql": f"SELECT * FROM '{topic or f'$aws/events/certificates/registered/{ca_id}'}' "  # noqa: S608
                "WHERE certificateStatus = 'PENDING_ACTIVATION'",
                "actions": [],
            },
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command; what it says, with single spaces."""
        assert main([*arguments, "--fleet", str(self.file)]) == code
        said = self.capsys.readouterr()
        return " ".join((said.out + said.err).split())

    def ask(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json; what each account says of the CA."""
        self.capsys.readouterr()
        assert main([*arguments, "--json", "--fleet", str(self.file)]) == code
        document = json.loads(self.capsys.readouterr().out)
        return {stage["account"]: stage["cas"][0] if "cas" in stage else stage for stage in document["stages"]}

    def prove(self) -> None:
        """The registration code, a request, and what the holder of the CA's key makes of it."""
        csr, key = self.directory / "dev.csr", self.directory / "factory.key"
        self.run("ca", "csr", "--account", "dev", "-o", str(csr))
        self.run("ca", "verification", "--csr", str(csr), "--ca-key", str(key), "-o", str(self.directory / "dev.pem"))
