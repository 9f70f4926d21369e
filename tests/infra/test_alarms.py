"""Alarms and dashboard: every metric that they name is one that somebody emits, and what breaks wakes somebody."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jitr.event_details import decision_fields
from jitr.telemetry import BY_CA, METRIC_NAMES, NO_CA, SWEPT, Counts
from jitr_cdk.alarms import Central, watches
from jitr_cdk.metrics import AWS_METRICS, jitr_metric, rule_metric
from jitr_cdk.target import AWS
from jitr_fleet.model import Alarms, Fleet
from jitr_fleet.resources import ResourceNames
from tests.support.examples import MOST
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.alarm_metrics import RESOURCE_OF_DIMENSION, Metric, metrics_of_alarms
from tests.support.infra.synthesis import Stacks

NAMES = ResourceNames("acme")
LIMITS = Alarms(topic=None, backlog=900, rejection_rate=20, ca_expiry=7_776_000, device_expiry=1_209_600)


def body(stack: Any) -> dict[str, Any]:
    """The dashboard as CloudWatch gets it, with the partition's token filled in."""
    written = stack.one("AWS::CloudWatch::Dashboard")["DashboardBody"]
    if isinstance(written, dict):
        written = "".join(part if isinstance(part, str) else "aws" for part in written["Fn::Join"][1])
    return dict(json.loads(written))


def named_by_widgets(stack: Any) -> Iterator[Metric]:
    for widget in body(stack)["widgets"]:
        for namespace, name, *rest in widget["properties"].get("metrics", ()):
            *dimensions, _options = rest
            pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
            yield namespace, name, frozenset(pairs)


