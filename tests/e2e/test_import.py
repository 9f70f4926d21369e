"""Certificates registered without a CA, in two accounts: makers' lists, real CONNECTs, a follower, a kill; for real."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import UNKNOWN, LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import Connection
from tests.support.cli.makers import MadeDevice, ManifestSigner, pem_bundle
from tests.support.e2e.stage_devices import connect, expect_refusal
from tests.support.e2e.waiting import wait_until
from tests.support.fleet.drafts import Issuer
from tests.support.local import deploying

FLEET = """
[fleet]
name = "bolt"

[ca.maker]
certificate = "maker.pem"
common_name = "bolt-[0-9]+"

[registered.chips]
common_name = "bolt-[0-9]+"
thing_type = "bolt"
thing_groups = ["bolts"]

[account.dev]
id = "411111111111"
regions = ["eu-central-1"]
ca.maker = { mode = "DEFAULT" }
registered.chips = {}

[account.prod]
id = "422222222222"
regions = ["eu-central-1"]
ca.maker = { mode = "SNI_ONLY" }
registered.chips = {}
"""
EACH = 20  # devices of each list
Ask = Callable[..., dict[str, Any]]


class Fleet:
    """Two accounts that are deployed, the maker's CA, which is registered in none, and its devices."""

    def __init__(self, directory: Path) -> None:
        self.workspace = Workspace(directory=directory / "local")
        (directory / "maker.pem").write_bytes(Issuer("Maker").certificate())
        self.source = directory / "fleet.toml"
        self.source.write_text(FLEET)
        self.directory = directory

    def up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jitrctl.commands.local.Workspace", lambda: self.workspace)
        assert main(["local", "up", "--fleet", str(self.source)]) == 0
        running = accounts.find_running(self.workspace.directory)
        places = self.workspace.places_of(list(running))
        deploying.synthesize(self.workspace)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(deploying.deploy, [self.workspace] * 2, running, places))
        fleet = self.workspace.load_fleet()
        self.stages = [LocalStage(account, place, fleet) for account, place in zip(running, places, strict=True)]
        self.maker: IssuingCa = self.workspace.issuing_ca(fleet.cas[0])

    def make(self, first: int) -> dict[str, DeviceFiles]:
        names = [f"bolt-{number:04}" for number in range(first, first + EACH)]
        return {name: self.maker.issue(self.directory / "devices", name) for name in names}

    def command(self, *words: str) -> list[str]:
        return [*words, "--json", "--fleet", str(self.workspace.fleet_file)]


