"""AWS's multi-account article for three accounts, by jitrctl alone; then a CA changes its mode, and one ends."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.ca import registry
from jitrctl.errors import Refused
from jitrctl.localaws import accounts
from jitrctl.localaws.account import AccountSpec
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import CHECKOUT, LocalPlace, Workspace
from jitrctl.mqtt.client import ConnectRefusal
from tests.support.e2e.stage_devices import connect, expect_refusal
from tests.support.e2e.waiting import PATIENCE, wait_until
from tests.support.local import deploying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACES = [
    AccountSpec(name=name, id=number * 12, region="eu-central-1", profile=f"acme-{name}")
    for name, number in (("dev", "1"), ("staging", "3"), ("prod", "2"))
]
CAS = f"""\
[fleet]
name = "acme"
[ca.factory]
certificate = "factory.pem"
common_name = "sensor-[0-9]{{4,}}"
policy = "{CHECKOUT / "policies/device.json"}"
overlap = "1s"
[ca.factory-2]
certificate = "factory-2.pem"
common_name = "sensor-[0-9]{{4,}}"
policy = "{CHECKOUT / "policies/device.json"}"
overlap = "1s"
succeeds = "factory"
[ca.partner]
certificate = "partner.pem"
common_name = "gateway-[0-9]{{4,}}"
policy = "{CHECKOUT / "policies/device.json"}"
[sweep]
pending_after = "1s"
"""
SNI_ONLY = '{ mode = "SNI_ONLY" }'
DEFAULT = '{{ mode = "DEFAULT", verification_certificate = "{}" }}'
_BETWEEN_ROUNDS = 0.2  # seconds, in which a device that was turned away does not come again


@dataclass(kw_only=True)
class Fleet:
    """Three accounts of the local AWS, and an operator with a fleet file, the CAs' keys and jitrctl."""

    workspace: Workspace
    accounts: dict[str, accounts.LocalAccount]
    cas: dict[str, IssuingCa]
    dev: dict[str, str] = field(default_factory=dict)  # the registrations in the account dev that are not SNI_ONLY

    def write(self) -> None:
        text = CAS
        for account in self.accounts.values():
            text += f'[account.{account.name}]\nid = "{account.id}"\nregions = ["{account.region}"]\n'
            text += f'endpoint_url = "{account.endpoint_url}"\n'
            for ca in self.cas:
                given = self.dev.get(ca, SNI_ONLY) if account.name == "dev" else SNI_ONLY
                text += f"ca.{ca} = {given}\n"
        self.workspace.fleet_file.write_text(text)

    def say(self, *words: str, code: int = 0) -> str:
        """Have the operator say `jitrctl …`; what it says, with single spaces."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            ended = main([*words, "--fleet", str(self.workspace.fleet_file)])
        told = " ".join(said.getvalue().split())
        assert ended == code, told
        return told

    def ask(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The same with --json; what it says of each account."""
        said, beside = StringIO(), StringIO()
        with redirect_stdout(said), redirect_stderr(beside):
            ended = main([*words, "--json", "--fleet", str(self.workspace.fleet_file)])
        assert ended == code, said.getvalue() + beside.getvalue()
        return {one["account"]: one for one in json.loads(said.getvalue())["stages"]}

    def prove(self, ca: str) -> None:
        """Registration code, request, and what the holder of the CA's key makes of it; DEFAULT mode in dev."""
        directory = self.workspace.directory
        csr, key, proof = directory / "dev.csr", str(self.cas[ca].key), directory / f"dev-{ca}.pem"
        self.say("ca", "csr", "--account", "dev", "--ca", ca, "-o", str(csr))
        self.say("ca", "verification", "--ca", ca, "--csr", str(csr), "--ca-key", key, "-o", str(proof))
        self.dev[ca] = DEFAULT.format(proof.name)
        self.write()

    def deploy(self, *names: str) -> None:
        deploying.synthesize(self.workspace, *names)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._deploy, names or self.accounts))

    def _deploy(self, name: str) -> None:
        deploying.deploy(self.workspace, self.accounts[name], self.stage(name).place)

    def stage(self, name: str) -> LocalStage:
        fleet = load(self.workspace.fleet_file)
        account = next(one for one in fleet.accounts if one.name == name)
        return LocalStage(self.accounts[name], LocalPlace(account, account.regions[0]), fleet)

    def stages(self) -> dict[str, LocalStage]:
        return {name: self.stage(name) for name in self.accounts}

    def issue(self, ca: str, name: str, *, days: int = 365) -> DeviceFiles:
        """A device's certificate by a CA, made once."""
        directory = self.workspace.devices / ca
        return self.cas[ca].find_issued(directory, name) or self.cas[ca].issue(directory, name, days=days)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The stacks are deployed; no account knows a CA yet, but for what `ca plan` says."""
    directory: Path = tmp_path_factory.mktemp("three")
    workspace = Workspace(directory=directory)
    try:
        started = accounts.up(directory, PLACES)
        cas = {name: IssuingCa.create(directory, name) for name in ("factory", "factory-2", "partner")}
        made = Fleet(workspace=workspace, accounts={one.name: one for one in started}, cas=cas)
        made.write()
        made.prove("factory")
        made.prove("factory-2")
        made.deploy()
        yield made
    finally:
        accounts.down(directory)


@pytest.fixture(scope="module")
def registered(fleet: Fleet) -> Fleet:
    """The article's registrations, of two of the three CAs."""
    plan = fleet.say("ca", "plan", "--ca", "factory")
    assert [f"{name}/eu-central-1 factory: register it" in plan for name in fleet.accounts] == [True] * 3
    fleet.say("ca", "apply", "--ca", "factory", "--ca", "partner", "--yes")
    return fleet


