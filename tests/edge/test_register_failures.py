"""Messages that `register` cannot decide on: put off, dropped, left to the sweep, or dead-lettered with the reason."""

import json
from typing import Any

import pytest

from jitr.aws.queues import QueueMessage
from jitr.store.registry_writes import Due
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.events import FIVE_CALLS, UNKNOWN_ID
from tests.support.examples import HOUR


def test_an_unreadable_message_is_dead_lettered_whole_with_the_reason_and_its_neighbours_are_decided(
    warm: Cloud,
) -> None:
    device = warm.knock()
    bodies = ["not JSON", json.dumps(warm.event(device, certificateId="sensor-0001")), "[]"]
    records = [warm.record(body) for body in [bodies[0], warm.event(device), *bodies[1:]]]
    assert warm.batch(*records) == []
    assert warm.status(device) == "ACTIVE"
    letters = warm.dead_letters()
    assert [body for body, _ in letters] == bodies
    assert [reason.split(":")[0] for _, reason in letters] == ["unreadable"] * 3
    assert "certificateId is not 64 hexadecimal digits" in letters[1][1]
    assert warm.counted()["UnreadableMessages"] == 3


def test_an_unreadable_message_that_cannot_be_dead_lettered_stays_in_the_queue(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    bad, good = warm.record("not JSON"), warm.record(warm.event(device))
    wire.fail("SendMessage", "AccessDenied", status=403)
    assert warm.batch(bad, good) == [bad["messageId"]]
    assert warm.status(device) == "ACTIVE"
    assert warm.counted()["NotPermitted"] == 1


def counted(record: dict[str, Any], **counts: int) -> dict[str, Any]:
    """A message that the version before sent again, with what it counted about it."""
    attributes = {f"jitr_{name}": {"stringValue": str(number), "dataType": "Number"} for name, number in counts.items()}
    return record | {"messageAttributes": attributes}


def later(record: dict[str, Any]) -> dict[str, Any]:
    """The same message at its next receive."""
    attributes = record["attributes"]
    receives = str(int(attributes["ApproximateReceiveCount"]) + 1)
    return record | {"attributes": attributes | {"ApproximateReceiveCount": receives}}


def test_an_unknown_certificate_is_put_off_twice_then_gone_and_no_item_is_written(
    warm: Cloud, wire: Wire, spans: list[tuple[int, int]]
) -> None:
    record = warm.record(warm.event(UNKNOWN_ID))
    for _ in range(2):
        assert warm.batch(record) == [record["messageId"]]
        assert spans.pop() == (5, 15)
        warm.now += 5 * SECOND
        record = later(record)
    assert warm.batch(record) == []
    assert wire.of("SendMessage") == []
    assert wire.operations("dynamodb") == ["BatchGetItem"]
    assert warm.items() == {}
    assert warm.dead_letters() == []
    assert warm.counted() == {"PutOff": 2, "Gone": 1}


@pytest.mark.parametrize(("receives", "age", "outcome"), [(99, 9, "PutOff"), (2, 900, "PutOff"), (3, 10, "Gone")])
def test_a_certificate_has_time_and_two_more_receives_to_arrive_everywhere(
    warm: Cloud, receives: int, age: int, outcome: str
) -> None:
    """Put-offs for other causes take the place of a second try, but not of the time."""
    record = warm.record(warm.event(UNKNOWN_ID), receives=receives, age=age * SECOND)
    assert warm.batch(record) == ([] if outcome == "Gone" else [record["messageId"]])
    assert warm.counted() == {outcome: 1}


def test_what_the_version_before_counted_is_counted_on(warm: Cloud, wire: Wire) -> None:
    missed = counted(warm.record(warm.event(UNKNOWN_ID), age=HOUR), misses=2)
    failed = counted(warm.record(warm.event(warm.knock())), failures=9)
    wire.fail("AttachPolicy", "ValidationException")
    assert warm.batch(missed, failed) == []
    assert warm.counted()["Gone"] == 1
    assert len(warm.dead_letters()) == 1


@pytest.mark.parametrize(("receives", "letters"), [(9, 0), (10, 1)])
def test_a_failure_that_cannot_be_counted_ends_by_the_messages_receives(
    warm: Cloud, wire: Wire, receives: int, letters: int
) -> None:
    record = warm.record(warm.event(warm.knock()), receives=receives)
    wire.fail("BatchGetItem", "ValidationException")
    wire.fail("UpdateItem", "AccessDeniedException", status=403)
    assert len(warm.batch(record)) == 1 - letters
    assert len(warm.dead_letters()) == letters
    assert warm.counted()["NotPermitted"] == 1


THROTTLED = [
    "BatchGetItem",
    "DescribeCertificate",
    *FIVE_CALLS[1:],
    "TransactWriteItems",
    "PutEvents",
    "UpdateItem",
]


def updates_until(operation: str, receives: int) -> int:
    """How many calls up to the one that decides: from the fourth receive on, it is noted first that it is begun."""
    return 2 if operation == "UpdateItem" and receives > 3 else 1


@pytest.mark.parametrize("operation", THROTTLED)
@pytest.mark.parametrize(
    ("receives", "least", "most"), [(1, 1, 30), (3, 1, 30), (5, 30, 120), (9, 450, 900), (11, 450, 900)]
)
def test_a_throttled_message_is_put_off_and_never_counted(
    warm: Cloud, wire: Wire, operation: str, receives: int, least: int, most: int
) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device), receives=receives)
    times = updates_until(operation, receives)
    wire.fail(operation, "ThrottlingException", times=times)
    assert warm.batch(record) == [record["messageId"]]
    (put_off,) = wire.of("ChangeMessageVisibility")
    assert (least if operation != "BatchGetItem" else least // 2) <= put_off["VisibilityTimeout"] <= most
    assert warm.dead_letters() == []
    assert warm.counted()["Failures"] == times - 1  # what was noted beside the decision
    # and when the throttle is over, all comes to its end
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
@pytest.mark.parametrize("operation", THROTTLED)
@pytest.mark.parametrize("receives", [12, 500])
def test_what_waits_for_aws_is_left_to_the_sweep_at_the_twelfth_receive(
    warm: Cloud, wire: Wire, operation: str, receives: int, code: str
) -> None:
    device = warm.knock()
    times = updates_until(operation, receives)
    wire.fail(operation, code, times=times)
    assert warm.batch(warm.record(warm.event(device), receives=receives)) == []
    assert wire.of("ChangeMessageVisibility") == wire.of("SendMessage") == []
    assert warm.dead_letters() == []
    metrics = warm.counted()
    assert (metrics["LeftToSweep"], metrics["PutOff"]) == (1, 0)
    assert metrics["NotPermitted"] == (times if code == "AccessDeniedException" else 0)
    (line,) = [line for line in warm.logged() if line["message"] == "message is left to the sweep"]
    assert (line["certificate_id"], line["receives"]) == (device, receives)
    # What an attempt began is due; all else is found as it is.
    began = operation in ("UpdateCertificate", "PutEvents", "UpdateItem")
    assert warm.registry.list_due(Due.LOOK, NOW, most=9) == [device] * began


def test_what_is_put_off_for_anything_else_is_left_to_the_sweep_at_the_hundredth_receive(
    warm: Cloud, wire: Wire
) -> None:
    device = warm.knock()
    for receives, again in ((99, 1), (100, 0)):
        wire.fail("UpdateCertificate", "CertificateStateException", status=406)
        assert len(warm.batch(warm.record(warm.event(device), receives=receives))) == again
    assert warm.counted() == {"PutOff": 1, "LeftToSweep": 1}


def test_what_was_received_five_hundred_times_is_dead_lettered_untouched(warm: Cloud, wire: Wire) -> None:
    assert warm.batch(warm.record(warm.event(warm.knock()), receives=501)) == []
    ((_, reason),) = warm.dead_letters()
    assert reason.startswith("received 501 times without an end")
    assert wire.operations("iot") == []


def test_a_throttled_ca_is_put_off(cloud: Cloud, wire: Wire) -> None:
    record = cloud.record(cloud.event(cloud.knock()))
    wire.fail("DescribeCACertificate", "ThrottlingException")
    assert cloud.batch(record) == [record["messageId"]]
    assert wire.of("ChangeMessageVisibility")


def test_a_certificate_that_was_overtaken_is_put_off(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()), receives=10)
    wire.fail("UpdateCertificate", "CertificateStateException", status=406)
    assert warm.batch(record) == [record["messageId"]]
    assert warm.dead_letters() == []


