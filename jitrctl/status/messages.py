"""Counts the messages in a stage's queues, and asks for the age of the oldest one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.iot_models import Status
from jitrctl.session.aws_errors import is_missing

if TYPE_CHECKING:
    from datetime import datetime

    from jitrctl.session.stage import Stage

_COUNTS = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]
_PERIOD = 60  # seconds; SQS's metrics are of a minute
_NEWEST = 100  # certificates; the records of so many are one BatchGetItem
_LOOKED_BACK = timedelta(minutes=15)  # SQS's metrics come minutes late


def count_messages(stage: Stage, queue: str) -> int | None:
    """About how many messages a queue holds, including those in flight and delayed; None without the queue.

    Raises botocore's errors.
    """
    try:
        url = stage.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        attributes = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return sum(int(attributes.get(name, 0)) for name in _COUNTS)


def age_of_oldest(stage: Stage, now: datetime) -> timedelta | None:
    """How long the oldest message in `registrations` has waited; None when that is not known.

    Where CloudWatch does not say, as on the local AWS, or of a queue that was empty until now: for how long the oldest
    of the newest certificates has been pending without a decision.

    Raises Unavailable, botocore's errors.
    """
    age = _metric(stage, stage.names.registrations_queue, now)
    return _pending(stage, now) if age is None else age


def _pending(stage: Stage, now: datetime) -> timedelta | None:
    listed = stage.iot.list_certificates(pageSize=_NEWEST, ascendingOrder=False)["certificates"]
    pending = {
        one["certificateId"]: one["creationDate"] for one in listed if one["status"] == Status.PENDING_ACTIVATION
    }
    records = stage.registry.recall(pending)
    since = [created for one, created in pending.items() if records[one].decided_at is None]
    return max(now - min(since), timedelta(0)) if since else None


def _metric(stage: Stage, queue: str, now: datetime) -> timedelta | None:
    """The age in the last minute that CloudWatch has, which leaves out messages received more than three times."""
    answer = stage.access.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": queue}],
        StartTime=now - _LOOKED_BACK,
        EndTime=now,
        Period=_PERIOD,
        Statistics=["Maximum"],
    )
    if not answer["Datapoints"]:
        return None
    latest = max(answer["Datapoints"], key=lambda one: one["Timestamp"])
    return timedelta(seconds=latest["Maximum"])
