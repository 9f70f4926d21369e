"""Two empty accounts in the simulation, in which `jitrctl prove` is run; and what can be done to it there."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from jitrctl.prove import opening
from jitrctl.prove.certificates import ProbeIdentity
from jitrctl.prove.devices import Subscribed
from jitrctl.session import stage as stages
from simulation import Authority, Aws, Clock, NotModelled, SimulatedAccount
from simulation.aws import DEFAULT_CONFIG
from simulation.faults import ServiceError
from tests.support.prove.functions_double import Extra

# The real call, the account's id, the parameters → the answer.
Lie = Callable[[Callable[..., Any], str, dict[str, Any]], Any]
REGION, OTHER_REGION = "eu-central-1", "us-east-1"
IDS = {"dev": "111111111111", "prod": "222222222222"}
CALLER = "jitrctl"


@dataclass(frozen=True)
class Access:
    """In place of jitrctl.session.access.Access."""

    world: "World"
    account: SimulatedAccount
    extra: Extra
    caller: str
    elsewhere: None = None

    def client(self, service: Any, config: Any = None) -> Any:
        if service in ("iam", "cloudformation", "lambda", "sqs"):
            return self.extra
        client = self.account.client(service, caller=CALLER, config=config or DEFAULT_CONFIG)
        return _Lying(client, self.account.id, self.world.lies)


@dataclass
class _Lying:
    """A client whose answers a test may replace."""

    client: Any
    account: str
    lies: dict[str, "Lie"]

    def __getattr__(self, method: str) -> Any:
        call = getattr(self.client, method)
        if method not in self.lies:
            return call
        return lambda **parameters: self.lies[method](call, self.account, parameters)


@dataclass
class SimulatedSession:
    """A device's session at the simulation's broker."""

    world: "World"
    account: SimulatedAccount
    client_id: str
    certificate_id: str
    topics: set[str] = field(default_factory=set)
    payloads: list[bytes] = field(default_factory=list)
    closed: bool = False

    @property
    def is_open(self) -> bool:
        if self.closed:
            return False
        try:
            return bool(self.account.iot.connections.get_connection({"clientId": self.client_id})["connected"])
        except ServiceError:
            return False

    def subscribe(self, topic_filter: str) -> Subscribed:
        """Only a policy that names subscriptions allows one: contents are not evaluated further."""
        if self.world.subscriptions_refused:
            self.world.subscriptions_refused -= 1
            self.closed = True
            return "closed"
        arn = self.account.iot.certificates.arn(self.certificate_id)
        if not any("iot:Subscribe" in policy.document for policy in self.account.iot.policies.of_target(arn)):
            self.closed = self.world.unauthorized_subscribe == "closed"
            return self.world.unauthorized_subscribe
        self.topics.add(topic_filter)
        if len(self.topics) == 1:
            self.account.iot.broker.listeners.append(self._listen)
        return "granted"

    def receive(self, seconds: float) -> bytes | None:
        if not self.payloads:
            self.world.aws.clock.sleep(seconds)
        return self.payloads.pop(0) if self.payloads else None

    def close(self) -> None:
        self.closed = True

    def _listen(self, topic: str, text: str) -> None:
        if topic in self.topics and not self.closed:
            self.payloads.append(self.world.tamper_with_event(text).encode())


@dataclass
class SimulatedDevices:
    """What connects to a simulated account."""

    world: "World"
    account: SimulatedAccount

    def check(self) -> None:
        if self.world.endpoint_error:
            raise self.world.endpoint_error

    def connect(
        self, identity: ProbeIdentity, client_id: str, *, sni: bool = True, alone: bool = False
    ) -> SimulatedSession | str:
        self.world.on_connect(self.account, client_id)
        if not self.world.admits(self.account.id, identity, sni, alone):
            return "closed"
        sni = sni or self.world.takes_no_sni
        answer = self.account.connect(identity.certificate, client_id=client_id, sni=sni)
        if answer == "refused":
            return "closed"
        return SimulatedSession(self.world, self.account, client_id, identity.certificate_id)


@dataclass
class SimulatedTime:
    """The simulation's clock, as a run sees it."""

    clock: Clock

    def now(self) -> Any:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)


