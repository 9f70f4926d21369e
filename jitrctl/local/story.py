"""The demo's story: AWS's multi-account article, played on the local AWS with the real parts.

The real app.py is deployed by the real CDK CLI, the real asset runs as a Lambda function, and a real MQTT client
connects over mutual TLS. Nothing here runs the handler or sets a status. Each step does its part, looks at what came of
it, and fails with one sentence when that is not what the article promises.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitrctl.local import accounts, deployment
from jitrctl.local.device import Refusal
from jitrctl.local.errors import LocalAwsError, NotAcceptedError
from jitrctl.local.issuing import DeviceFiles, IssuingCa
from jitrctl.local.stage import UNKNOWN, LocalStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.model import Fleet
    from jitrctl.local.workspace import Workspace

_PATIENCE = 30.0  # seconds for a device to be accepted, or a decision to be recorded, before the story fails
_POLL = 0.2  # seconds
_SHORT = 16  # digits of an id that are enough to recognize it


@dataclass(slots=True)
class Detail:
    """What a step shows: rows of a table, all with the same keys, and a sentence or two."""

    rows: list[dict[str, str]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its title, and what it does; it raises LocalAwsError when it does not come out as promised."""

    title: str
    play: Callable[[], Detail]


class Story:
    """The steps, in order; each builds on those before.

    Once it has played, `first`, `second` and `ca` are there to go on with (until the accounts are stopped).
    """

    first: LocalStage
    second: LocalStage
    ca: IssuingCa
    example: Fleet  # the checkout's, as it is written

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.example = workspace.example()
        self._places = workspace.places()
        self._sensor: DeviceFiles
        self._summary: list[dict[str, str]] = []

    def steps(self) -> tuple[Step, ...]:
        first, second = (place.account.name for place in self._places)
        return (
            Step(f"Two AWS accounts start: {first} and {second}", self._start),
            Step("cdk deploy, one stack per account", self._deploy),
            Step(f"The maker's CA is registered: DEFAULT in {first}, SNI_ONLY in {second}", self._register_ca),
            Step(f"A new device connects to {first}", self._first_connection),
            Step(f"The same device, the same certificate, moves to {second}", self._move),
            Step(f"A device of the same CA connects to {second} without SNI", self._without_sni),
            Step("Devices that must not get in", self._refused),
            Step("An event is lost, and the sweep takes the device up", self._lost_event),
            Step("A device rotates its certificate, without a gap", self._rotation),
            Step("The end: what became of every device", self._end),
        )

    def _start(self) -> Detail:
        deployment.check_tools(self._workspace)
        started = accounts.up(self._workspace.directory, [place.to_start() for place in self._places])
        fleet, self.ca = self._workspace.prepare(started[0])
        self.first, self.second = (
            LocalStage(account, place, fleet) for account, place in zip(started, self._places, strict=True)
        )
        return Detail(
            rows=[
                {
                    "account": account.name,
                    "id": account.id,
                    "Region": account.region,
                    "API": account.endpoint_url,
                    "MQTT": f"127.0.0.1:{account.mqtt_port}",
                }
                for account in started
            ]
        )

    def _deploy(self) -> Detail:
        deployment.synthesize(self._workspace, self.first.account)
        with ThreadPoolExecutor() as pool:
            seconds = list(pool.map(self._deploy_one, (self.first, self.second)))
        return Detail(
            rows=[
                {"stack": stage.place.stack, "in account": stage.account.id, "seconds": f"{took:.1f}"}
                for stage, took in zip((self.first, self.second), seconds, strict=True)
            ],
            note=(
                "Before any CA is registered, so that no event finds no rule. The CA itself was made with the "
                "article's openssl commands: its certificate id is the last level of the rule's topic."
            ),
        )

    def _deploy_one(self, stage: LocalStage) -> float:
        began = time.monotonic()
        deployment.deploy(self._workspace, stage.account, stage.place)
        return time.monotonic() - began

    def _register_ca(self) -> Detail:
        rows = []
        for stage in (self.first, self.second):
            ca = stage.register_ca(self.ca)
            rows.append(
                {
                    "account": stage.name,
                    "CA certificate id": f"{ca['certificateId'][:_SHORT]}…",
                    "mode": ca["certificateMode"],
                    "status": ca["status"],
                    "auto-registration": ca["autoRegistrationStatus"],
                }
            )
            _expect(ca["certificateId"] == self.ca.certificate_id, f"{stage.name} gives the CA another certificate id")
            _expect(ca["certificateMode"] == stage.mode, f"{stage.name} has the CA in mode {ca['certificateMode']}")
            _expect(ca["status"] == "ACTIVE", f"the CA is {ca['status']} in {stage.name}")
            _expect(ca["autoRegistrationStatus"] == "ENABLE", f"auto-registration is off in {stage.name}")
        return Detail(
            rows=rows,
            note=(
                f"{self.first.name}: registration code → verification certificate, signed with the CA's key. "
                f"{self.second.name}: the public certificate alone."
            ),
        )

    def _first_connection(self) -> Detail:
        self._sensor = self.ca.issue(self._workspace.devices, "sensor-0001")
        return self._onboard(self.first, self._sensor, "sensor-0001")

    def _move(self) -> Detail:
        detail = self._onboard(self.second, self._sensor, "sensor-0001")
        with self._accepted(self.first, self._sensor, "sensor-0001")[0] as connection:
            acknowledged = connection.publish("devices/sensor-0001/state", '{"back": true}')
        _expect(acknowledged, f"the device does not work in {self.first.name} any more")
        detail.rows.append(
            _row("", f"CONNECT and publish in {self.first.name}", "accepted and acknowledged, as before")
        )
        return detail

    def _onboard(self, stage: LocalStage, files: DeviceFiles, name: str) -> Detail:
        """First connection, activation, second connection, own topic, another's topic."""
        began = time.monotonic()
        refusal = stage.device(files, name).connect(stage.endpoint)
        refused = time.monotonic() - began
        if not isinstance(refusal, Refusal):
            refusal.close()
            raise LocalAwsError(f"{stage.name} accepted a certificate that it had never seen")
        status = stage.status(files.certificate_id)
        _expect(status != UNKNOWN, f"{stage.name} did not register the certificate")
        connection, _ = self._accepted(stage, files, name)
        seconds = time.monotonic() - began
        decision = stage.awaited_decision(files.certificate_id, seconds=_PATIENCE)
        _expect(
            decision.outcome is Outcome.ACTIVATED, f"{stage.name} recorded {decision.outcome} {decision.detail or ''}"
        )
        with connection:
            own = connection.publish(f"devices/{name}/state", '{"temperature": 21}')
            other = connection.publish("devices/sensor-9999/state", "{}", timeout=2)
        _expect(own, f"a publish on the device's own topic was not acknowledged in {stage.name}")
        _expect(not other, f"{stage.name} lets a device publish on another thing's topic")
        self._summary.append(_summed(name, stage, "activated", f"{seconds:.2f}"))
        return Detail(
            rows=[
                _row(f"{refused:.2f}", "first CONNECT", f"{refusal.how} without CONNACK; certificate {status}"),
                _row(f"{seconds:.2f}", "CONNECT again", f"CONNACK: accepted, as thing {decision.thing_name}"),
                _row("", f"publish devices/{name}/state", "acknowledged"),
                _row("", "publish devices/sensor-9999/state", "refused: another thing's topic; connection closed"),
            ]
        )

    def _accepted(self, stage: LocalStage, files: DeviceFiles, name: str) -> tuple[Any, float]:
        try:
            connection, attempts = stage.device(files, name).connect_until_accepted(stage.endpoint, patience=_PATIENCE)
        except NotAcceptedError as error:
            decision = stage.decision(files.certificate_id)
            recorded = f"; recorded: {decision.outcome} {decision.reason or ''}" if decision else stage.said()
            raise LocalAwsError(f"{stage.name} did not accept {name} in {_PATIENCE:.0f} s{recorded}") from error
        return connection, attempts[-1].seconds

    def _without_sni(self) -> Detail:
        files = self.ca.issue(self._workspace.devices, "sensor-0002")
        answer = stage_answer(self.second, files, "sensor-0002", sni=False)
        status = self.second.status(files.certificate_id)
        _expect(status == UNKNOWN, f"{self.second.name} registered a device that sent no SNI: {status}")
        self._summary.append(_summed("sensor-0002", self.second, "not registered (no SNI)", "-"))
        return Detail(
            rows=[_row("", "CONNECT without SNI", f"{answer}; certificate {status}")],
            note=(
                "Real AWS hands such a device to the account that holds the CA in DEFAULT mode, here "
                f"{self.first.name}. Two separate local processes cannot show that."
            ),
        )

    def _refused(self) -> Detail:
        stage, rows = self.first, []
        stranger_ca = IssuingCa.create(self._workspace.directory / "ca", "unregistered")
        stranger = stranger_ca.issue(self._workspace.devices, "sensor-0003")
        answer = stage_answer(stage, stranger, "sensor-0003")
        for name, days, reason in (
            ("toaster-0001", 365, Reason.COMMON_NAME_REFUSED),
            ("sensor-0004", 7, Reason.EXPIRES_TOO_SOON),
        ):
            files = self.ca.issue(self._workspace.devices, name, days=days)
            stage_answer(stage, files, name)
            decision = stage.awaited_decision(files.certificate_id, seconds=_PATIENCE)
            status = stage.status(files.certificate_id)
            _expect(decision.reason is reason, f"{name} was {decision.outcome} {decision.reason}, not {reason}")
            _expect(status == decision.status, f"{name} is {status}, the record says {decision.status}")
            rows.append(
                {"device": name, "recorded": str(decision.reason), "certificate": status, "why": decision.detail or ""}
            )
            self._summary.append(_summed(name, stage, f"rejected: {decision.reason}", "-"))
        # Two later events have been decided by now, so an event of the stranger's would have been too.
        status = stage.status(stranger.certificate_id)
        heard = [line for line in stage.log_lines() if line.get("certificate_id") == stranger.certificate_id]
        _expect(status == UNKNOWN, f"a certificate of an unregistered CA is {status}")
        _expect(not heard, "a certificate of an unregistered CA caused an event")
        rows.append(
            {
                "device": "sensor-0003",
                "recorded": "nothing: no event",
                "certificate": status,
                "why": f"its CA is not registered; {answer}",
            }
        )
        self._summary.append(_summed("sensor-0003", stage, "not registered (unknown CA)", "-"))
        return Detail(rows=rows)

    def _lost_event(self) -> Detail:
        stage, name = self.second, "sensor-0005"
        files = self.ca.issue(self._workspace.devices, name)
        with stage.rule_disabled():
            answer = stage_answer(stage, files, name)
        status = stage.status(files.certificate_id)
        _expect(status == "PENDING_ACTIVATION", f"{name} is {status} although its event was lost")
        began = time.monotonic()
        swept = self._swept(stage, lambda: stage.decision(files.certificate_id) is not None)
        decision = stage.awaited_decision(files.certificate_id, seconds=_PATIENCE)
        _expect(decision.outcome is Outcome.ACTIVATED, f"{name} was {decision.outcome}: {decision.detail}")
        self._accepted(stage, files, name)[0].close()
        seconds = f"{time.monotonic() - began:.2f}"
        self._summary.append(_summed(name, stage, "activated, by the sweep", "-"))
        return Detail(
            rows=[
                _row("", "CONNECT, topic rule disabled", f"{answer}; no event; certificate {status}"),
                _row("", "gives up", f"the sweep sends {swept} forgotten certificate to the queue"),
                _row(seconds, "CONNECT, later", f"CONNACK: accepted, as thing {decision.thing_name}"),
            ],
            note=f"The sweep was run at once here; its schedule is every {self.example.sweep.every // 60} minutes.",
        )

    def _rotation(self) -> Detail:
        stage, name = self.first, "sensor-0006"
        # Within the rotation window (60 days), and long enough to be let in (30 days).
        old = self.ca.issue(self._workspace.devices / "old", name, days=45)
        new = self.ca.issue(self._workspace.devices / "new", name)
        with self._accepted(stage, old, name)[0] as connection:
            _expect(connection.publish(f"devices/{name}/state", "{}"), "the old certificate does not work")
            refused = stage_answer(stage, new, name)
            follows = stage.awaited_decision(new.certificate_id, seconds=_PATIENCE)
            _expect(
                follows.replaces == old.certificate_id, f"the new certificate was {follows.outcome}: {follows.detail}"
            )
            _expect(connection.publish(f"devices/{name}/state", "{}"), "there was a gap before the new one worked")
        with self._accepted(stage, new, name)[0] as connection:
            self._swept(stage, lambda: stage.status(old.certificate_id) == "INACTIVE")
            _expect(connection.publish(f"devices/{name}/state", "{}"), "the new certificate stopped working")
        status = stage.status(old.certificate_id)
        _expect(status == "INACTIVE", f"the old certificate is {status} after the overlap")
        self._summary.append(_summed(name, stage, "rotated", "-"))
        return Detail(
            rows=[
                _row("", "old certificate, 45 days left", "works"),
                _row("", "new certificate, first CONNECT", f"{refused}; activated, for thing {follows.thing_name}"),
                _row("", "old certificate, still connected", "publishes on: no gap"),
                _row("", "new certificate, CONNECT again", "CONNACK: accepted"),
                _row(
                    "",
                    f"after the overlap ({self.example.cas[0].overlap // 86_400} days)",
                    f"the sweep retires the old certificate: {status}",
                ),
            ],
            note="The overlap was cut to one second here.",
        )

    def _swept(self, stage: LocalStage, done: Callable[[], bool]) -> int:
        """Run the sweep until it has done what is waited for; how many certificates it sent."""
        sent, deadline = 0, time.monotonic() + _PATIENCE
        while True:
            sent += int(stage.sweep().get("sent", 0))
            if done() or sent:
                return sent
            _expect(time.monotonic() < deadline, f"the sweep did nothing in {_PATIENCE:.0f} s{stage.said()}")
            time.sleep(_POLL)

    def _end(self) -> Detail:
        return Detail(rows=self._summary, note="seconds: from the first CONNECT to the accepted CONNACK")


def stage_answer(stage: LocalStage, files: DeviceFiles, name: str, *, sni: bool = True) -> str:
    """One CONNECT that must be refused, in words.

    Raises LocalAwsError when it is accepted.
    """
    answer = stage.device(files, name).connect(stage.endpoint if sni else stage.endpoint.without_sni())
    if isinstance(answer, Refusal):
        return "closed without CONNACK" if answer.how == "closed" else f"{answer.how}: {answer.detail}"
    answer.close()
    raise LocalAwsError(f"{stage.name} accepted {name}, which must not get in")


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 -- reads as a sentence at each call
    if not holds:
        raise LocalAwsError(otherwise)


def _row(seconds: str, did: str, came_back: str) -> dict[str, str]:
    return {"seconds": seconds, "device": did, "AWS IoT": came_back}


def _summed(device: str, stage: LocalStage, outcome: str, seconds: str) -> dict[str, str]:
    return {"device": device, "account": f"{stage.name} ({stage.mode})", "outcome": outcome, "seconds": seconds}
