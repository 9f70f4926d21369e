"""Defines the dashboard of a stage.

From top to bottom: the alarms; how many devices were activated, rejected and wait; the reasons; the backlog and the
calls against the allowed rate; the sweep, the CAs' expiry and the functions' durations.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from jitr.telemetry import (
    CA_DAYS_LEFT,
    CALLS_OF,
    FAILURES,
    LEFT_TO_SWEEP,
    NO_CA,
    NOT_PERMITTED,
    PUT_OFF,
    REJECTED_SHARE,
    SECONDS_TO_ACTIVE,
    SWEPT,
    THROTTLES,
    WAITING,
)
from jitr_cdk.metrics import function_metric, jitr_metric, queue_metric
from jitr_fleet.resources import ResourceNames

_WIDTH = 24
_MINUTE = 60
_ALARMS = 100  # in an alarm widget (CloudWatch API reference, "Dashboard body structure and syntax")

Widget = dict[str, Any]


class StageDashboard(Construct):
    """The dashboard of one stage; its name holds the Region, since dashboards are global in an account."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        cas: Sequence[str],
        alarm_names: Iterable[str],
        activations_per_second: float,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        alarms = [
            stack.format_arn(
                service="cloudwatch", resource="alarm", resource_name=name, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
            )
            for name in alarm_names
        ]
        rows = _rows(names, cas, alarms, activations_per_second)
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=names.dashboard(stack.region),
            dashboard_body=stack.to_json_string({"start": "-PT24H", "widgets": _lay_out(rows, stack.region)}),
        )


def _rows(names: ResourceNames, cas: Sequence[str], alarms: list[str], rate: float) -> list[tuple[int, list[Widget]]]:
    """Each row's height in grid units, and its widgets from left to right."""
    fleet = names.fleet

    def by_ca(metric: str, stat: str, label: str = "") -> list[list[object]]:
        return [jitr_metric(fleet, metric, ca=ca).of_widget(stat=stat, label=f"{label} {ca}".strip()) for ca in cas]

    def outcome(metric: str) -> list[list[object]]:
        """By CA, and for certificates of an unknown CA."""
        return [jitr_metric(fleet, metric, ca=ca).of_widget(stat="Sum", label=f"{metric} {ca}") for ca in (*cas, NO_CA)]

    def calls(operation: str) -> list[object]:
        return jitr_metric(fleet, CALLS_OF[operation]).of_widget(stat="Sum", label=operation)

    def queued(metric: str, label: str, queue: str = names.registrations_queue) -> list[object]:
        return queue_metric(metric, queue).of_widget(stat="Maximum", label=label)

    alarm_widgets = [
        {"type": "alarm", "properties": {"title": f"jitr {fleet}: what is wrong", "alarms": alarms[at : at + _ALARMS]}}
        for at in range(0, len(alarms), _ALARMS)
    ]
    visible = "ApproximateNumberOfMessagesVisible"
    return [
        (3, alarm_widgets),
        (
            4,
            [
                _total("Activated", by_ca("Activated", "Sum")),
                _total("Rejected", outcome("Rejected")),
                _latest(
                    "Waiting for longer than they should",
                    # The sweep knows the CA only of those that were decided on.
                    [
                        *by_ca(WAITING, "Maximum"),
                        jitr_metric(fleet, WAITING, ca=NO_CA).of_widget(stat="Maximum", label=NO_CA),
                    ],
                ),
                _latest(
                    "In the queues, oldest in seconds",
                    [
                        queued(visible, "registrations"),
                        queued("ApproximateAgeOfOldestMessage", "oldest"),
                        queued(visible, "dead letters", names.dead_letter_queue),
                        queued(visible, "undelivered", names.undelivered_queue),
                    ],
                ),
            ],
        ),
        (
            6,
            [
                _series("Devices", [*by_ca("Activated", "Sum", "Activated"), *outcome("Held"), *outcome("Rejected")]),
                _series("Rejected, in percent", by_ca(REJECTED_SHARE, "Average"), least=0, greatest=100),
                _series(
                    "Seconds to active",
                    [*by_ca(SECONDS_TO_ACTIVE, "p50", "median"), *by_ca(SECONDS_TO_ACTIVE, "p99", "p99")],
                ),
            ],
        ),
        (7, [_reasons(names, "rejected"), _reasons(names, "held")]),
        (
            6,
            [
                _series(
                    "Backlog",
                    [queued(visible, "waiting"), queued("ApproximateNumberOfMessagesNotVisible", "being decided")],
                ),
                _series(
                    f"Calls a minute; {rate:g} a second are allowed",
                    [calls(operation) for operation in CALLS_OF],
                    limit=rate * _MINUTE,
                ),
                _series(
                    "Trouble",
                    [
                        jitr_metric(fleet, metric).of_widget(stat="Sum", label=label)
                        for metric, label in (
                            (THROTTLES, "throttled calls"),
                            (PUT_OFF, "put off"),
                            (LEFT_TO_SWEEP, "left to the sweep"),
                            (NOT_PERMITTED, "not permitted"),
                            (FAILURES, "failures"),
                        )
                    ],
                ),
            ],
        ),
        (
            6,
            [
                _series("Sent again by the sweep", [jitr_metric(fleet, SWEPT).of_widget(stat="Sum", label="sent")]),
                _series("Days until a CA expires", by_ca(CA_DAYS_LEFT, "Minimum"), least=0),
                _series(
                    "Duration in milliseconds",
                    [
                        function_metric("Duration", function).of_widget(stat="p99", label=label)
                        for function, label in (
                            (names.register_function, "register, p99"),
                            (names.sweep_function, "sweep, p99"),
                        )
                    ],
                ),
            ],
        ),
    ]


