"""A fleet in the simulation: an operator with jitrctl, the real functions behind the queues, and devices that knock."""

import json
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.record import Record
from jitr.verdicts import OperatorVerdict
from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.commands.device import order, remove
from jitrctl.device.operations import Operator
from jitrctl.device.sessions import DeviceSessions
from jitrctl.session import pace
from jitrctl.session import stage as stages
from jitrctl.session.stage import Stage, choose
from simulation import Authority, Aws, Clock, Deployment, Leaf, SimulatedAccount
from simulation.faults import Died

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
DEV, PROD = "dev", "prod"
IDS = {DEV: "111111111111", PROD: "222222222222"}
REGION = "eu-central-1"
BOTH = '{ mode = "SNI_ONLY" }'
RULES = 'common_name = "sensor-[0-9]{4,}"\nthing_type = "sensor"\n'


@dataclass(frozen=True)
class Access:
    """A way into a simulated account, in place of jitrctl.session.access.Access."""

    place: SimulatedAccount
    caller: str
    elsewhere: None = None

    def client(self, service: Any, config: Any = None) -> Any:  # noqa: ARG002 -- as Access
        return self.place.client(service, caller="jitrctl")


@dataclass
class Simulated:
    """Two accounts in one Region, under one CA and, once it is told so, its successor."""

    directory: Path
    aws: Aws = field(default_factory=lambda: Aws(Clock(NOW)))
    deployments: dict[str, Deployment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.old, self.new = Authority.new("Factory 1"), Authority.new("Factory 2")
        (self.directory / "factory.pem").write_text(self.old.pem)
        (self.directory / "factory-2.pem").write_text(self.new.pem)
        self.file = self.directory / "fleet.toml"

    def write(self, rules: str = RULES, *, successor_in: tuple[str, ...] = (DEV, PROD), source: str = "") -> None:
        """Write the fleet file, with these rules for both CAs; `source`: those of the source `maker`."""
        text = f'[fleet]\nname = "acme"\n[ca.factory]\ncertificate = "factory.pem"\n{rules}'
        if successor_in:
            text += f'[ca.factory-2]\ncertificate = "factory-2.pem"\nsucceeds = "factory"\n{rules}'
        if source:
            text += f"[registered.maker]\n{source}"
        for name, number in IDS.items():
            text += f'[account.{name}]\nid = "{number}"\nregions = ["{REGION}"]\nca.factory = {BOTH}\n'
            if name in successor_in:
                text += f"ca.factory-2 = {BOTH}\n"
            if source:
                text += "registered.maker = {}\n"
        self.file.write_text(text)

    def deploy(self) -> None:
        """What the fleet file says is deployed everywhere; the registry and the list stay as they are."""
        for stage in choose(load(self.file), (), ()):
            self.place(stage.account.name).functions.create(stage.names.sweep_function, lambda _: {})
            deployed = self.deployments.get(stage.account.name)
            if deployed is None:
                self.deployments[stage.account.name] = Deployment(self.place(stage.account.name), stage.rules)
            else:
                deployed.rules = stage.rules
                for origin in stage.rules.origins:
                    deployed._prepare(origin)

    def place(self, name: str) -> SimulatedAccount:
        return self.aws.account(IDS[name], REGION)

    def stage(self, name: str) -> Stage:
        (stage,) = choose(load(self.file), [name], ())
        return stage

    def iot(self, name: str) -> Any:
        return self.place(name).client("iot", caller="test")

    def record(self, name: str, certificate: Leaf | str) -> Record:
        one = certificate if isinstance(certificate, str) else certificate.certificate_id
        return self.stage(name).registry.recall([one])[one]

    def verdict(self, name: str, leaf: Leaf) -> OperatorVerdict | None:
        return self.record(name, leaf).verdict

    def status(self, name: str, leaf: Leaf) -> str | None:
        iot = self.iot(name)
        try:
            described = iot.describe_certificate(certificateId=leaf.certificate_id)
        except iot.exceptions.ResourceNotFoundException:
            return None
        return str(described["certificateDescription"]["status"])

    def issue(self, name: str, *, ca: Authority | None = None, begins: float = -1, days: float = 365) -> Leaf:
        """A device's certificate; `begins` in days from now."""
        not_before = NOW + begins * DAY
        return (ca or self.old).issue(name, not_before=not_before, not_after=not_before + days * DAY)

    def knock(self, name: str, leaf: Leaf, thing: str) -> str:
        """Connect, and let the functions decide: what a second connect is answered."""
        self.place(name).connect(leaf, client_id=thing)
        self.deployments[name].mapping().drain()
        return self.place(name).connect(leaf, client_id=thing)

    def sweep(self, name: str, *, after: float = 0) -> None:
        self.aws.clock.advance(after)
        self.deployments[name].sweep()
        self.aws.clock.advance(901)  # the longest that a message is put off
        self.deployments[name].mapping().drain()

    def say(self, *words: str, code: int = 0) -> str:
        """Run a command; what it says, with single spaces."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            ended = main([*words, "--fleet", str(self.file)])
        told = " ".join(said.getvalue().split())
        assert ended == code, told
        return told

    def say_without_file(self, *words: str, code: int = 0) -> str:
        """Run a command without --fleet; what it says, with single spaces."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            ended = main([*words])
        told = " ".join(said.getvalue().split())
        assert ended == code, told
        return told

    def lines(self, *words: str, code: int = 0) -> list[str]:
        """Run a command; the lines of its standard output, which is a pipe."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(StringIO()):
            assert main([*words, "--fleet", str(self.file)]) == code
        return said.getvalue().splitlines()

    def ask_any(self, *words: str) -> int | None:
        """Run a command with --json, however it ends: its exit code, or None where it died."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            try:
                return int(main([*words, "--json", "--fleet", str(self.file)]))
            except Died:
                return None

    def ask(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json; what it says of each account."""
        said, beside = StringIO(), StringIO()
        with redirect_stdout(said), redirect_stderr(beside):
            ended = main([*words, "--json", "--fleet", str(self.file)])
        assert ended == code, said.getvalue() + beside.getvalue()
        return {one["account"]: one for one in json.loads(said.getvalue())["stages"]}


def simulated(directory: Path, monkeypatch: pytest.MonkeyPatch, rules: str = RULES) -> Simulated:
    """The fleet, deployed, with the old CA registered; jitrctl's calls go there."""
    fleet = Simulated(directory)
    fleet.write(rules)
    monkeypatch.setattr(stages, "open_access", _opened(fleet))
    for module in (
        "session.stage",
        "device.reconcile",
        "device.held",
        "device.connect_log",
        "commands.device.order",
        "commands.enrollment_orders",
    ):
        monkeypatch.setattr(f"jitrctl.{module}.now", fleet.aws.clock.now, raising=False)
    clock, at_once = fleet.aws.clock, threading.Lock()

    def sleep(seconds: float) -> None:
        with at_once:  # several accounts are worked on at once, and share the clock
            clock.advance(seconds)

    monkeypatch.setattr(order, "Operator", partial(Operator, monotonic=clock.monotonic, sleep=sleep))
    for command in (order, remove):
        monkeypatch.setattr(command, "DeviceSessions", partial(DeviceSessions, monotonic=clock.monotonic, sleep=sleep))
    monkeypatch.setattr(pace, "ServiceTime", lambda _client: lambda: clock.now().timestamp())
    monkeypatch.setattr(pace, "TurnByTurn", partial(TurnByTurn, sleep=sleep))
    fleet.deploy()
    for name in IDS:
        fleet.iot(name).register_ca_certificate(
            caCertificate=fleet.old.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
    return fleet


def _opened(fleet: Simulated) -> Callable[..., Access]:
    return lambda account, *_: Access(fleet.place(account.name), f"arn:aws:sts::{account.id}:assumed-role/operator/ann")
