"""Runs of `register` beside and after each other: turns, crashes, redeliveries, and claims that are given back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from jitr.admission.enrollment import EntryRule
from jitr.errors import Unavailable
from jitr.pacing.schedule import PACE
from jitr.provisioning import IotStep, SetStatus
from jitr.store.revoked_cas import REVOKED_CAS
from tests.support.cases.enrollment import of_device
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named, rules_for
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.events import FIVE_CALLS
from tests.support.edge.records import recall_reason
from tests.support.examples import MINUTE


def test_held_devices_take_what_is_idle_and_new_devices_all_of_theirs(cloud: Cloud, wire: Wire) -> None:
    cloud.turns_per_second = 1
    cloud.under(rules_for(factory(), common_name="nobody|sensor-9999", thing_groups=(), certificate_mode="SNI_ONLY"))
    held = [cloud.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(6)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in held))
    cloud.now += 5 * MINUTE
    wire.forget()
    put_off = cloud.batch(*(cloud.record(cloud.event(device)) for device in held))
    assert len(put_off) == 3  # not forgotten: two turns are idle within a second, and one is guaranteed
    assert wire.operations("iot").count("DescribeCertificate") == 3
    assert cloud.counted()["PutOff"] == 3
    new = [cloud.knock(factory().leaf(named("sensor-9999"))) for _ in range(2)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in new))
    assert wire.operations("iot").count("DescribeCertificate") == 2


class AtTheEnd:
    """Runs actions where they are joined."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []

    def start(self, action: Callable[[], None]) -> None:
        self._actions.append(action)

    def join(self) -> None:
        while self._actions:
            self._actions.pop()()


def test_what_was_begun_ends_before_the_batch_does_even_if_the_schedule_fails(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(2)]
    turns = iter([True])  # the second one is no answer, but StopIteration
    monkeypatch.setattr(warm.turns, "wait_until", lambda _turn: next(turns))
    monkeypatch.setattr(warm.register, "_threads", AtTheEnd)
    with pytest.raises(StopIteration):
        warm.batch(*(warm.record(warm.event(device)) for device in devices))
    assert [warm.status(device) for device in devices] == ["ACTIVE", "PENDING_ACTIVATION"]


def test_a_schedule_that_fails_unexpectedly_puts_messages_off_and_fails_no_batch(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_wanted: object) -> list[float]:
        raise ValueError("something unheard of")

    warm.under(rules_for(factory(), thing_groups=(), certificate_mode="SNI_ONLY"))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    assert warm.registry.recall([device])[device].is_held
    warm.now += 5 * MINUTE
    for name in ("reserve", "line_up"):
        monkeypatch.setattr(warm.turns, name, fail)
    held, new = warm.record(warm.event(device)), warm.record(warm.event(warm.knock(factory().leaf(named("sensor-2")))))
    assert warm.batch(held, new) == [new["messageId"]]  # the other one has its look by the sweep
    assert (warm.counted()["PutOff"], warm.counted()["NotItsTurn"]) == (1, 1)