class Operator:
    """Gives commands, and reads their documents."""

    def __init__(self, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        self._fleet = fleet
        self._capsys = capsys

    def ask(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Give a command; what it says of each account."""
        self._capsys.readouterr()
        ended = main(self._fleet.command(*words))
        told = self._capsys.readouterr()
        assert ended == code, told.out + told.err
        return {one["account"]: one for one in json.loads(told.out)["stages"]}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    try:
        fleet.up(monkeypatch)
        yield fleet
    finally:
        accounts.down(fleet.workspace.directory)


def as_made(devices: dict[str, DeviceFiles]) -> list[MadeDevice]:
    return [MadeDevice(name, files.certificate.read_text(encoding="utf-8")) for name, files in devices.items()]


def accept_at_once(stage: LocalStage, devices: dict[str, DeviceFiles]) -> None:
    for name, files in devices.items():
        answer = stage.device(files, name).connect(stage.endpoint)
        assert isinstance(answer, Connection), f"{name} in {stage.name}: {answer}"
        answer.close()


def follow_by_ca(fleet: Fleet, ask: Ask, name: str, old: DeviceFiles) -> None:
    """An imported device is followed by a certificate of its maker's CA in both accounts, once an entry says so."""
    new = fleet.maker.issue(fleet.directory / "followers", name)
    for stage in fleet.stages:
        expect_refusal(stage, new, name)
        held = stage.wait_for_decision(new.certificate_id, seconds=60)
        assert held.detail
        assert "no enrollment entry says that this one may follow it" in held.detail
    ask("enrollment", "allow", name, "--may-follow", "--yes")
    for stage in fleet.stages:
        connect(stage, new, name).close()
        assert stage.registry.recall([old.certificate_id])[old.certificate_id].replaced_by == new.certificate_id


def follow_by_import(fleet: Fleet, ask: Ask, name: str) -> None:
    """A device of the CA is followed by a certificate without a CA in both accounts, where the import says so."""
    of_ca = fleet.maker.issue(fleet.directory / "devices", name)
    for stage in fleet.stages:
        connect(stage, of_ca, name).close()
    without = fleet.maker.issue(fleet.directory / "followers", name)
    words = ("device", "import", str(without.certificate), "--yes")
    told = ask(*words, code=1)
    for stage in fleet.stages:
        (left,) = told[stage.account.name]["held"]
        assert left["why"].startswith("NOT_A_ROTATION")
        assert stage.status(without.certificate_id) == "INACTIVE"
    told = ask(*words, "--may-follow")
    assert [one["activated"] for one in told.values()] == [1, 1]
    for stage in fleet.stages:
        accept_at_once(stage, {name: without})
        followed = stage.registry.recall([of_ca.certificate_id])[of_ca.certificate_id]
        assert followed.replaced_by == without.certificate_id


def test_makers_lists_come_into_two_accounts_and_live_there_as_all_others(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Operator(fleet, capsys).ask
    dev, prod = fleet.stages
    chips, others = fleet.make(1), fleet.make(101)
    signer = ManifestSigner()
    manifest, bundle, certificate = (fleet.directory / name for name in ("reel.json", "bundle.pem", "signer.crt"))
    manifest.write_text(signer.manifest(as_made(chips)))
    bundle.write_text(pem_bundle(as_made(others)))
    certificate.write_text(signer.pem)

    # The first account: a manifest, whose import is killed and run again, and a bundle.
    words = ("device", "import", str(manifest), "--signer", str(certificate), "--account", "dev", "--yes")
    ids = [files.certificate_id for files in chips.values()]
    order = [sys.executable, "-m", "jitrctl", *fleet.command(*words)]
    with subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        wait_until(lambda: any(dev.status(one) != UNKNOWN for one in ids), "the first registration")
        killed.kill()
    told = ask(*words)["dev"]
    assert (told["activated"] + told["done"], told["refused"], told["held"]) == (EACH, [], [])
    told = ask("device", "import", str(bundle), "--account", "dev", "--yes")["dev"]
    assert (told["activated"], told["refused"]) == (EACH, [])
    accept_at_once(dev, chips | others)

    # A second account later is one command; what is there already is left as it is.
    told = ask("device", "import", str(manifest), str(bundle), "--yes")
    assert (told["dev"]["done"], told["prod"]["activated"]) == (2 * EACH, 2 * EACH)
    accept_at_once(prod, chips | others)
    groups = prod.iot.list_thing_groups_for_thing(thingName="bolt-0001")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["bolts"]

    # Who follows whom.
    assert main(["ca", "apply", "--yes", "--fleet", str(fleet.workspace.fleet_file)]) == 0
    follow_by_ca(fleet, ask, "bolt-0005", chips["bolt-0005"])
    follow_by_import(fleet, ask, "bolt-0201")

    # One is revoked everywhere, and the import does not bring it back.
    stolen = chips["bolt-0003"]
    ask("device", "revoke", "bolt-0003", "--note", "stolen", "--yes")
    for stage in (dev, prod):
        assert stage.status(stolen.certificate_id) == "REVOKED"
        assert expect_refusal(stage, stolen, "bolt-0003").how == "closed"
    told = ask("device", "import", str(manifest), "--account", "prod", "--yes", code=1)["prod"]
    assert [one["certificate_id"] for one in told["refused"]] == [stolen.certificate_id]