def test_a_recall_that_is_unavailable_puts_off_the_whole_batch_but_not_what_is_unreadable(
    warm: Cloud, wire: Wire
) -> None:
    records = [warm.record(warm.event(warm.knock())), warm.record(warm.event(UNKNOWN_ID)), warm.record("x")]
    wire.fail("BatchGetItem", "ThrottlingException")
    assert warm.batch(*records) == [record["messageId"] for record in records[:2]]
    assert wire.operations("iot") == []
    assert len(wire.of("ChangeMessageVisibility")) == 2
    assert len(warm.dead_letters()) == 1


def test_any_other_failure_is_put_off_for_longer_each_time_and_dead_lettered_at_the_tenth(
    warm: Cloud, wire: Wire, spans: list[tuple[int, int]]
) -> None:
    event = warm.event(warm.knock())
    record = warm.record(event, receives=50, age=HOUR)  # put-offs do not count
    for failures in range(1, 10):
        wire.fail("AttachPolicy", "ValidationException")
        assert warm.batch(record) == [record["messageId"]]
        assert wire.of("SendMessage") == []
        assert warm.dead_letters() == []
        assert warm.items()[f"failures#{record['messageId']}"]["failures"] == {"N": str(failures)}
        record = later(record)
    assert spans == [(1, longest) for longest in (10, 20, 40, 80, 160, 320, 640, 900, 900)]
    assert warm.counted() == {"Failures": 9, "PutOff": 9}
    wire.fail("AttachPolicy", "ValidationException")
    assert warm.batch(record) == []
    ((body, reason),) = warm.dead_letters()
    assert json.loads(body) == event
    assert reason.startswith("failed 10 times: ")
    assert "AttachPolicy" in reason