@dataclass
class World:
    """The accounts, the fleet file, and the command."""

    directory: Path
    aws: Aws = field(default_factory=Aws)
    extras: dict[str, Extra] = field(default_factory=lambda: {name: Extra() for name in IDS})
    unauthorized_subscribe: Subscribed = "closed"
    endpoint_error: Exception | None = None
    on_connect: Callable[[SimulatedAccount, str], None] = lambda *_: None
    admits: Callable[[str, ProbeIdentity, bool, bool], bool] = lambda *_: True  # account, identity, sni, alone
    takes_no_sni: bool = False
    subscriptions_refused: int = 0
    lies: dict[str, "Lie"] = field(default_factory=dict)
    tamper_with_event: Callable[[str], str] = lambda text: text

    def __post_init__(self) -> None:
        # What AWS's guide says; the other answers are injected (test_wrong_answers.py).
        self.aws.undocumented.revoked_may_become_active = False
        for name, extra in self.extras.items():
            extra.account = self.account(name)
        (self.directory / "factory.pem").write_text(Authority.new("Factory").pem)
        self.file = self.directory / "fleet.toml"
        text = '[fleet]\nname = "acme"\n[ca.factory]\ncertificate = "factory.pem"\ncommon_name = "sensor-[0-9]{4,}"\n'
        for name, number in IDS.items():
            text += f'[account.{name}]\nid = "{number}"\nregions = ["{REGION}", "{OTHER_REGION}"]\n'
            text += 'ca.factory = { mode = "SNI_ONLY" }\n'
        self.file.write_text(text)

    def account(self, name: str, region: str = REGION) -> SimulatedAccount:
        return self.aws.account(IDS[name], region)

    def iot(self, name: str) -> Any:
        return self.account(name).client("iot", caller="test")

    def left(self) -> list[str]:
        """Everything that is in both accounts."""
        found = []
        for name, extra in self.extras.items():
            iot = self.account(name).iot
            found += [f"CA {one}" for one in iot.cas.by_id]
            found += [f"certificate {one}" for one in iot.certificates.by_id]
            found += [f"thing {one}" for one in iot.things.by_name]
            found += [f"policy {one}" for one in iot.policies.by_name]
            found += extra.left()
        return found

    @property
    def calls(self) -> int:
        return sum(call.caller == CALLER for call in self.aws.calls)

    @property
    def journals(self) -> list[Path]:
        return list((self.directory / ".prove").glob("*.journal.json"))

    def say(self, *words: str) -> tuple[int, str]:
        """Run the command; its exit code, and what it says with single spaces."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            ended = main(["prove", *words, "--fleet", str(self.file)])
        return ended, " ".join(said.getvalue().split())

    def ask(self, *words: str) -> dict[str, Any]:
        """Run the command with --json and --yes; its document, whatever the exit code."""
        said, beside = StringIO(), StringIO()
        with redirect_stdout(said), redirect_stderr(beside):
            main(["prove", *words, "--yes", "--json", "--fleet", str(self.file)])
        assert said.getvalue(), beside.getvalue()
        document: dict[str, Any] = json.loads(said.getvalue())
        return document


BOTH = ("--account", "dev", "--account", "prod", "--yes")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two empty accounts; the command's calls, devices and time go there."""
    made = World(tmp_path)

    def opened(account: Any, region: str, *_: Any) -> Access:
        caller = f"arn:aws:sts::{account.id}:assumed-role/operator/ann"
        return Access(made, made.account(account.name, region), made.extras[account.name], caller)

    monkeypatch.setattr(stages, "open_access", opened)
    monkeypatch.setattr(
        opening, "open_devices", lambda stage, _: SimulatedDevices(made, made.account(stage.account.name))
    )
    monkeypatch.setattr(opening, "RealTime", lambda: SimulatedTime(made.aws.clock))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(os, "fsync", lambda _: None)  # half of the time; test_journal.py has the real one
    yield made
    made.aws.fault = None


__all__ = ["BOTH", "NotModelled", "World", "world"]
