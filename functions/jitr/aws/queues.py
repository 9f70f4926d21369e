"""Reads messages of the registrations queue, and puts them off, dead-letters or sends them.

The queue's own receive limit only catches a function that cannot start. `register` decides everything else: it puts a
message off with a new visibility timeout, and dead-letters it by sending it with the reason as an attribute, where an
operator finds it.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from jitr.aws.calls import batches, calling, entry_error
from jitr.events import event_document
from jitr.frozen import value
from jitr.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

REASON_ATTRIBUTE = "jitr_reason"
# The version before counted in attributes of a message that it sent again; such messages may still be in the queue.
FAILURES_ATTRIBUTE = "jitr_failures"
MISSES_ATTRIBUTE = "jitr_misses"
_SENT_AT_ATTRIBUTE = "jitr_sent_at"
# On the sweep's messages. AWS IoT's rules send a body alone, so no device can set it.
_SWEEP_ATTRIBUTE = "jitr_sweep"
# Characters that make SendMessage refuse a message (SQS API reference). Compiled on demand, since that takes some
# milliseconds of a cold start.
_REFUSED = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_REASON_LENGTH = 500
_LONGEST_NUMBER = 15  # digits
_ASK_EVERY = timedelta(seconds=30)
MOST_IN_BATCH = 10  # SendMessageBatch


@value
class QueueMessage:
    """One SQS record of a Lambda event."""

    id: str
    receipt_handle: str
    body: str
    sent_at: datetime  # the queue's clock
    receives: int
    failures: int = 0  # attempts that ended in an error of jitr, as an older version counted them
    misses: int = 0  # attempts at which AWS IoT did not know the certificate, as an older version counted them
    is_swept: bool = False  # the sweep sent it, since something that the certificate depends on is due or has changed

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        attributes = record["attributes"]
        own = record.get("messageAttributes") or {}
        return cls(
            id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            sent_at=datetime.fromtimestamp(
                (_number(own, _SENT_AT_ATTRIBUTE) or int(attributes["SentTimestamp"])) / 1000, UTC
            ),
            receives=int(attributes["ApproximateReceiveCount"]),
            failures=_number(own, FAILURES_ATTRIBUTE),
            misses=_number(own, MISSES_ATTRIBUTE),
            is_swept=_SWEEP_ATTRIBUTE in own,
        )


def _number(attributes: Mapping[str, Any], name: str) -> int:
    """A number in a message's attributes; 0 for an invalid one, since the sender is not trusted."""
    text = attributes.get(name, {}).get("stringValue") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER else 0


class RegistrationsQueue:
    """The two queues that `register` uses: its own, and the dead-letter queue."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        self._client = client
        self._queue_url = settings.registrations_queue_url
        self._dead_letter_queue_url = settings.dead_letter_queue_url
        self._in_flight: tuple[datetime, int] | None = None  # time of the last request, and its answer

    def in_flight(self, now: datetime) -> int:
        """The approximate number of messages that are received and not deleted; read at most twice a minute.

        Raises Unavailable, NotPermitted.
        """
        if self._in_flight is None or now - self._in_flight[0] >= _ASK_EVERY:
            with calling("GetQueueAttributes"):
                answer = self._client.get_queue_attributes(
                    QueueUrl=self._queue_url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
                )
            self._in_flight = now, int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])
        return self._in_flight[1]

    def put_off(self, message: QueueMessage, *, least: int, most: int) -> None:
        """Have the message received again after a random number of seconds, so that a batch does not come as one.

        Raises Unavailable, NotPermitted; then it is received again after the queue's own visibility timeout.
        """
        with calling("ChangeMessageVisibility"):
            self._client.change_message_visibility(
                QueueUrl=self._queue_url,
                ReceiptHandle=message.receipt_handle,
                VisibilityTimeout=random.randint(least, most),  # noqa: S311 -- spreads load, no secret
            )

    def delete(self, messages: Sequence[QueueMessage]) -> None:
        """Delete handled messages before a risky one is handled; at most ten.

        Raises Unavailable, NotPermitted.
        """
        if not messages:
            return
        with calling("DeleteMessageBatch"):
            self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message.receipt_handle}
                    for number, message in enumerate(messages)
                ],
            )

    def dead_letter(self, message: QueueMessage, reason: str) -> None:
        """Send the whole message to the dead-letter queue, with the reason; the caller then deletes it.

        Raises Unavailable, NotPermitted.
        """
        with calling("SendMessage"):
            self._client.send_message(
                QueueUrl=self._dead_letter_queue_url,
                MessageBody=message.body,
                MessageAttributes={
                    REASON_ATTRIBUTE: {
                        "DataType": "String",
                        "StringValue": re.sub(_REFUSED, "\ufffd", reason)[:_REASON_LENGTH] or "unknown",
                    }
                },
            )


@value
class EventToSend:
    """The registration event of a certificate, to be sent to the queue."""

    certificate_id: str
    ca_certificate_id: str | None  # None: its CA is unknown
    registered_at: datetime | None  # None: no registration is known
    delay: int = 0  # seconds until it can be received


class SweepQueue:
    """The registrations queue as the sweep uses it: it reads its age, and sends events."""

    def __init__(self, sqs: "SQSClient", cloudwatch: "CloudWatchClient", settings: Settings) -> None:
        self._sqs = sqs
        self._cloudwatch = cloudwatch
        self._settings = settings

    def age_of_oldest(self, now: datetime) -> timedelta:
        """The age of the queue's oldest message, from CloudWatch's values per minute; zero when empty.

        Raises Unavailable.
        """
        with calling("GetMetricStatistics"):
            answer = self._cloudwatch.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": self._settings.registrations_queue_url.rsplit("/", 1)[-1]}],
                StartTime=now - timedelta(minutes=5),
                EndTime=now,
                Period=60,
                Statistics=["Maximum"],
            )
        points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return timedelta(seconds=points[-1]["Maximum"]) if points else timedelta(0)

    def send(self, events: Sequence[EventToSend], now: datetime) -> None:
        """Send each event in the form in which AWS IoT publishes it, ten at a time.

        Raises Unavailable, NotPermitted when SQS refuses one; those before it are sent.
        """
        url, account_id = self._settings.registrations_queue_url, self._settings.account_id
        send_events(self._sqs, url, events, account_id=account_id, now=now)


def send_events(
    sqs: "SQSClient", queue_url: str, events: Sequence[EventToSend], *, account_id: str, now: datetime
) -> None:
    """Send events to the registrations queue as the sweep does, ten at a time: held devices are evaluated, too.

    Raises Unavailable, NotPermitted when SQS refuses one; those before it are sent.
    """
    for some in batches(events, MOST_IN_BATCH):
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(number),
                "DelaySeconds": one.delay,
                "MessageBody": json.dumps(
                    event_document(
                        certificate_id=one.certificate_id,
                        ca_certificate_id=one.ca_certificate_id,
                        account_id=account_id,
                        published_at=now,
                        registered_at=one.registered_at,
                    )
                ),
                "MessageAttributes": {_SWEEP_ATTRIBUTE: {"DataType": "Number", "StringValue": "1"}},
            }
            for number, one in enumerate(some)
        ]
        with calling("SendMessageBatch"):
            answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            raise entry_error("SendMessageBatch", answer["Failed"][0].get("Code"))
