"""Messages: read from a batch's record, put off, dead-lettered, and sent by the sweep."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jitr.aws.queues import EventToSend, QueueMessage, RegistrationsQueue, SweepQueue
from jitr.errors import Unavailable
from jitr.events import RegistrationEvent
from tests.support.cases.issuing import ACCOUNT, NOW, SECOND
from tests.support.cloud import Cloud, Wire, client
from tests.support.edge.deployed import QUEUE

MINUTE = timedelta(minutes=1)
BATCH = Path(__file__).parents[2] / "events" / "sqs-batch.json"


def forgotten(number: int) -> EventToSend:
    return EventToSend(
        certificate_id=f"{number:064x}", ca_certificate_id="cd" * 32, registered_at=NOW - number * SECOND
    )


@pytest.fixture
def queue(cloud: Cloud) -> RegistrationsQueue:
    return RegistrationsQueue(cloud.sqs, cloud.settings)


@pytest.fixture
def sweep_queue(cloud: Cloud) -> SweepQueue:
    return SweepQueue(cloud.sqs, client(cloud.session, "cloudwatch"), cloud.settings)


def test_a_record_of_a_real_batch_is_read() -> None:
    record = json.loads(BATCH.read_text())["Records"][1]
    message = QueueMessage.from_record(record)
    assert message.id == record["messageId"]
    assert message.receipt_handle == record["receiptHandle"]
    assert message.body == record["body"]
    assert message.sent_at == NOW + timedelta(milliseconds=41_920)
    assert message.receives == 2


def test_a_message_is_put_off_by_its_receipt_for_a_time_between_both_ends(
    cloud: Cloud, wire: Wire, queue: RegistrationsQueue
) -> None:
    message = QueueMessage.from_record(cloud.record("x"))
    for _ in range(40):
        queue.put_off(message, least=1, most=3)
    asked = wire.of("ChangeMessageVisibility")
    assert {one["VisibilityTimeout"] for one in asked} == {1, 2, 3}
    assert {(one["QueueUrl"], one["ReceiptHandle"]) for one in asked} == {
        (cloud.settings.registrations_queue_url, message.receipt_handle)
    }


def test_a_dead_letter_is_the_whole_message_with_the_reason(cloud: Cloud, queue: RegistrationsQueue) -> None:
    queue.dead_letter(QueueMessage.from_record(cloud.record('{"a": "ä"}')), "unreadable: because")
    assert cloud.dead_letters() == [('{"a": "ä"}', "unreadable: because")]


@pytest.mark.parametrize("refused", ["\x00", "\x0b", "\x1b", "\ud800", "\ufffe", "\uffff"])
def test_a_reason_has_no_character_that_sqs_refuses(
    cloud: Cloud, wire: Wire, queue: RegistrationsQueue, refused: str
) -> None:
    queue.dead_letter(QueueMessage.from_record(cloud.record("x")), f"unreadable: {refused}\t\U0001f40d")
    (sent,) = (one for one in wire.of("SendMessage") if "MessageAttributes" in one)
    assert sent["MessageAttributes"]["jitr_reason"]["StringValue"] == "unreadable: \ufffd\t\U0001f40d"


@pytest.mark.parametrize("count", [1, 10])
def test_messages_that_are_done_with_are_forgotten_with_one_call(
    cloud: Cloud, wire: Wire, queue: RegistrationsQueue, count: int
) -> None:
    messages = [QueueMessage.from_record(cloud.record(f"{number}")) for number in range(count)]
    queue.delete(messages)
    (call,) = wire.of("DeleteMessageBatch")
    assert [entry["ReceiptHandle"] for entry in call["Entries"]] == [message.receipt_handle for message in messages]
    url = cloud.settings.registrations_queue_url
    left = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessagesNotVisible"] == left["ApproximateNumberOfMessages"] == "0"


def test_to_forget_nothing_is_no_call(wire: Wire, queue: RegistrationsQueue) -> None:
    wire.forget()
    queue.delete([])
    assert wire.calls == []


@pytest.mark.parametrize(("reason", "kept"), [("x" * 501, "x" * 500), ("", "unknown")])
def test_a_dead_letters_reason_is_neither_endless_nor_empty(
    cloud: Cloud, queue: RegistrationsQueue, reason: str, kept: str
) -> None:
    queue.dead_letter(QueueMessage.from_record(cloud.record("x")), reason)
    assert cloud.dead_letters() == [("x", kept)]


def test_the_sweep_sends_what_aws_would_have_published(cloud: Cloud, sweep_queue: SweepQueue) -> None:
    sweep_queue.send([forgotten(1)], NOW)
    received = cloud.sqs.receive_message(QueueUrl=cloud.settings.registrations_queue_url)["Messages"]
    assert RegistrationEvent.parse(received[0]["Body"]) == RegistrationEvent(
        certificate_id=f"{1:064x}",
        ca_certificate_id="cd" * 32,
        account_id=ACCOUNT,
        certificate_status="PENDING_ACTIVATION",
        published_at=NOW,
        registered_at=NOW - SECOND,
    )


@pytest.mark.parametrize(("count", "batches"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_the_sweep_sends_ten_at_a_time_and_everything_once(
    wire: Wire, sweep_queue: SweepQueue, count: int, batches: list[int]
) -> None:
    sweep_queue.send([forgotten(number) for number in range(count)], NOW)
    sent = [one["Entries"] for one in wire.of("SendMessageBatch")]
    assert [len(entries) for entries in sent] == batches
    ids = [json.loads(entry["MessageBody"])["certificateId"] for entries in sent for entry in entries]
    assert ids == [f"{number:064x}" for number in range(count)]
    assert all(len({entry["Id"] for entry in entries}) == len(entries) for entries in sent)


def test_a_message_that_the_queue_does_not_take_is_unavailable(wire: Wire, sweep_queue: SweepQueue) -> None:
    wire.answer("SendMessageBatch", {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError"}]})
    with pytest.raises(Unavailable, match="InternalError"):
        sweep_queue.send([forgotten(1)], NOW)


def points(*ages: tuple[int, float]) -> dict[str, Any]:
    return {"Datapoints": [{"Timestamp": NOW - minutes * MINUTE, "Maximum": age} for minutes, age in ages]}


@pytest.mark.parametrize(
    ("datapoints", "age"),
    [((), 0), (((1, 70.0),), 70), (((3, 600.0), (1, 70.0), (2, 900.0)), 70), (((1, 0.0), (2, 900.0)), 0)],
)
def test_the_age_of_the_oldest_message_is_the_latest_that_is_known(
    wire: Wire, sweep_queue: SweepQueue, datapoints: tuple[tuple[int, float], ...], age: int
) -> None:
    wire.forget()
    wire.answer("GetMetricStatistics", points(*datapoints))
    assert sweep_queue.age_of_oldest(NOW) == age * SECOND
    asked = wire.of("GetMetricStatistics")[0]
    assert asked["Dimensions"] == [{"Name": "QueueName", "Value": QUEUE}]
    assert (asked["Namespace"], asked["MetricName"]) == ("AWS/SQS", "ApproximateAgeOfOldestMessage")
    assert asked["EndTime"] == NOW


def test_a_queue_that_throttles_is_unavailable(wire: Wire, sweep_queue: SweepQueue) -> None:
    wire.fail("SendMessageBatch", "ThrottlingException")
    with pytest.raises(Unavailable, match="SendMessageBatch"):
        sweep_queue.send([forgotten(1)], NOW)


def test_a_metric_that_throttles_is_unavailable(wire: Wire, sweep_queue: SweepQueue) -> None:
    wire.fail("GetMetricStatistics", "Throttling")
    with pytest.raises(Unavailable, match="GetMetricStatistics"):
        sweep_queue.age_of_oldest(NOW)
