"""What the queue `registrations` holds, without receiving from it, and what that says of one certificate.

SQS shows a message only to who receives it. A message that is received is hidden from the function for a while, and
each receive counts: `register` takes one that came more than three times alone, and gives one up after ten, so a doctor
that is asked again and again would do harm to the very device that it is asked for. So the queue is counted, its age is
asked from CloudWatch, and the rest follows from the registration: AWS IoT publishes an event with it, and where the
oldest message is younger, that event has left the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr.decisions import Record
    from jitrctl.stages import Stage

_PERIOD = 60  # seconds; SQS's metrics are of a minute
_LOOKED_BACK = timedelta(minutes=15)  # SQS says nothing of a queue that has been idle for six hours
# By how much a minute's maximum, and the clocks of two services, may be off.
_MARGIN = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many messages about any device a queue holds, about, and for how long the oldest has been there."""

    waiting: int
    in_work: int  # received, and not yet deleted or given back
    put_off: int  # sent with a delay
    oldest: timedelta | None  # None where CloudWatch does not say

    @classmethod
    def of(cls, attributes: Mapping[str, str], oldest: timedelta | None) -> Backlog:
        """From GetQueueAttributes."""
        names = ("Messages", "MessagesNotVisible", "MessagesDelayed")
        waiting, in_work, put_off = (int(attributes.get(f"ApproximateNumberOf{name}", 0)) for name in names)
        return cls(waiting=waiting, in_work=in_work, put_off=put_off, oldest=oldest)

    @property
    def total(self) -> int:
        return self.waiting + self.in_work + self.put_off

    def __str__(self) -> str:
        """About 12 messages for all devices in the queue, 2 of them in work, the oldest for 4m."""
        parts = [f"about {self.total} message{'' if self.total == 1 else 's'} for all devices in the queue"]
        parts += [f"{self.in_work} of them in work"] if self.in_work else []
        parts += [f"{self.put_off} put off"] if self.put_off else []
        if self.total and self.oldest is not None:
            parts.append(f"the oldest for {self.oldest.total_seconds() // 60:.0f}m")
        return ", ".join(parts)

    def has_lost(self, published_at: datetime, now: datetime) -> bool:
        """Whether a message of then has certainly left the queue."""
        if not self.total:
            return True
        return self.oldest is not None and now - published_at > self.oldest + _MARGIN


def said_of(backlog: Backlog, record: Record, registered_at: datetime | None, now: datetime) -> str:
    """What is known of one certificate's messages: its registration's event, and whether it is being decided on."""
    if record.intent is not None:
        return f"the function has begun on this device, {at(record.intent.decided_at)}"
    if registered_at is None or now - registered_at < _MARGIN:
        return ""
    if backlog.has_lost(registered_at, now):
        return f"the event of its registration, {at(registered_at)}, is not among them any more"
    return f"the event of its registration, {at(registered_at)}, may be among them"


def oldest(stage: Stage, queue: str, now: datetime) -> timedelta | None:
    """For how long a queue's oldest message has been there; None where CloudWatch does not say, or may not."""
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
    points = sorted(answer["Datapoints"], key=lambda one: one["Timestamp"])
    return timedelta(seconds=points[-1]["Maximum"]) if points else None