def test_a_knock_right_behind_the_first_event_is_put_off_once_and_then_takes_its_place(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    registered = round(warm.now.timestamp() * 1000)
    soon = warm.record(
        warm.event(device, certificateRegistrationTimestamp=str(registered), timestamp=registered + 2000)
    )
    calls = len(wire.operations("iot"))
    assert warm.batch(soon) == [soon["messageId"]]
    assert len(wire.operations("iot")) == calls
    soon["attributes"]["ApproximateReceiveCount"] = "2"
    assert warm.batch(soon) == []
    assert warm.status(device) == "ACTIVE"


def test_what_another_environment_decided_while_a_batch_waited_costs_no_iot_call(warm: Cloud, wire: Wire) -> None:
    first, second = warm.knock(), warm.knock(factory().leaf(named("sensor-0002")))
    theirs, ours = warm.record(warm.event(second)), [warm.record(warm.event(device)) for device in (first, second)]

    turn = iter(("another environment's",))

    def time_is_left() -> bool:
        """At the first question, the batch is recalled, and another environment decides on the second device."""
        if next(turn, None):
            warm.register.handle_batch([theirs], lambda: True)
            warm.now += 2 * SECOND
            wire.forget()
        return True

    assert warm.batch(*ours, time_is_left=time_is_left) == []
    assert [call["certificateId"] for call in wire.of("DescribeCertificate")] == [first]
    recalled = [
        call["RequestItems"][TABLE]["Keys"] for call in wire.of("BatchGetItem") if TABLE in call["RequestItems"]
    ]
    assert [keys for keys in recalled if {"id": {"S": f"certificate#{second}"}} in keys] == [
        [{"id": {"S": f"certificate#{second}"}}, {"id": {"S": PACE}}, {"id": {"S": REVOKED_CAS}}]
    ]
    assert warm.status(first) == warm.status(second) == "ACTIVE"


def test_a_device_that_claimed_and_is_then_refused_for_good_gives_its_name_up(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    assert warm.registry.owner("sensor-0001")
    warm.under(rules_for(factory(), common_name="gateway-[0-9]+", thing_groups=()))
    warm.now += 2 * MINUTE
    assert warm.batch(record) == []
    assert (warm.status(device), recall_reason(warm, device)) == ("INACTIVE", "COMMON_NAME_REFUSED")
    assert warm.registry.owner("sensor-0001") is None


def test_a_rotation_that_is_refused_after_its_claim_gives_the_name_back_to_the_certificate_that_works(
    warm: Cloud, wire: Wire
) -> None:
    first = warm.knock(factory().leaf(begins=NOW - 300 * DAY, ends=NOW + 30 * DAY))
    warm.batch(warm.record(warm.event(first)))
    before = warm.registry.owner("sensor-0001")
    second = warm.knock(factory().leaf(begins=NOW - DAY))
    record = warm.record(warm.event(second))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    warm.enroll(of_device(second, EntryRule.DENY))
    warm.now += 2 * MINUTE
    assert warm.batch(record) == []
    assert (warm.status(second), recall_reason(warm, second)) == ("INACTIVE", "ENTRY_DENIES")
    assert warm.registry.owner("sensor-0001") == before
    warm.now += 8 * DAY
    warm.swept()
    assert warm.status(first) == "ACTIVE", "it has the name again, so nothing ends it"


def test_another_run_that_claims_while_we_refuse_is_not_overruled(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    warm.under(rules_for(factory(), common_name="gateway-[0-9]+", thing_groups=()))
    another = warm.record(warm.event(device))
    assert warm.batch(another) == [another["messageId"]]
    assert warm.status(device) == "PENDING_ACTIVATION"
    assert wire.of("UpdateCertificate") == []


@pytest.mark.parametrize("operation", ["PutEvents", "UpdateItem"])
def test_a_crash_after_active_is_made_good_by_the_next_delivery(warm: Cloud, wire: Wire, operation: str) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down(operation, KeyboardInterrupt())  # as abrupt as a crash
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    announced = wire.of("PutEvents")
    assert warm.status(device) == "ACTIVE"
    assert "decision" not in warm.items()[f"certificate#{device}"]
    assert warm.batch(record) == []
    assert wire.operations("iot") == ["DescribeCertificate"]
    item = warm.items()[f"certificate#{device}"]
    assert item["decision"]["M"]["outcome"]["S"] == "activated"
    assert "intent" not in item
    ids = {json.loads(one["Entries"][0]["Detail"])["id"] for one in [*announced, *wire.of("PutEvents")]}
    assert len(ids) == 1


CRASHES = ["DescribeCertificate", *FIVE_CALLS[1:], "TransactWriteItems"]


@pytest.mark.parametrize("operation", CRASHES)
def test_a_crash_before_active_is_made_good_by_the_next_delivery(warm: Cloud, wire: Wire, operation: str) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down(operation, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.now += 6 * MINUTE  # the visibility timeout: by then, the dead attempt is known to be dead
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


def test_a_message_that_is_handed_out_twice_at_once_is_decided_on_once(warm: Cloud, wire: Wire) -> None:
    """A standard queue delivers at least once, also to two environments in the same second."""
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply, copies = warm.aws_iot.apply, list[dict[str, Any]]()

    def handed_out_again(step: IotStep) -> None:
        if isinstance(step, SetStatus) and not copies:
            copies.append(record)
            assert warm.batch(record) == [record["messageId"]], "the other one is at it"
        apply(step)

    warm.aws_iot.apply = handed_out_again  # type: ignore[method-assign]
    assert warm.batch(record) == []
    assert copies
    assert wire.operations("iot").count("UpdateCertificate") == 1
    assert warm.status(device) == "ACTIVE"


def test_an_attempt_that_failed_after_its_claim_lets_the_next_one_begin_at_once(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.fail("UpdateCertificate", "ThrottlingException")
    assert warm.batch(record) == [record["messageId"]]
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


def test_a_status_that_was_set_without_an_answer_is_found_to_be_ours(warm: Cloud) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply = warm.aws_iot.apply

    def unanswered(step: IotStep) -> None:
        apply(step)
        if isinstance(step, SetStatus):
            raise Unavailable("UpdateCertificate: ReadTimeoutError")

    warm.aws_iot.apply = unanswered  # type: ignore[method-assign]
    assert warm.batch(record) == [record["messageId"]]
    assert warm.status(device) == "ACTIVE"
    assert warm.batch(record) == []
    assert warm.counted()["Activated"] == 1


def test_a_certificate_that_was_revoked_while_we_worked_is_recorded_as_revoked(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.fail("UpdateCertificate", "CertificateStateException", status=406)
    warm.batch(record)
    warm.iot.update_certificate(certificateId=device, newStatus="REVOKED")
    assert warm.batch(record) == []
    assert warm.registry.recall([device])[device].was_revoked_or_deactivated


def test_a_held_certificate_that_was_revoked_by_hand_is_recorded_as_revoked(warm: Cloud) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    warm.iot.update_certificate(certificateId=device, newStatus="REVOKED")
    warm.now += DAY
    warm.batch(warm.record(warm.event(device)))
    assert warm.registry.recall([device])[device].was_revoked_or_deactivated
