"""The two queues for what nobody works on any more: dead letters, and events that a rule could not deliver.

SQS has no way to look without receiving. So what is looked at is hidden from others for a minute, and given back as
soon as the look is over; what is sent again is deleted only after the registrations queue has it, so a crash in between
leaves a duplicate, which costs nothing, and never a loss.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.errors import UnreadableEvent
from jitr.events import RegistrationEvent
from jitr.messages import REASON_ATTRIBUTE
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jitrctl.stages import Stage

_HIDDEN = 60  # seconds
_BATCH = 10  # SQS's most


class Letters(StrEnum):
    """Which queue."""

    DEAD = "dead-letter queue"
    UNDELIVERED = "queue of undelivered events"

    def queue(self, stage: Stage) -> str:
        return stage.names.dead_letter_queue if self is Letters.DEAD else stage.names.undelivered_queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of such a queue."""

    id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    reason: str  # why it is here; "unknown" where nobody said

    @property
    def certificate_id(self) -> str | None:
        """Whose event it is; None when it cannot be read."""
        try:
            return RegistrationEvent.parse(self.body).certificate_id
        except UnreadableEvent:
            return None


@contextmanager
def received(stage: Stage, letters: Letters, *, most: int) -> Iterator[list[Letter]]:
    """At most so many messages, hidden from others meanwhile; those that are still there go back at the end.

    Raises Refused where there is no such queue; botocore's errors.
    """
    url = _url(stage, letters)
    found: dict[str, Letter] = {}
    try:
        while len(found) < most:
            fresh = [one for one in _receive(stage, url, most - len(found)) if one.id not in found]
            if not fresh:
                break
            found |= {one.id: one for one in fresh}
        yield list(found.values())
    finally:
        _give_back(stage, url, found.values())


def send_again(stage: Stage, letters: Letters, letter: Letter) -> None:
    """Put a message into the registrations queue again, then take it out of this one.

    Raises Refused when it cannot be read, so that `register` would only dead-letter it again; botocore's errors.
    """
    if letter.certificate_id is None:
        raise Refused("it is no registration event, and would be dead-lettered again: `jitrctl dlq drop`")
    url = stage.sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"]
    stage.sqs.send_message(QueueUrl=url, MessageBody=letter.body)
    drop(stage, letters, letter)


def drop(stage: Stage, letters: Letters, letter: Letter) -> None:
    """Delete a message for good."""
    stage.sqs.delete_message(QueueUrl=_url(stage, letters), ReceiptHandle=letter.receipt_handle)


def _url(stage: Stage, letters: Letters) -> str:
    try:
        return str(stage.sqs.get_queue_url(QueueName=letters.queue(stage))["QueueUrl"])
    except stage.sqs.exceptions.QueueDoesNotExist as error:
        raise Refused(f"there is no {letters}: deploy the stack first") from error


def _receive(stage: Stage, url: str, most: int) -> list[Letter]:
    answer = stage.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=min(most, _BATCH),
        VisibilityTimeout=_HIDDEN,
        WaitTimeSeconds=1,  # a short poll asks some of SQS's servers, a long one all
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=[REASON_ATTRIBUTE],
    )
    return [
        Letter(
            id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            reason=_reason(message),
        )
        for message in answer.get("Messages", [])
    ]


def _reason(message: dict[str, Any]) -> str:
    """What `register` wrote beside a dead letter, or what the rule wrote into an undelivered one."""
    written = message.get("MessageAttributes", {}).get(REASON_ATTRIBUTE, {}).get("StringValue")
    if written:
        return str(written)
    try:
        failures = json.loads(message["Body"])["failures"]
        return str(failures[0]["errorMessage"])
    except (ValueError, KeyError, IndexError, TypeError):
        return "unknown"


def _give_back(stage: Stage, url: str, letters: Iterable[Letter]) -> None:
    """Show messages to others again; those that were deleted meanwhile fail alone, and are not missed."""
    given = list(letters)
    for start in range(0, len(given), _BATCH):
        stage.sqs.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": one.receipt_handle, "VisibilityTimeout": 0}
                for number, one in enumerate(given[start : start + _BATCH])
            ],
        )
