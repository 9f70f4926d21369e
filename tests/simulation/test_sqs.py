"""A standard queue, as boto3 sees it."""

import random
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from simulation import Aws, Fault, SimulatedAccount
from simulation.queue import Queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def dead_letters(account: SimulatedAccount) -> Queue:
    return account.sqs.create("dead", retention=1000)


@pytest.fixture
def queue(account: SimulatedAccount, dead_letters: Queue) -> Queue:
    return account.sqs.create("work", visibility=30, retention=600, dead_letters=dead_letters, max_receives=3)


@pytest.fixture
def sqs(account: SimulatedAccount) -> "SQSClient":
    client: SQSClient = account.client("sqs")
    return client


def test_a_received_message_is_hidden_until_its_visibility_timeout(aws: Aws, sqs: "SQSClient", queue: Queue) -> None:
    sqs.send_message(QueueUrl=queue.url, MessageBody="hello")
    aws.clock.advance(1)
    (message,) = sqs.receive_message(QueueUrl=queue.url, MessageSystemAttributeNames=["All"])["Messages"]
    assert message["Body"] == "hello"
    sent = int(message["Attributes"]["SentTimestamp"])
    assert int(message["Attributes"]["ApproximateFirstReceiveTimestamp"]) - sent == 1000
    assert "Messages" not in sqs.receive_message(QueueUrl=queue.url)
    aws.clock.advance(30)
    (again,) = sqs.receive_message(QueueUrl=queue.url, MessageSystemAttributeNames=["All"])["Messages"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    # Only the latest handle deletes; an older one does nothing, and says so to nobody.
    sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    assert queue.size == 1
    sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=again["ReceiptHandle"])
    assert queue.size == 0


def test_visibility_can_be_changed_while_in_flight_only(aws: Aws, sqs: "SQSClient", queue: Queue) -> None:
    queue.send("hello")
    handle = sqs.receive_message(QueueUrl=queue.url)["Messages"][0]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue.url, ReceiptHandle=handle, VisibilityTimeout=100)
    aws.clock.advance(99)
    assert queue.receive() == []
    sqs.change_message_visibility(QueueUrl=queue.url, ReceiptHandle=handle, VisibilityTimeout=0)
    with pytest.raises(sqs.exceptions.MessageNotInflight):
        sqs.change_message_visibility(QueueUrl=queue.url, ReceiptHandle=handle, VisibilityTimeout=1)
    assert len(queue.receive()) == 1


def test_a_message_is_hidden_for_twelve_hours_in_all_since_it_was_received(
    aws: Aws, sqs: "SQSClient", queue: Queue
) -> None:
    queue.retention = 1e6
    queue.send("hello")
    (message,) = queue.receive()
    queue.change_visibility(message.receipt_handle, 12 * 3600)
    aws.clock.advance(3600)
    with pytest.raises(ClientError, match="beyond the limit"):
        sqs.change_message_visibility(
            QueueUrl=queue.url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=11 * 3600 + 1
        )
    queue.change_visibility(message.receipt_handle, 11 * 3600)


def test_shortening_a_visibility_timeout_shows_the_message_once(aws: Aws, queue: Queue) -> None:
    queue.send("hello")
    (message,) = queue.receive()
    queue.change_visibility(message.receipt_handle, 5)
    aws.clock.advance(5)
    assert len(queue.receive()) == 1
    aws.clock.advance(25)  # the first timeout would end here
    assert queue.receive() == []


def test_at_most_ten_are_received_in_order_of_sending(sqs: "SQSClient", queue: Queue) -> None:
    for number in range(12):
        queue.send(str(number))
    messages = sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == [str(number) for number in range(10)]


def test_a_message_received_too_often_is_redriven_with_its_first_enqueue_time(
    aws: Aws, queue: Queue, dead_letters: Queue
) -> None:
    queue.send("poison")
    for _ in range(3):
        assert len(queue.receive()) == 1
        aws.clock.advance(30)
    assert queue.receive() == []
    assert (queue.size, dead_letters.size) == (0, 1)
    assert dead_letters.messages[0].sent_at == 0
    aws.clock.advance(909)
    assert dead_letters.size == 1
    aws.clock.advance(1)
    assert dead_letters.size == 0


def test_a_message_is_gone_after_its_retention(aws: Aws, queue: Queue) -> None:
    queue.send("old")
    aws.clock.advance(599)
    queue.send("new")
    assert queue.size == 2
    aws.clock.advance(1)
    assert [message.body for message in queue.receive()] == ["new"]