def emitted_by_functions(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> set[Metric]:
    """What CloudWatch makes of the EMF lines that the functions write."""
    counts = Counts(fleet="acme")
    for name in METRIC_NAMES:
        for ca in (*(ca.name for ca in fleet.cas), NO_CA):
            counts.add(name, ca=ca)
    counts.flush()
    found = set()
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                values = frozenset((name, line[name]) for name in dimensions)
                found |= {(directive["Namespace"], metric["Name"], values) for metric in directive["Metrics"]}
    return found


@pytest.mark.parametrize("source", [metrics_of_alarms, named_by_widgets])
def test_every_metric_that_is_named_is_emitted_with_exactly_these_dimensions(
    production: Any, fleet: Fleet, source: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = emitted_by_functions(fleet, capsys)

    for namespace, name, dimensions in source(production):
        if namespace == "jitr":
            assert (namespace, name, dimensions) in ours
            continue
        assert {dimension for dimension, _ in dimensions} == set(AWS_METRICS[namespace, name])
        for dimension, value in dimensions - {("ActionType", "SQS")}:
            resource_type, key = RESOURCE_OF_DIMENSION[dimension]
            assert value in {one["Properties"][key] for one in production.of_type(resource_type)}


def test_a_metric_that_nobody_emits_cannot_be_named() -> None:
    with pytest.raises(ValueError, match="no metric Activatd"):
        jitr_metric("acme", "Activatd", ca="factory")
    with pytest.raises(ValueError, match="no metric Activated of CA None"):
        jitr_metric("acme", "Activated")
    with pytest.raises(ValueError, match="no metric Swept of CA factory"):
        jitr_metric("acme", SWEPT, ca="factory")
    with pytest.raises(KeyError):
        rule_metric("Failures", "jitr_acme__factory")


def test_the_rules_actions_are_all_of_the_type_that_the_alarms_name(production: Any) -> None:
    for rule in production.of_type("AWS::IoT::TopicRule"):
        payload = rule["Properties"]["TopicRulePayload"]
        assert [list(action) for action in [*payload["Actions"], payload["ErrorAction"]]] == [["Sqs"], ["Sqs"]]


def test_these_wake_someone(changed: Any) -> None:
    production = changed("")["prod/eu-central-1"]
    alarms = {one["Properties"]["AlarmName"] for one in production.of_type("AWS::CloudWatch::Alarm")}

    assert alarms == {
        "jitr-acme--dead-letters",
        "jitr-acme--undelivered",
        "jitr-acme--backlog",
        "jitr-acme--register-errors",
        "jitr-acme--register-throttles",
        "jitr-acme--sweep-errors",
        "jitr-acme--sweep-throttles",
        "jitr-acme--revoke-errors",
        "jitr-acme--revoke-throttles",
        "jitr-acme--crl-late",
        "jitr-acme--crl-refused",
        "jitr-acme--crl-waits",
        "jitr-acme--crl-dead-letters",
        "jitr-acme--failures",
        "jitr-acme--not-permitted",
        "jitr-acme--contradictions",
        "jitr-acme--disagreements",
        "jitr-acme--sweep-not-run",
        "jitr-acme--sweep-behind",
        "jitr-acme--devices-expiring",
        "jitr-acme--rules-refuse-many--factory",
        "jitr-acme--rejections--factory",
        "jitr-acme--ca-expiring--factory",
        "jitr-acme--rule-failures--factory",
        "jitr-acme--rule-losses--factory",
        "jitr-acme--rule-throttled--factory",
    }


def test_no_alarm_computes(production: Any) -> None:
    assert not [one for one in production.of_type("AWS::CloudWatch::Alarm") if "Metrics" in one["Properties"]]


def test_only_a_sweep_that_says_nothing_is_bad_news(production: Any) -> None:
    breaching = {
        one["Properties"]["AlarmName"]
        for one in production.of_type("AWS::CloudWatch::Alarm")
        if one["Properties"]["TreatMissingData"] == "breaching"
    }

    assert breaching == {"jitr-acme--sweep-not-run"}


@pytest.mark.parametrize("every", [60, 900, 3600, 7200, 43_200, 86_400])
def test_the_sweep_is_missed_after_three_intervals_that_cloudwatch_allows(every: int) -> None:
    (watch,) = (
        watch for watch in watches(NAMES, cas=(), sweep_every=every, limits=LIMITS) if "sweep-not-run" in watch.name
    )

    assert watch.seconds == every
    assert (watch.periods, watch.datapoints) == (3, 3)
    # PutMetricAlarm: a day at most with periods below an hour, else a week.
    assert watch.seconds * watch.periods <= (86_400 if watch.seconds < 3600 else 604_800)
    assert watch.seconds % 60 == 0


def test_two_intervals_without_a_sweep_that_is_free_to_send_are_an_alarm() -> None:
    (watch,) = (one for one in watches(NAMES, cas=(), sweep_every=900, limits=LIMITS) if "sweep-behind" in one.name)
    assert (watch.seconds, watch.periods, watch.datapoints) == (900, 2, 2)
    # A single sweep that was free makes the least of its period 0; none at all is sweep-not-run's.
    assert (watch.statistic, watch.reaches, watch.below, watch.missing) == ("Minimum", 1, False, "notBreaching")


def test_the_fleets_limits_are_the_alarms_thresholds() -> None:
    limits = Alarms(topic=None, backlog=60, rejection_rate=1.5, ca_expiry=10 * 86_400, device_expiry=86_400)
    thresholds = {
        watch.name: (watch.reaches, watch.below)
        for watch in watches(NAMES, cas=("factory",), sweep_every=900, limits=limits)
    }

    assert thresholds["jitr-acme--backlog"] == (60, False)
    assert thresholds["jitr-acme--rejections--factory"] == (1.5, False)
    assert thresholds["jitr-acme--ca-expiring--factory"] == (10, True)


def test_alarms_tell_the_fleets_topic_in_the_stages_own_region(changed: Any) -> None:
    stack = changed('[alarms]\ntopic = "arn:<partition>:sns:<region>:<account>:on-call"\n')["prod/us-east-1"]

    for alarm in stack.of_type("AWS::CloudWatch::Alarm"):
        for actions in (alarm["Properties"]["AlarmActions"], alarm["Properties"]["OKActions"]):
            assert ":sns:us-east-1:222222222222:on-call" in json.dumps(actions)


def test_without_a_topic_alarms_only_show(production: Any) -> None:
    assert not [one for one in production.of_type("AWS::CloudWatch::Alarm") if "AlarmActions" in one["Properties"]]


def test_the_dashboard_shows_every_alarm(production: Any) -> None:
    (widget,) = (widget for widget in body(production)["widgets"] if widget["type"] == "alarm")

    shown = {arn.rpartition(":alarm:")[2] for arn in widget["properties"]["alarms"]}
    assert shown == {one["Properties"]["AlarmName"] for one in production.of_type("AWS::CloudWatch::Alarm")}


def test_the_dashboards_of_two_regions_have_two_names(stacks: Mapping[str, Any]) -> None:
    names = {stack.one("AWS::CloudWatch::Dashboard")["DashboardName"] for stack in stacks.values()}

    assert names == {"jitr-acme--eu-central-1", "jitr-acme--us-east-1"}


def test_widgets_do_not_overlap_and_fill_the_width(production: Any) -> None:
    taken = set()
    for widget in body(production)["widgets"]:
        for x in range(widget["x"], widget["x"] + widget["width"]):
            for y in range(widget["y"], widget["y"] + widget["height"]):
                assert (x, y) not in taken
                taken.add((x, y))

    assert {x for x, _ in taken} == set(range(24))


def test_the_reasons_are_asked_of_fields_that_the_function_logs(production: Any) -> None:
    queries = [widget["properties"]["query"] for widget in body(production)["widgets"] if widget["type"] == "log"]
    fields = {*decision_fields(MOST)}

    assert len(queries) == 2
    for query in queries:
        assert "SOURCE '/aws/lambda/jitr-acme-register'" in query
        used = set(re.findall(r"\b(outcome|certificate_id|detail|reason|ca|thing_name)\b", query))
        assert used == {"outcome", "certificate_id", "detail", "reason", "ca"}
        assert used <= fields


def test_every_outcome_of_the_dashboard_is_one_that_a_decision_has(production: Any) -> None:
    queries = [widget["properties"]["query"] for widget in body(production)["widgets"] if widget["type"] == "log"]

    assert {re.findall(r"outcome = '([a-z]+)'", query)[0] for query in queries} == {"rejected", "held"}
    assert MOST.outcome.value == "held"


def test_metrics_of_one_ca_are_shown_for_each(draft: Draft) -> None:
    draft.write("gateways.pem", Issuer("Gateway CA").certificate())
    draft.text = draft.text.replace(
        "[sweep]", '[ca.gateways]\ncertificate = "gateways.pem"\ncommon_name = ".*"\n\n[sweep]'
    )
    draft.text += 'ca.gateways = { mode = "SNI_ONLY" }\n'
    stack = Stacks(draft.load(), AWS)["prod/eu-central-1"]

    shown = {dict(dimensions).get("ca") for _, name, dimensions in named_by_widgets(stack) if name in BY_CA}
    assert shown == {"factory", "gateways", NO_CA}


RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def sections() -> dict[str, str]:
    """The runbook's sections about alarms: heading → text."""
    text = RUNBOOK.read_text(encoding="utf-8").partition("\n# Alarms\n")[2].partition("\n# ")[0]
    _, *found = re.split(r"(?m)^## ", text)
    return {one.partition("\n")[0]: one.partition("\n")[2].strip() for one in found}


def test_every_alarm_has_its_section_in_the_runbook_and_every_section_its_alarm() -> None:
    every = watches(NAMES, cas=["factory"], sweep_every=900, limits=LIMITS, central=Central.HUB)
    alarms = {watch.section for watch in every}

    assert set(sections()) == alarms


def test_every_alarm_points_to_its_section(production: Any) -> None:
    for alarm in production.of_type("AWS::CloudWatch::Alarm"):
        properties = alarm["Properties"]
        section = properties["AlarmName"].split("--")[1]
        assert properties["AlarmDescription"].endswith(f"docs/runbook.md#{section}")


def test_every_section_of_the_runbook_names_a_command_and_every_block_is_of_a_real_run() -> None:
    assert [name for name, text in sections().items() if "jitrctl" not in text and "](#" not in text] == []
    blocks = re.findall(
        r"<!-- run: ([a-z-]+) -->\n(.*?)<!-- end of run -->", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL
    )
    files = [RUNBOOK.parents[1] / "tools" / name for name in ("runbook.py", "runbook_situations.py")]
    names = [
        str(key.value)
        for file in files
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name == "scenes"
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]
    assert sorted(name for name, _ in blocks) == sorted(names), (
        "each block has a scene that makes it, and each scene its block"
    )
    for _, block in blocks:
        assert re.fullmatch(r"```console\n\$ jitrctl .+\n```\n", block, re.DOTALL), "python tools/runbook.py"