def _total(title: str, metrics: list[list[object]]) -> Widget:
    """Numbers over the whole time that is shown."""
    return _widget(title, metrics, view="singleValue", setPeriodToTimeRange=True)


def _latest(title: str, metrics: list[list[object]]) -> Widget:
    return _widget(title, metrics, view="singleValue")


def _series(
    title: str,
    metrics: list[list[object]],
    *,
    least: float | None = None,
    greatest: float | None = None,
    limit: float | None = None,
) -> Widget:
    bounds = {name: bound for name, bound in (("min", least), ("max", greatest)) if bound is not None}
    options: dict[str, Any] = {"yAxis": {"left": bounds}} if bounds else {}
    if limit is not None:
        options |= {"period": _MINUTE, "annotations": {"horizontal": [{"label": "allowed", "value": limit}]}}
    return _widget(title, metrics, view="timeSeries", **options)


def _widget(title: str, metrics: list[list[object]], **options: Any) -> Widget:
    return {"type": "metric", "properties": {"title": title, "metrics": metrics, "period": 300, **options}}


def _reasons(names: ResourceNames, outcome: str) -> Widget:
    """The reasons of one outcome, from the function's log."""
    query = (
        f"SOURCE '{names.log_group(names.register_function)}' | filter outcome = '{outcome}' "
        "| stats count_distinct(certificate_id) as devices, latest(detail) as example by reason, ca "
        "| sort devices desc"
    )
    return {"type": "log", "properties": {"title": f"Why {outcome}", "query": query, "view": "table"}}


def _lay_out(rows: list[tuple[int, list[Widget]]], region: str) -> list[Widget]:
    """Rows from top to bottom, in each the widgets of one width."""
    widgets, y = [], 0
    for height, row in rows:
        width = _WIDTH // len(row)
        for number, widget in enumerate(row):
            place = {"x": number * width, "y": y, "width": width, "height": height}
            # Alarm widgets have no Region of their own: their ARNs do.
            own = {} if widget["type"] == "alarm" else {"region": region}
            widgets.append({**widget, **place, "properties": {**own, **widget["properties"]}})
        y += height
    return widgets
