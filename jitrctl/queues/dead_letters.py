"""Reads, resends and drops the messages of the failure queues: dead letters and undelivered events, of stages and hub.

SQS messages can only be read by receiving them. So a message that is shown is hidden from others for a minute, and made
visible again at the end. A message that is sent again is deleted only after the target queue has it: a crash in between
leaves a duplicate, which is harmless, and loses nothing.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.errors import UnreadableEvent
from jitr.events import RegistrationEvent
from jitr.hub.locations import Statement
from jitrctl.device.locations import is_hub
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_sqs import SQSClient

    from jitrctl.session.stage import Stage

_HIDDEN = 60  # seconds
_LONG_POLL = 1  # second; a short poll asks some of SQS's servers, a long one all
_BATCH = 10  # SQS's most
# What EventBridge writes beside what it could not deliver (EventBridge user guide, "Using dead-letter queues").
_BRIDGES_ATTRIBUTES = ("ERROR_CODE", "ERROR_MESSAGE")


class LetterQueue(StrEnum):
    """A queue of messages that no function reads; the values are those of `--queue`."""

    DEAD = "dead-letters"
    UNDELIVERED = "undelivered"
    UNFORWARDED = "unforwarded"
    HUB = "hub"

    @property
    def described(self) -> str:
        """Its name in a sentence."""
        return {
            LetterQueue.DEAD: "dead-letter queue",
            LetterQueue.UNDELIVERED: "queue of undelivered events",
            LetterQueue.UNFORWARDED: "queue of unforwarded events",
            LetterQueue.HUB: "dead-letter queue of the hub",
        }[self]

    @property
    def is_for_hub(self) -> bool:
        """Whether its messages are for the hub's function: decision events, not registration events."""
        return self in (LetterQueue.UNFORWARDED, LetterQueue.HUB)

    def queue(self, stage: Stage) -> str:
        names = stage.names
        return {
            LetterQueue.DEAD: names.dead_letter_queue,
            LetterQueue.UNDELIVERED: names.undelivered_queue,
            LetterQueue.UNFORWARDED: names.unforwarded_queue,
            LetterQueue.HUB: names.hub_dead_letter_queue,
        }[self]

    def function(self, stage: Stage) -> str:
        """The function that its messages are for."""
        return stage.names.hub_function if self.is_for_hub else stage.names.register_function

    def certificate_id(self, stage: Stage, body: str) -> str:
        """The certificate that an event is about.

        Raises UnreadableEvent.
        """
        if not self.is_for_hub:
            return RegistrationEvent.parse(body).certificate_id
        statement = Statement.parse(body, fleet=stage.fleet.name)
        if self is LetterQueue.UNFORWARDED and (statement.account_id, statement.region) != (
            stage.account.id,
            stage.region,
        ):
            # The hub could not detect that the event is not this stage's: EventBridge attests the sender of a forwarded
            # event, but not of a message that is sent from this queue.
            raise UnreadableEvent(f"in the queue of {stage}, and says that it is of {statement.place}")
        return statement.certificate_id