def test_a_count_of_failures_expires_after_the_message(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()))
    wire.fail("AttachPolicy", "ValidationException")
    warm.batch(record)
    item = warm.items()[f"failures#{record['messageId']}"]
    assert item["expires_at"] == {"N": str(round((NOW + 14 * DAY).timestamp()))}


def test_a_message_that_the_version_before_sent_again_keeps_when_it_was_sent(warm: Cloud) -> None:
    again = counted(warm.record(warm.event(warm.knock())), sent_at=round((NOW - HOUR).timestamp() * 1000))
    assert warm.batch(again) == []
    assert warm.counts._by_ca["factory"]["SecondsToActive"] == [3600.0]


@pytest.mark.parametrize("number", ["", "-1", "1e9", "²", "9" * 16, "nine"])
def test_counts_that_are_no_numbers_are_none(warm: Cloud, number: str) -> None:
    attributes = {
        name: {"stringValue": number, "dataType": "Number"} for name in ("jitr_failures", "jitr_misses", "jitr_sent_at")
    }
    message = QueueMessage.from_record(warm.record("x") | {"messageAttributes": attributes})
    assert (message.failures, message.misses, message.sent_at) == (0, 0, NOW - SECOND)


def test_a_recall_that_fails_for_another_reason_counts_against_each_message_but_gives_its_answer(
    warm: Cloud, wire: Wire
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2)]
    fresh, old = (warm.record(warm.event(device)) for device in devices)
    wire.fail("BatchGetItem", "ValidationException")
    assert warm.batch(fresh, counted(old, failures=9)) == [fresh["messageId"]]
    ((_, why),) = warm.dead_letters()
    assert why.startswith("failed 10 times: ")
    assert "BatchGetItem" in why
    assert warm.counted() == {"Failures": 2, "PutOff": 1}
    assert wire.operations("iot") == []


def test_one_messages_failure_is_not_its_neighbours(warm: Cloud, wire: Wire) -> None:
    first, second = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2))
    failing = warm.record(warm.event(first))
    wire.fail("CreateThing", "ValidationException")
    assert warm.batch(failing, warm.record(warm.event(second))) == [failing["messageId"]]
    assert (warm.status(first), warm.status(second)) == ("PENDING_ACTIVATION", "ACTIVE")


def test_a_message_that_cannot_be_put_off_comes_again_all_the_same(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()))
    wire.fail("DescribeCertificate", "ThrottlingException")
    wire.fail("ChangeMessageVisibility", "InvalidParameterValue")
    assert warm.batch(record) == [record["messageId"]]
    assert warm.counted() == {"PutOff": 1, "Failures": 1}


def test_a_record_that_cannot_be_read_does_not_stop_its_neighbours(warm: Cloud) -> None:
    first, second = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2))
    item = {"id": {"S": f"certificate#{first}"}, "decision": {"M": {"outcome": {"S": "of a newer version"}}}}
    warm.dynamodb.put_item(TableName=TABLE, Item=item)  # type: ignore[arg-type]
    warm.batch(warm.record(warm.event(first)), warm.record(warm.event(second)))
    assert warm.status(second) == "ACTIVE"


def test_what_an_event_says_can_always_be_logged(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(json.dumps(warm.event(device, awsAccountId="\ud800"))))
    assert warm.log.getvalue().encode()  # as standard output must


def test_an_event_cannot_fill_the_log(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device, awsAccountId="1" * 100_000)))
    assert len(warm.log.getvalue()) < 10_000
