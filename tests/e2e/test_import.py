"""Certificates registered without a CA, in three accounts: makers' lists, real CONNECTs, a follower, a kill."""

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

[account.lab]
id = "433333333333"
regions = ["eu-central-1"]
registered.chips = {}
"""
EACH = 20  # devices of each list


class Fleet:
    """Three accounts that are deployed, the maker's CA, which is registered in none, and its devices."""

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
        with ThreadPoolExecutor(len(running)) as pool:
            list(pool.map(deploying.deploy, [self.workspace] * len(running), running, places))
        fleet = self.workspace.load_fleet()
        self.stages = [LocalStage(account, place, fleet) for account, place in zip(running, places, strict=True)]
        self.maker: IssuingCa = self.workspace.issuing_ca(fleet.cas[0])

    def make(self, first: int) -> dict[str, DeviceFiles]:
        names = [f"bolt-{number:04}" for number in range(first, first + EACH)]
        return {name: self.maker.issue(self.directory / "devices", name) for name in names}

    def command(self, *words: str) -> list[str]:
        return [*words, "--json", "--fleet", str(self.workspace.fleet_file)]


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


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json; what it says of each account."""

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        ended = main(fleet.command(*words))
        told = capsys.readouterr()
        assert ended == code, told.out + told.err
        return {one["account"]: one for one in json.loads(told.out)["stages"]}

    return run


def accept_at_once(stage: LocalStage, devices: dict[str, DeviceFiles]) -> None:
    for name, files in devices.items():
        answer = stage.device(files, name).connect(stage.endpoint)
        assert isinstance(answer, Connection), f"{name} in {stage.name}: {answer}"
        answer.close()


def test_makers_lists_come_into_all_accounts_and_live_there_as_all_others(fleet: Fleet, ask: Ask) -> None:
    chips, others = fleet.make(1), fleet.make(101)
    signer = ManifestSigner()
    manifest, bundle, certificate = (fleet.directory / name for name in ("reel.json", "bundle.pem", "signer.crt"))
    manifest.write_text(signer.manifest(as_made(chips)))
    bundle.write_text(pem_bundle(as_made(others)))
    certificate.write_text(signer.pem)
    dev, prod, lab = fleet.stages

    import_signed_manifest_that_is_killed(fleet, ask, chips, str(manifest), str(certificate))
    told = ask("device", "import", str(bundle), "--account", "dev", "--yes")["dev"]
    assert (told["activated"], told["refused"]) == (EACH, [])
    accept_at_once(dev, chips | others)

    # More accounts later are one command; what is there already is left as it is. The lab has no CA.
    told = ask("device", "import", str(manifest), str(bundle), "--yes")
    assert [told[name]["done"] for name in ("dev", "prod", "lab")] == [2 * EACH, 0, 0]
    assert [told[name]["activated"] for name in ("prod", "lab")] == [2 * EACH, 2 * EACH]
    for stage in (prod, lab):
        accept_at_once(stage, chips | others)
    for diagnosed in ask("doctor", str(chips["bolt-0001"].certificate)).values():
        links = {one["link"]: one["state"] for one in diagnosed["links"]}
        assert [link for link, state in links.items() if state not in ("good", "note")] == []
        assert {"queue", "decision", "policy allows Connect"} < links.keys()
    groups = prod.iot.list_thing_groups_for_thing(thingName="bolt-0001")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["bolts"]

    follow_by_the_makers_ca(fleet, ask, chips["bolt-0005"])
    follow_by_an_import(fleet, ask)

    # One is revoked everywhere, and the import does not bring it back.
    stolen = chips["bolt-0003"]
    ask("device", "revoke", "bolt-0003", "--note", "stolen", "--yes")
    for stage in fleet.stages:
        assert stage.status(stolen.certificate_id) == "REVOKED"
        assert expect_refusal(stage, stolen, "bolt-0003").how == "closed"
    told = ask("device", "import", str(manifest), "--account", "prod", "--yes", code=1)["prod"]
    assert [one["certificate_id"] for one in told["refused"]] == [stolen.certificate_id]


def import_signed_manifest_that_is_killed(
    fleet: Fleet, ask: Ask, chips: dict[str, DeviceFiles], manifest: str, signer: str
) -> None:
    """Import into the first account; the first run is killed after a registration, and the second one goes on."""
    dev = fleet.stages[0]
    words = ("device", "import", manifest, "--signer", signer, "--account", "dev", "--yes")
    ids = [files.certificate_id for files in chips.values()]
    order = [sys.executable, "-m", "jitrctl", *fleet.command(*words)]
    with subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        wait_until(lambda: any(dev.status(one) != UNKNOWN for one in ids), "the first registration")
        killed.kill()
    told = ask(*words)["dev"]
    assert (told["activated"] + told["done"], told["refused"], told["held"]) == (EACH, [], [])


def follow_by_the_makers_ca(fleet: Fleet, ask: Ask, imported: DeviceFiles) -> None:
    """Let a certificate of the maker's CA follow an imported one in both accounts of the CA: an entry says so."""
    assert main(["ca", "apply", "--yes", "--fleet", str(fleet.workspace.fleet_file)]) == 0
    new = fleet.maker.issue(fleet.directory / "followers", "bolt-0005")
    for stage in fleet.stages[:2]:
        expect_refusal(stage, new, "bolt-0005")
        held = stage.wait_for_decision(new.certificate_id, seconds=60)
        assert held.detail
        assert "no enrollment entry says that this one may follow it" in held.detail
    ask("enrollment", "allow", "bolt-0005", "--may-follow", "--account", "dev", "--account", "prod", "--yes")
    for stage in fleet.stages[:2]:
        connect(stage, new, "bolt-0005").close()
        old = imported.certificate_id
        assert stage.registry.recall([old])[old].replaced_by == new.certificate_id


def follow_by_an_import(fleet: Fleet, ask: Ask) -> None:
    """The other way round: a device of the CA is followed by a certificate without a CA, where the import says so."""
    of_ca = fleet.maker.issue(fleet.directory / "devices", "bolt-0201")
    for stage in fleet.stages[:2]:
        connect(stage, of_ca, "bolt-0201").close()
    without = fleet.maker.issue(fleet.directory / "followers", "bolt-0201")
    words = ("device", "import", str(without.certificate), "--account", "dev", "--account", "prod", "--yes")
    told = ask(*words, code=1)
    for stage in fleet.stages[:2]:
        (left,) = told[stage.account.name]["held"]
        assert left["why"].startswith("NOT_A_ROTATION")
        assert stage.status(without.certificate_id) == "INACTIVE"
    told = ask(*words, "--may-follow")
    assert (told["dev"]["activated"], told["prod"]["activated"]) == (1, 1)
    for stage in fleet.stages[:2]:
        accept_at_once(stage, {"bolt-0201": without})
        followed = stage.registry.recall([of_ca.certificate_id])[of_ca.certificate_id]
        assert followed.replaced_by == without.certificate_id
