"""Makes the metrics that alarms and widgets use, each with exactly the dimensions under which it is emitted.

CloudWatch accepts any name: an alarm on a metric that is never emitted never fires. So a Metric is made only here, from
the functions' own names and the names that AWS documents, and a test compares every template with both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jitr.telemetry import BY_CA, METRIC_NAMES, METRICS_NAMESPACE, NO_CA

# AWS's metrics that are used: namespace, name → names of the dimensions. Sources: AWS IoT guide, "AWS IoT metrics and
# dimensions"; SQS guide, "Available CloudWatch metrics for Amazon SQS"; Lambda guide, "Types of metrics".
AWS_METRICS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("QueueName",),
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): ("QueueName",),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("QueueName",),
    ("AWS/Lambda", "Errors"): ("FunctionName",),
    ("AWS/Lambda", "Throttles"): ("FunctionName",),
    ("AWS/Lambda", "Duration"): ("FunctionName",),
    ("AWS/IoT", "Failure"): ("RuleName", "ActionType"),
    ("AWS/IoT", "ErrorActionFailure"): ("RuleName", "ActionType"),
    ("AWS/IoT", "RuleMessageThrottled"): ("RuleName",),
}
_SQS_ACTION = "SQS"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of CloudWatch: its name and all of its dimensions."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]

    def of_widget(self, **options: object) -> list[object]:
        """The metric in the form of a dashboard's body, with rendering options such as stat and label."""
        flat = [part for dimension in self.dimensions for part in dimension]
        return [self.namespace, self.name, *flat, options]


def jitr_metric(fleet: str, name: str, *, ca: str | None = None) -> Metric:
    """A metric of jitr's functions; `ca` is the CA's name or NO_CA for metrics by CA, None for all others.

    Raises ValueError when the functions emit no such metric.
    """
    if name not in METRIC_NAMES or (ca is not None) is not (name in BY_CA):
        raise ValueError(f"the functions emit no metric {name} of CA {ca}")
    return Metric(METRICS_NAMESPACE, name, (("fleet", fleet), ("ca", ca or NO_CA)))


def queue_metric(name: str, queue: str) -> Metric:
    return _aws_metric("AWS/SQS", name, queue)


def function_metric(name: str, function: str) -> Metric:
    return _aws_metric("AWS/Lambda", name, function)


def rule_metric(name: str, rule: str) -> Metric:
    """A metric of a topic rule or of its actions, which all send to SQS."""
    values = (rule, _SQS_ACTION)[: len(AWS_METRICS["AWS/IoT", name])]
    return _aws_metric("AWS/IoT", name, *values)


def _aws_metric(namespace: str, name: str, *values: str) -> Metric:
    return Metric(namespace, name, tuple(zip(AWS_METRICS[namespace, name], values, strict=True)))
