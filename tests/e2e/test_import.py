"""Certificates registered without a CA, in two accounts: makers' lists, real CONNECTs, a follower, a kill; for real."""

import json
import subprocess
import sys
from collections.abc import Iterator
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
registered.chips = {}
"""
EACH = 20  # devices of each list


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


def expect_all_links_good(links: list[dict[str, Any]]) -> None:
    assert [one["link"] for one in links if one["state"] not in ("good", "note")] == []
    assert {"queue", "decision", "policy allows Connect"} < {one["link"] for one in links}


def test_makers_lists_come_into_two_accounts_and_live_there_as_all_others(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*words: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        ended = main(fleet.command(*words))
        told = capsys.readouterr()
        assert ended == code, told.out + told.err
        return {one["account"]: one for one in json.loads(told.out)["stages"]}

    def accept_at_once(stage: LocalStage, devices: dict[str, DeviceFiles]) -> None:
        for name, files in devices.items():
            answer = stage.device(files, name).connect(stage.endpoint)
            assert isinstance(answer, Connection), f"{name} in {stage.name}: {answer}"
            answer.close()

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

    # A second account later is one command; what is there already is left as it is. This one has no CA.
    told = ask("device", "import", str(manifest), str(bundle), "--yes")
    assert (told["dev"]["done"], told["prod"]["activated"]) == (2 * EACH, 2 * EACH)
    accept_at_once(prod, chips | others)
    for told in ask("doctor", str(chips["bolt-0001"].certificate)).values():
        expect_all_links_good(told["links"])
    groups = prod.iot.list_thing_groups_for_thing(thingName="bolt-0001")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["bolts"]

    # One is followed by a certificate of its maker's CA in both accounts, once an entry says so.
    assert main(["ca", "apply", "--yes", "--fleet", str(fleet.workspace.fleet_file)]) == 0
    new = fleet.maker.issue(fleet.directory / "followers", "bolt-0005")
    for stage in (dev, prod):
        expect_refusal(stage, new, "bolt-0005")
        held = stage.wait_for_decision(new.certificate_id, seconds=60)
        assert held.detail
        assert "no enrollment entry says that this one may follow it" in held.detail
    ask("enrollment", "allow", "bolt-0005", "--may-follow", "--yes")
    old = chips["bolt-0005"].certificate_id
    for stage in (dev, prod):
        connect(stage, new, "bolt-0005").close()
        assert stage.registry.recall([old])[old].replaced_by == new.certificate_id

    # The other way round: a device of the CA is followed by a certificate without a CA, where the import says so.
    of_ca = fleet.maker.issue(fleet.directory / "devices", "bolt-0201")
    for stage in (dev, prod):
        connect(stage, of_ca, "bolt-0201").close()
    without = fleet.maker.issue(fleet.directory / "followers", "bolt-0201")
    words = ("device", "import", str(without.certificate), "--yes")
    told = ask(*words, code=1)
    for stage in (dev, prod):
        (left,) = told[stage.account.name]["held"]
        assert left["why"].startswith("NOT_A_ROTATION")
        assert stage.status(without.certificate_id) == "INACTIVE"
    told = ask(*words, "--may-follow")
    assert (told["dev"]["activated"], told["prod"]["activated"]) == (1, 1)
    accept_at_once(dev, {"bolt-0201": without})
    accept_at_once(prod, {"bolt-0201": without})
    for stage in (dev, prod):
        followed = stage.registry.recall([of_ca.certificate_id])[of_ca.certificate_id]
        assert followed.replaced_by == without.certificate_id

    # One is revoked everywhere, and the import does not bring it back.
    stolen = chips["bolt-0003"]
    ask("device", "revoke", "bolt-0003", "--note", "stolen", "--yes")
    for stage in (dev, prod):
        assert stage.status(stolen.certificate_id) == "REVOKED"
        assert expect_refusal(stage, stolen, "bolt-0003").how == "closed"
    told = ask("device", "import", str(manifest), "--account", "prod", "--yes", code=1)["prod"]
    assert [one["certificate_id"] for one in told["refused"]] == [stolen.certificate_id]
