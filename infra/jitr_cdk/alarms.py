"""Defines the alarms of a stage: one for each condition that needs a person.

Every alarm watches one metric with its exact dimensions; rates are emitted as rates. If a stage has so many CAs that an
alarm for each would fill the template, an alarm watches the worst of ten CAs' metrics. A quiet fleet emits little, so
missing data is not breaching, except for the sweep, which emits in every run.
"""

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from jitr.telemetry import (
    CA_DAYS_LEFT,
    CONTRADICTIONS,
    CRL_LATE,
    CRL_REFUSED,
    CRL_WAITS,
    DISAGREEMENTS,
    EXPIRING,
    FAILURES,
    NOT_PERMITTED,
    OUT_OF_PLACE,
    REJECTED_SHARE,
    RULES_REFUSE_MANY,
    SWEEP_BEHIND,
    SWEPT,
)
from jitr_cdk.metrics import function_metric, jitr_metric, queue_metric, rule_metric
from jitr_cdk.placeholders import fill_placeholders
from jitr_cdk.watch import DAY, MINUTES, Watch, metric_properties, period_of
from jitr_fleet.model import Alarms
from jitr_fleet.resources import ResourceNames

# With more CAs, six alarms for each would come near the 500 resources that a template may hold.
MOST_CAS_WITH_ALARMS_OF_THEIR_OWN = 40
# The metrics that an alarm's expression may combine (CloudWatch guide, "Create an alarm based on a metric math
# expression").
_METRICS_IN_AN_ALARM = 10


class Central(Enum):
    """A stage's part in the fleet's central view."""

    NONE = "none"
    FORWARDS = "forwards"
    HUB = "hub"  # and forwards, as all do


def watches(
    names: ResourceNames, *, cas: Iterable[str], sweep_every: int, limits: Alarms, central: Central = Central.NONE
) -> list[Watch]:
    """Every alarm of a stage; `sweep_every` is in seconds."""
    return [
        *_watch_queues(names, limits),
        *_watch_function(names, names.register_function, "register"),
        *_watch_function(names, names.sweep_function, "sweep"),
        *_watch_function(names, names.revoke_function, "revoke"),
        *_watch_crls(names, sweep_every),
        *_watch_decisions(names),
        _watch_schedule(names, sweep_every),
        _watch_sweeps_that_send_nothing(names, sweep_every),
        _watch_devices_that_end(names, sweep_every),
        *_watch_cas(names, tuple(cas), limits, sweep_every),
        *([_watch_forwarding(names)] if central is not Central.NONE else []),
        *(_watch_hub(names) if central is Central.HUB else []),
    ]


