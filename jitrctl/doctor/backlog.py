"""What the queue `registrations` holds, without receiving from it, and what that says of one certificate.

SQS shows a message only to who receives it. A message that is received is hidden from the function for a while, and
each receive counts: `register` takes one that came more than three times alone, and gives one up after ten, so a doctor
that is asked again and again would do harm to the very device that it is asked for. So the queue is counted, its age is
asked from CloudWatch, and the rest follows from the registration: AWS IoT publishes an event with it. Where the queue
is empty, that event has left it. Where the oldest message is younger, it most likely has; but SQS leaves out of the age
what was received more than three times (docs/aws-facts.md, 9), and a device that is asked about may well be one whose
event is tried again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr.record import Record
    from jitrctl.session.stage import Stage

_PERIOD = 60  # seconds; SQS's metrics are of a minute
_LOOKED_BACK = timedelta(minutes=15)  # SQS says nothing of a queue that has been idle for six hours
# By how much a minute's maximum, and the clocks of two services, may be off.
_MARGIN = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many messages about any device a queue holds, about, and when the oldest of them was sent."""

    waiting: int
    in_work: int  # received, and not yet deleted or given back
    put_off: int  # sent with a delay
    oldest: datetime | None  # of those received three times at most; None where CloudWatch does not say

    @classmethod
    def of(cls, attributes: Mapping[str, str], oldest: datetime | None) -> Backlog:
        """From GetQueueAttributes."""
        names = ("Messages", "MessagesNotVisible", "MessagesDelayed")
        waiting, in_work, put_off = (int(attributes.get(f"ApproximateNumberOf{name}", 0)) for name in names)
        return cls(waiting=waiting, in_work=in_work, put_off=put_off, oldest=oldest)

    @property
    def total(self) -> int:
        return self.waiting + self.in_work + self.put_off

    def __str__(self) -> str:
        """About 12 messages for all devices in the queue, 2 of them in work, the oldest sent 2026-11-26 11:56Z."""
        parts = [f"about {self.total} message{'' if self.total == 1 else 's'} for all devices in the queue"]
        parts += [f"{self.in_work} of them in work"] if self.in_work else []
        parts += [f"{self.put_off} put off"] if self.put_off else []
        if self.total and self.oldest is not None:
            parts.append(f"the oldest sent {at(self.oldest)}, but for those received more than three times")
        return ", ".join(parts)


def describe_messages(backlog: Backlog, record: Record, registered_at: datetime | None, now: datetime) -> str:
    """What is known of one certificate's messages: its registration's event, and whether it is being decided on."""
    if record.intent is not None:
        return f"the function has begun on this device, {at(record.intent.decided_at)}"
    if registered_at is None or now - registered_at < _MARGIN:
        return ""
    event = f"the event of its registration, {at(registered_at)},"
    if not backlog.total:
        return f"{event} is not among them any more"
    if backlog.oldest is not None and registered_at < backlog.oldest - _MARGIN:
        return f"{event} may be among them only if it was received more than three times"
    return f"{event} may be among them"


def read_oldest(stage: Stage, queue: str, now: datetime) -> datetime | None:
    """When a queue's oldest message was sent, but for those received more than three times.

    None where CloudWatch does not say, or may not be asked. The age is that of the datapoint's time, which may be
    minutes ago: a queue's metrics come late.
    """
    try:
        answer: dict[str, Any] = stage.access.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - _LOOKED_BACK,
            EndTime=now,
            Period=_PERIOD,
            Statistics=["Maximum"],
        )
    except (BotoCoreError, ClientError):
        return None
    if not answer["Datapoints"]:
        return None
    latest = max(answer["Datapoints"], key=lambda one: one["Timestamp"])
    sent: datetime = latest["Timestamp"] - timedelta(seconds=latest["Maximum"])
    return sent
