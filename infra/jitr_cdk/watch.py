"""One alarm as a value: what it watches, and when it is breaching."""

import math
from dataclasses import dataclass
from typing import Any

from jitr_cdk.metrics import Metric

MINUTES = 60
DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One alarm: breaching when `datapoints` of the last `periods` values reach the threshold.

    With several metrics the worst value counts: with `below` the least, else the greatest.
    """

    name: str
    meaning: str
    metric: Metric
    others: tuple[Metric, ...] = ()
    statistic: str = "Sum"
    reaches: float = 1
    below: bool = False  # breaching at or under the threshold, instead of at or over it
    seconds: int = 5 * MINUTES
    periods: int = 1
    datapoints: int = 1
    missing: str = "notBreaching"

    @property
    def section(self) -> str:
        """The heading in docs/runbook.md that says what to do: the alarm's name without fleet and CA."""
        return self.name.split("--")[1]


def period_of(sweep_every: int) -> int:
    """The alarm's period, in seconds, in which at least one sweep emits its metrics."""
    # Periods over a day are not allowed; those of an hour and more may make up a week, shorter ones a day.
    return min(math.ceil(sweep_every / MINUTES) * MINUTES, DAY)


def metric_properties(watch: Watch) -> dict[str, Any]:
    """An alarm's properties for what it watches: one metric, or an expression over several."""
    if not watch.others:
        return {
            "namespace": watch.metric.namespace,
            "metric_name": watch.metric.name,
            "dimensions": [{"name": name, "value": value} for name, value in watch.metric.dimensions],
            "statistic": watch.statistic,
            "period": watch.seconds,
        }
    queries = [
        {
            "id": f"m{number}",
            "metricStat": {
                "metric": {
                    "namespace": metric.namespace,
                    "metricName": metric.name,
                    "dimensions": [{"name": name, "value": value} for name, value in metric.dimensions],
                },
                "stat": watch.statistic,
                "period": watch.seconds,
            },
            "returnData": False,
        }
        for number, metric in enumerate((watch.metric, *watch.others))
    ]
    expression = f"{'MIN' if watch.below else 'MAX'}([{', '.join(str(query['id']) for query in queries)}])"
    return {"metrics": [*queries, {"id": "worst", "expression": expression, "returnData": True}]}
