"""CloudWatch's one call that jitr makes: GetMetricStatistics of AWS/SQS ApproximateAgeOfOldestMessage.

It answers one datapoint, of the current minute and up to date. Real metrics have one each minute, a minute or two late.
"""

from datetime import UTC, datetime

from simulation.faults import Answer, NotModelled, Params
from simulation.place import Place
from simulation.sqs import Sqs


class CloudWatch:
    """The metrics of one account and Region."""

    def __init__(self, place: Place, sqs: Sqs) -> None:
        self._place = place
        self._sqs = sqs

    def get_metric_statistics(self, params: Params) -> Answer:
        metric = params["Namespace"], params["MetricName"]
        if metric != ("AWS/SQS", "ApproximateAgeOfOldestMessage") or params["Statistics"] != ["Maximum"]:
            raise NotModelled(f"{metric} {params['Statistics']}")
        (dimension,) = params["Dimensions"]
        queue = self._sqs.by_name(dimension["Value"])
        now = self._place.clock.now()
        minute = now.replace(second=0, microsecond=0)
        start, end = (datetime.fromtimestamp(params[name], UTC) for name in ("StartTime", "EndTime"))
        points = []
        if queue and start.replace(second=0) <= minute < end:
            points.append({"Timestamp": minute, "Maximum": queue.age_of_oldest(), "Unit": "Seconds"})
        return {"Label": metric[1], "Datapoints": points}