class StageAlarms(Construct):
    """The alarms of one stage; each publishes to the fleet's SNS topic, if there is one."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        cas: Iterable[str],
        sweep_every: int,
        limits: Alarms,
        central: Central = Central.NONE,
    ) -> None:
        super().__init__(scope, construct_id)
        actions = [fill_placeholders(limits.topic, cdk.Stack.of(self))] if limits.topic else None
        self.names: list[str] = []
        for watch in watches(names, cas=cas, sweep_every=sweep_every, limits=limits, central=central):
            self.names.append(watch.name)
            cloudwatch.CfnAlarm(
                self,
                watch.name,
                alarm_name=watch.name,
                alarm_description=f"{watch.meaning} What to do: docs/runbook.md#{watch.section}",
                **metric_properties(watch),
                comparison_operator=f"{'Less' if watch.below else 'Greater'}ThanOrEqualToThreshold",
                threshold=watch.reaches,
                evaluation_periods=watch.periods,
                datapoints_to_alarm=watch.datapoints,
                treat_missing_data=watch.missing,
                alarm_actions=actions,
                ok_actions=actions,
            )


def _watch_queues(names: ResourceNames, limits: Alarms) -> list[Watch]:
    return [
        Watch(
            name=names.alarm("dead-letters"),
            meaning="Registrations that could not be read or failed ten times; each message says why in jitr_reason.",
            metric=queue_metric("ApproximateNumberOfMessagesVisible", names.dead_letter_queue),
            statistic="Maximum",
        ),
        Watch(
            name=names.alarm("undelivered"),
            meaning="AWS IoT could not send events to the queue; each message names the failure.",
            metric=queue_metric("ApproximateNumberOfMessagesVisible", names.undelivered_queue),
            statistic="Maximum",
        ),
        Watch(
            name=names.alarm("backlog"),
            meaning="Devices wait to be activated: more arrive than activations_per_second lets through, or AWS fails.",
            metric=queue_metric("ApproximateAgeOfOldestMessage", names.registrations_queue),
            statistic="Maximum",
            reaches=limits.backlog,
            periods=3,
            datapoints=3,
        ),
    ]


def _watch_function(names: ResourceNames, function: str, short: str) -> list[Watch]:
    return [
        Watch(
            name=names.alarm(f"{short}-errors"),
            meaning=f"The function {function} failed as a whole: it could not start, or ran into its timeout.",
            metric=function_metric("Errors", function),
        ),
        Watch(
            name=names.alarm(f"{short}-throttles"),
            meaning=f"The account's Lambda concurrency leaves {function} no room, for a quarter of an hour.",
            metric=function_metric("Throttles", function),
            periods=3,
            datapoints=3,
        ),
    ]


def _watch_decisions(names: ResourceNames) -> list[Watch]:
    return [
        Watch(
            name=names.alarm("failures"),
            meaning="Registrations fail for a reason of the deployment or of jitr itself; the log has tracebacks.",
            metric=jitr_metric(names.fleet, FAILURES),
            periods=3,
            datapoints=2,
        ),
        Watch(
            name=names.alarm("not-permitted"),
            meaning="AWS refuses calls of the functions: a permission or a key is missing. Devices wait.",
            metric=jitr_metric(names.fleet, NOT_PERMITTED),
            # One device that waits makes seven attempts in its first quarter of an hour, and as many each hour, when
            # the sweep has sent it again. A single refusal is a permission that takes effect a moment later.
            reaches=3,
            seconds=15 * MINUTES,
            periods=4,
            datapoints=1,
        ),
        Watch(
            name=names.alarm("contradictions"),
            meaning="Events contradict their certificates: something other than AWS IoT publishes to the rule's topic.",
            metric=jitr_metric(names.fleet, CONTRADICTIONS),
        ),
        Watch(
            name=names.alarm("disagreements"),
            meaning="Certificates are ACTIVE that a verdict or an entry denies; the sweep's log names them.",
            metric=jitr_metric(names.fleet, DISAGREEMENTS),
        ),
    ]


def _watch_crls(names: ResourceNames, sweep_every: int) -> list[Watch]:
    """Of all CAs of the stage together: `jitrctl fleet status` and the log name the CA."""
    # Each sweep says it again, as long as it holds.
    said_by_sweep: dict[str, Any] = {"statistic": "Maximum", "seconds": period_of(sweep_every), "missing": "ignore"}
    return [
        Watch(
            name=names.alarm("crl-late"),
            meaning="The CRL of a CA is stale or soon will be, missing or unusable: then new devices are held.",
            metric=jitr_metric(names.fleet, CRL_LATE),
            **said_by_sweep,
        ),
        Watch(
            name=names.alarm("crl-refused"),
            meaning="A published CRL is not applied to ACTIVE devices: it is older than the last one, or unusable.",
            metric=jitr_metric(names.fleet, CRL_REFUSED),
            **said_by_sweep,
        ),
        Watch(
            name=names.alarm("crl-waits"),
            meaning="A CRL takes out so many ACTIVE devices at once that it waits: `jitrctl crl approve`.",
            metric=jitr_metric(names.fleet, CRL_WAITS),
            **said_by_sweep,
        ),
        Watch(
            name=names.alarm("crl-dead-letters"),
            meaning="A CRL could not be applied in a thousand attempts; the log of `revoke` says why.",
            metric=queue_metric("ApproximateNumberOfMessagesVisible", names.crl_dead_letter_queue),
            statistic="Maximum",
        ),
    ]


def _watch_forwarding(names: ResourceNames) -> Watch:
    return Watch(
        name=names.alarm("unforwarded"),
        meaning="Events could not be forwarded to the hub for a day, so its table lacks them.",
        metric=queue_metric("ApproximateNumberOfMessagesVisible", names.unforwarded_queue),
        statistic="Maximum",
    )


def _watch_hub(names: ResourceNames) -> list[Watch]:
    return [
        Watch(
            name=names.alarm("out-of-place"),
            meaning="Devices became ACTIVE in accounts other than their own: `jitrctl fleet devices --out-of-place`.",
            metric=jitr_metric(names.fleet, OUT_OF_PLACE),
        ),
        Watch(
            name=names.alarm("hub-dead-letters"),
            meaning="Events that the hub failed to process ten times; its log says why.",
            metric=queue_metric("ApproximateNumberOfMessagesVisible", names.hub_dead_letter_queue),
            statistic="Maximum",
        ),
        *_watch_function(names, names.hub_function, "hub"),
    ]


def _watch_schedule(names: ResourceNames, sweep_every: int) -> Watch:
    """No sweep has finished in three intervals of its schedule."""
    return Watch(
        name=names.alarm("sweep-not-run"),
        meaning="No sweep has finished in three intervals of its schedule, so lost events are not found.",
        metric=jitr_metric(names.fleet, SWEPT),
        statistic="SampleCount",
        reaches=0,
        below=True,
        seconds=period_of(sweep_every),
        periods=3,
        datapoints=3,
        missing="breaching",
    )


def _watch_sweeps_that_send_nothing(names: ResourceNames, sweep_every: int) -> Watch:
    """Every sweep of two periods found the queue behind: held devices depend on sweeps that send."""
    return Watch(
        name=names.alarm("sweep-behind"),
        meaning="Sweeps send nothing, since the queue is behind: held devices and lost events wait.",
        metric=jitr_metric(names.fleet, SWEEP_BEHIND),
        statistic="Minimum",
        seconds=period_of(sweep_every),
        periods=2,
        datapoints=2,
    )


def _watch_devices_that_end(names: ResourceNames, sweep_every: int) -> Watch:
    """One for all CAs: with many, an alarm for each would take the template's room."""
    return Watch(
        name=names.alarm("devices-expiring"),
        meaning="ACTIVE certificates end soon, and no other one has followed: `jitrctl fleet expiring` names them.",
        metric=jitr_metric(names.fleet, EXPIRING),
        statistic="Maximum",
        # Every sweep reports it, except while the daily pass is under way.
        seconds=period_of(sweep_every),
        missing="ignore",
    )


