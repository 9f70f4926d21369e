"""The registrations queue as `register` meets it: a record of a batch, and what can be done with it besides deleting.

The queue's own receive limit only catches a function that cannot start. Everything else is decided here: putting off is
a new visibility timeout, and dead-lettering is a send with the reason as an attribute, so that whoever looks at the
message finds it there.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from jitr.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REASON_ATTRIBUTE = "jitr_reason"
_REASON_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SQS record of a Lambda event."""

    id: str
    receipt_handle: str
    body: str
    sent_at: datetime  # the queue's clock
    receives: int

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        attributes = record["attributes"]
        return cls(
            id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
            receives=int(attributes["ApproximateReceiveCount"]),
        )


class RegistrationsQueue:
    """The two queues that `register` may touch: its own, and the dead-letter queue."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        self._client = client
        self._queue_url = settings.registrations_queue_url
        self._dead_letter_queue_url = settings.dead_letter_queue_url

    def put_off(self, message: Message, *, least: int, most: int) -> None:
        """Let the message come back after a random number of seconds; random, so that a batch does not come as one."""
        self._client.change_message_visibility(
            QueueUrl=self._queue_url,
            ReceiptHandle=message.receipt_handle,
            VisibilityTimeout=random.randint(least, most),  # noqa: S311 -- spreads load, guards nothing
        )

    def dead_letter(self, message: Message, reason: str) -> None:
        """Send the whole message to the dead-letter queue, with the reason; the caller then lets it be deleted."""
        self._client.send_message(
            QueueUrl=self._dead_letter_queue_url,
            MessageBody=message.body,
            MessageAttributes={
                REASON_ATTRIBUTE: {"DataType": "String", "StringValue": reason[:_REASON_LENGTH] or "unknown"}
            },
        )
