"""Counts what the queue `registrations` holds, and derives from it whether one certificate's message is there.

Nothing is received from the queue. A received message is hidden from the function for a while, and each receive counts:
`register` processes a message alone after three, and gives it up after ten. So repeated runs of doctor would harm the
device that they are about. Instead SQS says how many messages there are, CloudWatch the age of the oldest, and the
certificate's registration when its event was published. An empty queue does not hold that event. A queue whose oldest
message is younger most likely does not either; but SQS leaves messages that were received more than three times out of
the age (docs/aws-facts.md, 9), and this device's event may be such a one.
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
_LOOKED_BACK = timedelta(minutes=15)  # SQS sends no metrics of a queue that has been idle for six hours
# A minute's maximum and the clocks of two services may differ by this much.
_MARGIN = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Approximately how many messages a queue holds, about any device, and when the oldest was sent."""

    waiting: int
    in_work: int  # received, and not yet deleted or given back
    put_off: int  # sent with a delay
    oldest: datetime | None  # of messages received at most three times; None if CloudWatch has no datapoint

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
    """Says whether a certificate's registration event may still be in the queue, or its decision has begun.

    Empty where nothing is known.
    """
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
    """When a queue's oldest message was sent; messages received more than three times do not count.

    None if CloudWatch has no datapoint, or the call fails. The age is as of the datapoint's time, which may be minutes
    ago, since a queue's metrics arrive late.
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