def test_attributes_travel_with_the_message(sqs: "SQSClient", queue: Queue) -> None:
    reason = {"jitr_reason": {"DataType": "String", "StringValue": "unreadable"}}
    sqs.send_message(QueueUrl=queue.url, MessageBody="x", MessageAttributes=reason)  # type: ignore[arg-type]  # plain dict
    (message,) = sqs.receive_message(QueueUrl=queue.url, MessageAttributeNames=["All"])["Messages"]
    assert message["MessageAttributes"]["jitr_reason"]["StringValue"] == "unreadable"


def test_a_batch_reports_each_entry(account: SimulatedAccount, sqs: "SQSClient", queue: Queue) -> None:
    entries = [{"Id": "a", "MessageBody": "fine"}, {"Id": "b", "MessageBody": "\x00"}]
    answer = sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)  # type: ignore[arg-type]  # plain dicts
    assert [entry["Id"] for entry in answer["Successful"]] == ["a"]
    assert [entry["Id"] for entry in answer["Failed"]] == ["b"]
    account.aws.fault = lambda _, moment: Fault.PARTIAL if moment == "before" else None
    entries = [{"Id": "c", "MessageBody": "one"}, {"Id": "d", "MessageBody": "two"}]
    answer = sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)  # type: ignore[arg-type]
    assert [entry["Id"] for entry in answer["Failed"]] == ["c"]
    assert [message.body for message in queue.messages] == ["fine", "two"]


def test_a_missing_queue_is_botocores_queue_does_not_exist(sqs: "SQSClient") -> None:
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as raised:
        sqs.send_message(QueueUrl="https://sqs.eu-central-1.amazonaws.com/1/missing", MessageBody="x")
    assert raised.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(ClientError):
        sqs.get_queue_url(QueueName="missing")


def test_counts_are_of_what_is_visible_and_what_is_not(sqs: "SQSClient", queue: Queue) -> None:
    for _ in range(3):
        queue.send("x")
    queue.receive(1)
    attributes = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "2"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_a_test_can_duplicate_and_reorder(queue: Queue) -> None:
    first = queue.send("first")
    for number in range(5):
        queue.send(str(number))
    queue.duplicate(first)
    queue.reorder(random.Random(1))  # noqa: S311 -- a shuffle
    received = queue.receive()
    assert sorted(str(message.body) for message in received) == ["0", "1", "2", "3", "4", "first", "first"]
    assert received[0].body != "first" or received[1].body != "0"
    copies = [message for message in received if message.body == "first"]
    assert copies[0].message_id == copies[1].message_id
    queue.delete(copies[0].receipt_handle)
    assert queue.size == 6


def test_the_oldest_messages_age_leaves_out_poison(aws: Aws, account: SimulatedAccount, queue: Queue) -> None:
    queue.max_receives = 100
    queue.send("poison")
    aws.clock.advance(10)
    queue.send("other")
    aws.clock.advance(10)
    assert queue.age_of_oldest() == 20
    for _ in range(4):
        for message in queue.receive():
            queue.change_visibility(message.receipt_handle, 1000 if message.body == "other" else 0)
    assert queue.age_of_oldest() == 10
    now = aws.clock.now()
    datapoints = account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": "work"}],
        StartTime=now.replace(minute=0, hour=0),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert [point["Maximum"] for point in datapoints] == [10]


def test_a_shuffled_queue_gives_out_everything_once_in_no_order(queue: Queue) -> None:
    queue.shuffled = random.Random(1)  # noqa: S311 -- a test
    for number in range(50):
        queue.send(str(number))
    given = [str(message.body) for _ in range(5) for message in queue.receive(10)]
    assert sorted(given, key=int) == [str(number) for number in range(50)]
    assert given != sorted(given, key=int)


def test_the_depth_of_a_queue_is_what_is_in_it_received_or_not(aws: Aws, queue: Queue, dead_letters: Queue) -> None:
    for number in range(3):
        queue.send(str(number))
    (first, *_) = queue.receive(2)
    assert (queue.depth, queue.size) == (3, 3)
    queue.delete(first.receipt_handle)
    assert (queue.depth, queue.size) == (2, 2)
    for _ in range(4):  # three receives are allowed
        aws.clock.advance(31)
        queue.receive(10)
    assert (queue.depth, dead_letters.depth) == (0, 2)