def list_queues(stage: Stage) -> tuple[LetterQueue, ...]:
    """The queues that a stage has."""
    return tuple(
        queue
        for queue in LetterQueue
        if not queue.is_for_hub or (stage.fleet.hub and (queue is LetterQueue.UNFORWARDED or is_hub(stage)))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of a queue."""

    id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    certificate_id: str | None  # None when the event cannot be read
    reason: str  # why it was not processed


@contextmanager
def receive(stage: Stage, letters: LetterQueue, *, most: int) -> Iterator[list[Letter]]:
    """Receive at most so many messages, hidden from others meanwhile; those not deleted are visible again at the end.

    Raises Refused when there is no such queue; botocore's errors.
    """
    url = _url(stage, letters)
    found: dict[str, Letter] = {}
    try:
        while len(found) < most:
            fresh = [one for one in _receive(stage, letters, url, most - len(found)) if one.id not in found]
            if not fresh:
                break
            found |= {one.id: one for one in fresh}
        yield list(found.values())
    finally:
        _give_back(stage, url, found.values())


@dataclass(frozen=True, slots=True)
class TargetQueue:
    """The queue to which a message is sent again."""

    sqs: SQSClient
    url: str


def find_register_queue(stage: Stage) -> TargetQueue:
    """The queue of `register` in a stage.

    Raises botocore's errors.
    """
    return TargetQueue(stage.sqs, stage.sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"])


def find_hub_queue(hub: Stage) -> TargetQueue:
    """The queue of the hub's function, in the stage with the hub.

    Raises Refused when there is none; botocore's errors.
    """
    try:
        return TargetQueue(hub.sqs, hub.sqs.get_queue_url(QueueName=hub.names.hub_queue)["QueueUrl"])
    except hub.sqs.exceptions.QueueDoesNotExist as error:
        raise Refused(f"{hub} has no queue {hub.names.hub_queue}: deploy the hub's stack") from error


def send_again(stage: Stage, letters: LetterQueue, reader: TargetQueue, letter: Letter) -> None:
    """Send a message to the queue of its function, then delete it from this one.

    Raises Refused when it cannot be read, since the function would fail on it again; botocore's errors.
    """
    if letter.certificate_id is None:
        raise Refused("it cannot be read, and would only come back: `jitrctl dlq drop`")
    reader.sqs.send_message(QueueUrl=reader.url, MessageBody=letter.body)
    drop(stage, letters, letter)


def drop(stage: Stage, letters: LetterQueue, letter: Letter) -> None:
    """Delete a message for good."""
    stage.sqs.delete_message(QueueUrl=_url(stage, letters), ReceiptHandle=letter.receipt_handle)


def _url(stage: Stage, letters: LetterQueue) -> str:
    try:
        return str(stage.sqs.get_queue_url(QueueName=letters.queue(stage))["QueueUrl"])
    except stage.sqs.exceptions.QueueDoesNotExist as error:
        raise Refused(f"there is no {letters.described}: deploy the stack first") from error


def _receive(stage: Stage, letters: LetterQueue, url: str, most: int) -> list[Letter]:
    answer = stage.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=min(most, _BATCH),
        VisibilityTimeout=_HIDDEN,
        WaitTimeSeconds=_LONG_POLL,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=[REASON_ATTRIBUTE, *_BRIDGES_ATTRIBUTES],
    )
    return [_letter(stage, letters, message) for message in answer.get("Messages", [])]


def _letter(stage: Stage, letters: LetterQueue, message: dict[str, Any]) -> Letter:
    certificate_id, unreadable = None, None
    try:
        certificate_id = letters.certificate_id(stage, message["Body"])
    except UnreadableEvent as error:
        unreadable = str(error)
    return Letter(
        id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        certificate_id=certificate_id,
        reason=_read_reason(message) or unreadable or f"unknown; the log of {letters.function(stage)} says why",
    )


def _read_reason(message: dict[str, Any]) -> str | None:
    """The reason in a message's attributes (of `register` or EventBridge) or body (of the topic rule); None without."""
    attributes = {name: said.get("StringValue", "") for name, said in message.get("MessageAttributes", {}).items()}
    if REASON_ATTRIBUTE in attributes:
        return str(attributes[REASON_ATTRIBUTE])
    if _BRIDGES_ATTRIBUTES[0] in attributes:
        return ": ".join(attributes[name] for name in _BRIDGES_ATTRIBUTES if name in attributes)
    try:
        failures = json.loads(message["Body"])["failures"]
        return str(failures[0]["errorMessage"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _give_back(stage: Stage, url: str, letters: Iterable[Letter]) -> None:
    """Make messages visible again; for those deleted meanwhile this fails, without effect."""
    given = list(letters)
    for start in range(0, len(given), _BATCH):
        stage.sqs.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": one.receipt_handle, "VisibilityTimeout": 0}
                for number, one in enumerate(given[start : start + _BATCH])
            ],
        )
