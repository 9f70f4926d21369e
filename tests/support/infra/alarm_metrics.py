"""The metrics that a template's alarms name, and the resource that each dimension of AWS's metrics names."""

from collections.abc import Iterator
from typing import Any

RESOURCE_OF_DIMENSION = {
    "QueueName": ("AWS::SQS::Queue", "QueueName"),
    "FunctionName": ("AWS::Lambda::Function", "FunctionName"),
    "RuleName": ("AWS::IoT::TopicRule", "RuleName"),
}
# Namespace, name, and pairs of a dimension's name and value.
Metric = tuple[str, str, frozenset[tuple[str, str]]]


def metrics_of_alarms(stack: Any) -> Iterator[Metric]:
    """Every metric that an alarm of the stack names."""
    for alarm in stack.of_type("AWS::CloudWatch::Alarm"):
        properties = alarm["Properties"]
        dimensions = {(one["Name"], one["Value"]) for one in properties["Dimensions"]}
        yield properties["Namespace"], properties["MetricName"], frozenset(dimensions)
