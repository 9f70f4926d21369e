"""Counts the messages in a stage's queues, and asks for the age of the oldest one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

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


def age_of_oldest(stage: Stage, queue: str, now: datetime) -> timedelta | None:
    """How long a queue's oldest message has waited, but for those received more than three times.

    None where CloudWatch does not say: the local AWS has no such metric, and a quiet queue sends none. The age is the
    alarm `backlog`'s, of the last minute that CloudWatch has.

    Raises botocore's errors.
    """
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