def test_the_articles_walk_through_lets_a_device_into_three_accounts(registered: Fleet) -> None:
    said = registered.ask("ca", "status", "--ca", "factory")
    assert {name: (one["cas"][0]["mode"], one["cas"][0]["differences"]) for name, one in said.items()} == {
        "dev": ("DEFAULT", []),
        "staging": ("SNI_ONLY", []),
        "prod": ("SNI_ONLY", []),
    }
    device = registered.issue("factory", "sensor-0001")
    for stage in registered.stages().values():
        assert expect_refusal(stage, device, "sensor-0001").how == "closed"
        with connect(stage, device, "sensor-0001") as connection:
            assert connection.publish("devices/sensor-0001/state", "21.5")
    shown = registered.ask("device", "where", "sensor-0001")
    assert {one["certificates"][0]["status"] for one in shown.values()} == {"ACTIVE"}


def test_a_mode_is_switched_while_devices_knock_and_all_of_them_come_up_afterwards(
    registered: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first switch fails halfway and is put back; new devices come to the account all the while."""
    fleet, stage = registered, registered.stage("dev")
    before, between = (fleet.issue("partner", name) for name in ("gateway-0000", "gateway-0001"))
    connect(stage, before, "gateway-0000").close()
    fleet.prove("partner")
    knocking = Knocking(fleet, stage)

    def meanwhile() -> None:
        assert _mode(fleet, "partner") is None  # deleted, and not yet registered again
        knocking.joined()

    with knocking:
        knocking.joined()
        _fail_first(monkeypatch, meanwhile)
        said = fleet.say("ca", "switch-mode", "--ca", "partner", "--yes", code=1)
        assert "the old registration in mode SNI_ONLY was put back" in said
        assert _mode(fleet, "partner") == "SNI_ONLY"
        connect(stage, between, "gateway-0001").close()  # as active and automatic as it was
        fleet.say("ca", "switch-mode", "--ca", "partner", "--yes")
        assert _mode(fleet, "partner") == "DEFAULT"
        knocking.joined()
        # Its rules say SNI_ONLY still: what comes later than the minute for which a CA is remembered is held until now.
        fleet.deploy("dev")

    connect(stage, before, "gateway-0000").close()  # what was ACTIVE has gone on working
    knocking.come_up()
    status = fleet.ask("ca", "status", "--ca", "partner")["dev"]["cas"][0]
    assert (status["mode"], status["differences"]) == ("DEFAULT", [])


def test_devices_follow_from_an_old_ca_to_its_successor_and_the_old_one_ends_only_then(registered: Fleet) -> None:
    fleet, names = registered, ("sensor-0002", "sensor-0003")
    stage, prod = fleet.stage("dev"), fleet.stage("prod")
    for one in fleet.stages().values():
        connect(one, fleet.issue("factory", "sensor-0001"), "sensor-0001").close()
    old = {name: fleet.issue("factory", name, days=45) for name in names}
    for name in names:
        connect(stage, old[name], name).close()
    connect(prod, old["sensor-0003"], "sensor-0003").close()

    assert "factory-2, beside factory: register it" in fleet.say("ca", "rotate", code=2)  # nobody said yes
    rotated = fleet.ask("ca", "rotate", "--ca", "factory", "--count", "--yes")
    assert {one["successions"][0]["steps"][0] for one in rotated.values()} == {"register it, with auto-registration"}
    counts = rotated["dev"]["successions"][0]["on_the_old"]["counts"]
    assert counts["ACTIVE"] >= len(names)

    new = {name: fleet.issue("factory-2", name) for name in names}
    for name in names:
        connect(stage, new[name], name).close()
        decision = stage.wait_for_decision(new[name].certificate_id, seconds=60)
        assert decision.replaces == old[name].certificate_id
        wait_until(partial(_swept_away, stage, old[name].certificate_id), "the old certificate's end")

    # sensor-0001 has never rotated, and prod has not seen sensor-0003's new certificate: both are named.
    said = fleet.say("ca", "retire", "factory", "--yes", code=1)
    assert re.search(r"prod/eu-central-1: 2 live devices depend on factory: .*sensor-0003", said)
    assert "sensor-0001" in said
    assert "Nothing was changed anywhere." in said
    assert _status(fleet, "factory") == {"dev": "ACTIVE", "staging": "ACTIVE", "prod": "ACTIVE"}

    fleet.say(
        "device", "retire", old["sensor-0003"].certificate_id, "--account", "prod", "--note", "has a new one", "--yes"
    )
    fleet.say("device", "deactivate", "sensor-0001", "--note", "scrapped", "--yes")
    assert "disable auto-registration; set it INACTIVE" in fleet.say("ca", "retire", "factory", code=2)
    assert "take ca.factory out of them" in fleet.say("ca", "retire", "factory", "--yes")

    assert _status(fleet, "factory") == {"dev": "INACTIVE", "staging": "INACTIVE", "prod": "INACTIVE"}
    for name in names:
        connect(stage, new[name], name).close()
    connect(prod, new["sensor-0003"], "sensor-0003").close()
    fleet.say("ca", "retire", "factory", "--delete", "--yes")
    assert set(_status(fleet, "factory").values()) == {None}
    assert "not registered" in fleet.say("ca", "retire", "factory", "--delete", "--yes")


class Knocking:
    """Devices that connect again and again from another thread, each until it is let in."""

    def __init__(self, fleet: Fleet, stage: LocalStage) -> None:
        self._fleet, self._stage = fleet, stage
        self._devices: dict[str, DeviceFiles] = {}
        self._outside: list[str] = []
        self._rounds = 0
        self._enough = threading.Event()
        self._round = threading.Condition()
        self._thread = threading.Thread(target=self._knock)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def joined(self) -> None:
        """One device more; wait until it has come once, and all that are not in yet once more."""
        name = f"gateway-{1000 + len(self._devices)}"
        files = self._fleet.issue("partner", name)
        with self._round:
            self._devices[name] = files
            self._outside.append(name)
            goal = self._rounds + 2
            assert self._round.wait_for(lambda: self._rounds >= goal, timeout=PATIENCE)

    def come_up(self) -> None:
        """Have every device that ever knocked connect, and wait until it is let in."""
        for name, files in self._devices.items():
            connect(self._stage, files, name).close()

    def _knock(self) -> None:
        while not self._enough.is_set():
            for one in list(self._outside):
                answer = self._stage.device(self._devices[one], one).connect(self._stage.endpoint)
                if not isinstance(answer, ConnectRefusal):
                    answer.close()
                    self._outside.remove(one)
            with self._round:
                self._rounds += 1
                self._round.notify_all()
            self._enough.wait(_BETWEEN_ROUNDS)


def _fail_first(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let the next registration fail, as if AWS IoT refused it; before each one, this happens."""
    real, left = registry.register, [Refused("AWS IoT refuses it")]

    def register(*arguments: Any, **more: Any) -> None:
        meanwhile()
        if left:
            raise left.pop()
        real(*arguments, **more)

    monkeypatch.setattr(registry, "register", register)


def _swept_away(stage: LocalStage, certificate_id: str) -> bool:
    stage.sweep()
    return stage.status(certificate_id) == "INACTIVE"


def _status(fleet: Fleet, ca: str) -> dict[str, str | None]:
    return {name: _described(fleet, name, ca).get("status") for name in fleet.accounts}


def _mode(fleet: Fleet, ca: str) -> str | None:
    return _described(fleet, "dev", ca).get("certificateMode")


def _described(fleet: Fleet, account: str, ca: str) -> dict[str, Any]:
    """A CA as AWS IoT describes it; empty when it is not registered."""
    iot = fleet.accounts[account].client("iot")
    try:
        answer = iot.describe_ca_certificate(certificateId=fleet.cas[ca].certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return {}
    return dict(answer["certificateDescription"])
