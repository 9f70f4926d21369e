"""What is put off is in flight, of which a queue allows 120,000: held devices do not fill it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.pacing.schedule import PACE, in_microseconds
from jitr.pacing.turns import Turns
from jitr.registration import redelivery
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from simulation import Call, Deployment, Fault, Moment
from simulation import queue as simulated

if TYPE_CHECKING:
    from simulation import Authority, Aws, SimulatedAccount

HELD = 12  # more than a batch


@pytest.fixture
def registry(account: SimulatedAccount, deployment: Deployment) -> Registry:
    return Registry(account.client("dynamodb"), deployment.settings.registry_table)


@pytest.fixture
def held(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment, registry: Registry
) -> list[str]:
    """Devices that were held under other rules and knock again, so that each of them wants a turn."""
    ids = []
    for number in range(HELD):
        leaf = authority.issue(f"sensor-{number:04}")
        account.connect(leaf, client_id=f"sensor-{number:04}")
        ids.append(leaf.certificate_id)
        registry.record(
            Decision(
                certificate_id=leaf.certificate_id,
                outcome=Outcome.HELD,
                status=Status.PENDING_ACTIVATION,
                registered_at=account.iot.certificates.by_id[leaf.certificate_id].created_at,
                decided_at=aws.clock.now() - timedelta(minutes=1),
                rules_digest="of other rules",
                ca_certificate_id=authority.certificate_id,
                ca="factory",
                reason=Reason.COMMON_NAME_REFUSED,
                attempts=3,
            )
        )
    aws.calls.clear()
    assert deployment.registrations.size == HELD
    return ids


def occupy(aws: Aws, deployment: Deployment, *, line: float) -> None:
    """All turns of the next half minute are taken, and the line of those that found none is so many seconds long."""
    now = aws.clock.now().timestamp()
    for_long = now + 30
    item = {name: {"N": str(in_microseconds(for_long))} for name in ("next_at", "held_at", "ordered_at")}
    line_at = {"N": str(in_microseconds(now + line))}
    deployment.registry.items[(PACE,)] = {"id": {"S": PACE}, **item, "line_at": line_at}


def due_of(deployment: Deployment, certificate_id: str) -> str | None:
    item = deployment.registry.items[(f"certificate#{certificate_id}",)]
    return item["due"]["S"] if "due" in item else None


def forget_due(deployment: Deployment, certificate_id: str) -> None:
    item = deployment.registry.items[(f"certificate#{certificate_id}",)]
    del item["due"], item["due_at"]


def writes(aws: Aws) -> int:
    return aws.list_operations(service="dynamodb").count("UpdateItem")


def test_a_queue_with_120_000_in_flight_gives_nothing_to_anybody(
    account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulated._MOST_IN_FLIGHT == 120_000
    monkeypatch.setattr(simulated, "_MOST_IN_FLIGHT", 5)
    queue = account.sqs.create("work", visibility=30)
    for number in range(8):
        queue.send(str(number), delay=0)
    queue.send("delayed", delay=5)  # not in flight
    (first, *others) = queue.receive()
    assert len(others) == 4
    assert queue.receive() == []
    queue.delete(first.receipt_handle)
    assert len(queue.receive()) == 1
    assert queue.in_flight() == queue.most_in_flight == 5
    account.aws.clock.advance(30)
    assert queue.in_flight() == 0
    assert len(queue.receive()) == 5


def test_held_devices_stand_in_line_while_it_is_short(aws: Aws, deployment: Deployment, held: list[str]) -> None:
    occupy(aws, deployment, line=0)
    deployment.mapping().drain(within=1)
    assert deployment.registrations.in_flight() == len(held)
    assert deployment.journal.metrics["NotItsTurn"] == 0


def test_held_devices_leave_the_queue_when_the_line_is_long(aws: Aws, deployment: Deployment, held: list[str]) -> None:
    occupy(aws, deployment, line=900)
    mapping = deployment.mapping()
    mapping.poll()
    mapping.poll()
    assert deployment.registrations.size == 0
    assert deployment.journal.metrics["NotItsTurn"] == len(held)
    assert {due_of(deployment, one) for one in held} == {Due.LOOK}
    assert writes(aws) == 0  # the record already said so
    assert aws.list_operations(service="iot") == []


@pytest.mark.parametrize("line", [5, 900], ids=["in line", "left to the sweep"])
def test_held_devices_without_a_turn_keep_a_new_one_and_the_environment_no_longer(
    aws: Aws,
    account: SimulatedAccount,
    authority: Authority,
    deployment: Deployment,
    held: list[str],
    line: float,
) -> None:
    """In a batch of ten, with nine of them; they are put off at once, while the new one is decided on."""
    for one in held:
        forget_due(deployment, one)
    mapping = deployment.mapping()
    account.connect(authority.issue("sensor-9000"), client_id="sensor-9000")
    deployment.registrations.receive(len(held) - 9)
    occupy(aws, deployment, line=line)
    turn, latency = 0.5, 0.1
    deployment.registry.items[(PACE,)]["next_at"] = {"N": str(in_microseconds(aws.clock.now().timestamp() + turn))}
    aws.latency = lambda _call: latency
    began = aws.clock.monotonic()
    mapping.poll()
    alone = turn + 11 * latency  # the CA, and ten calls of the device
    assert aws.clock.monotonic() - began < alone + 2 * latency
    assert deployment.journal.metrics["Activated"] == 1


def test_a_record_without_due_has_its_look_before_its_message_is_deleted(
    aws: Aws, account: SimulatedAccount, deployment: Deployment, held: list[str]
) -> None:
    for one in held:
        forget_due(deployment, one)
    occupy(aws, deployment, line=900)
    mapping = deployment.mapping()
    mapping.poll()
    mapping.poll()
    assert deployment.registrations.size == 0
    assert {due_of(deployment, one) for one in held} == {Due.LOOK}
    # None of them ever connects again.
    aws.clock.advance(900)
    assert deployment.sweep().sent == len(held)
    for _ in range(20):
        aws.clock.advance(60)
        deployment.mapping().drain()
    assert {account.iot.certificates.by_id[one].status for one in held} == {"ACTIVE"}


def test_a_denied_device_is_not_made_due_for_a_look(aws: Aws, deployment: Deployment, held: list[str]) -> None:
    denied = held[0]
    deployment.registry.items[(f"certificate#{denied}",)]["due"] = {"S": Due.DENIED.value}
    occupy(aws, deployment, line=900)
    mapping = deployment.mapping()
    mapping.poll()
    mapping.poll()
    assert deployment.registrations.size == 0
    assert due_of(deployment, denied) == Due.DENIED


def test_what_became_due_meanwhile_is_not_overwritten(
    deployment: Deployment, registry: Registry, aws: Aws, held: list[str]
) -> None:
    deployment.registry.items[(f"certificate#{held[0]}",)]["due"] = {"S": Due.DENIED.value}
    registry.schedule_evaluation(held[0], aws.clock.now())
    assert due_of(deployment, held[0]) == Due.DENIED


def test_a_message_stays_when_its_look_cannot_be_written(aws: Aws, deployment: Deployment, held: list[str]) -> None:
    for one in held:
        forget_due(deployment, one)
    occupy(aws, deployment, line=900)

    def fault(call: Call, _moment: Moment) -> Fault | None:
        return Fault.SERVER_ERROR if call.operation == "UpdateItem" else None

    aws.fault = fault
    mapping = deployment.mapping()
    mapping.poll()
    mapping.poll()
    assert deployment.registrations.size == len(held)
    assert {due_of(deployment, one) for one in held} == {None}


def test_nothing_is_put_off_for_minutes_while_many_messages_are_in_flight(
    aws: Aws, deployment: Deployment, held: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "_MOST_IN_FLIGHT", 10)

    def fault(call: Call, _moment: Moment) -> Fault | None:
        return Fault.SERVER_ERROR if call.service == "iot" else None

    aws.fault = fault
    most_at_last = 0
    for _ in range(60):
        deployment.mapping().drain(within=10)
        aws.clock.advance(10)
        most_at_last = deployment.registrations.in_flight()
    assert most_at_last < 10
    assert deployment.journal.metrics["LeftToSweep"] >= len(held) - 10
    assert {due_of(deployment, one) for one in held} == {Due.LOOK}


def test_a_line_that_others_made_longer_meanwhile_is_no_failure(
    deployment: Deployment, held: list[str], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupy(aws, deployment, line=0)
    monkeypatch.setattr(Turns, "line_up", lambda _self, number: [904.0] * number)
    mapping = deployment.mapping()
    mapping.poll()
    mapping.poll()
    assert deployment.registrations.in_flight() == len(held)
    assert [line for line in deployment.journal.lines if line[0] == "error"] == []