def _watch_cas(names: ResourceNames, cas: tuple[str, ...], limits: Alarms, sweep_every: int) -> list[Watch]:
    """Six alarms for each CA; if there are many CAs, for each ten of them."""
    each = [_watch_ca(names, ca, limits, sweep_every) for ca in cas]
    if len(cas) <= MOST_CAS_WITH_ALARMS_OF_THEIR_OWN:
        return [watch for watches_ in each for watch in watches_]
    together = []
    for number, start in enumerate(range(0, len(cas), _METRICS_IN_AN_ALARM), 1):
        end = start + _METRICS_IN_AN_ALARM
        listed = ", ".join(cas[start + 1 : end]) or "no other"
        together += [
            replace(
                first,
                name=names.alarm(first.section, f"cas-{number}"),
                meaning=f"{first.meaning} Or the same of {listed}.",
                others=tuple(watch.metric for watch in others),
            )
            for first, *others in zip(*each[start:end], strict=True)
        ]
    return together


def _watch_ca(names: ResourceNames, ca: str, limits: Alarms, sweep_every: int) -> list[Watch]:
    rule = names.rule(ca)
    return [
        Watch(
            name=names.alarm("rules-refuse-many", ca),
            meaning=f"The rules of CA {ca} refuse so many devices that further ones are held: are the rules wrong?",
            metric=jitr_metric(names.fleet, RULES_REFUSE_MANY, ca=ca),
            statistic="Maximum",
            # Every sweep says whether the brake is on; in between, each device that it holds does.
            seconds=period_of(sweep_every),
            missing="ignore",
        ),
        Watch(
            name=names.alarm("rejections", ca),
            meaning=f"Devices of CA {ca} were rejected in three quarters of an hour: wrong rules, or a wrong batch.",
            metric=jitr_metric(names.fleet, REJECTED_SHARE, ca=ca),
            statistic="Average",
            reaches=limits.rejection_rate,
            seconds=15 * MINUTES,
            periods=4,
            # A single rejected device in a quiet hour is no reason for an alarm.
            datapoints=3,
        ),
        Watch(
            name=names.alarm("ca-expiring", ca),
            meaning=f"The certificate of CA {ca} expires soon: register its successor, and issue from that.",
            metric=jitr_metric(names.fleet, CA_DAYS_LEFT, ca=ca),
            statistic="Minimum",
            reaches=limits.ca_expiry / DAY,
            below=True,
            seconds=DAY,
            missing="ignore",
        ),
        Watch(
            name=names.alarm("rule-failures", ca),
            meaning=f"The rule of CA {ca} could not send an event to the queue; see {names.undelivered_queue}.",
            metric=rule_metric("Failure", rule),
        ),
        Watch(
            name=names.alarm("rule-losses", ca),
            meaning=f"The rule of CA {ca} could send to neither queue: the sweep has to find the devices.",
            metric=rule_metric("ErrorActionFailure", rule),
        ),
        Watch(
            name=names.alarm("rule-throttled", ca),
            meaning=f"AWS IoT drops events of CA {ca}, since the account's rules run too often.",
            metric=rule_metric("RuleMessageThrottled", rule),
        ),
    ]
