"""`jitrctl fleet status` has one answer: OK or NOT OK, the worst first, each with its cure."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jitr.brake import Engagement
from jitr.record import Record
from jitr.rules import CertificateMode
from jitr.store.registry import Registry
from jitr.store.sweep_state import LastRun
from jitrctl.__main__ import main
from jitrctl.audit import log
from jitrctl.audit.log import AuditEntry
from jitrctl.ca import registry
from jitrctl.ca.plan import FoundCa
from jitrctl.clock import now
from jitrctl.commands.fleet.status_view import fit_stages, show_verdict
from jitrctl.intake import Mapping
from jitrctl.session.stage import Stage
from jitrctl.status import health
from jitrctl.status.function import FunctionHealth
from jitrctl.status.stage_commands import restore_command
from jitrctl.terminal import out
from tests.support.cli.stack_in_moto import deploy_rule

Say = Callable[..., list[str]]
CERTIFICATE = "a" * 64


@pytest.fixture
def good(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage dev/eu-central-1, in which nothing is wrong."""
    deploy_rule(deployed)
    # moto keeps neither the mode nor whether devices register as they connect.
    ends_at = deployed.fleet.cas[0].certificate.not_after
    found = FoundCa(
        mode=CertificateMode.SNI_ONLY,
        active=True,
        registers_automatically=True,
        has_template=False,
        ends_at=ends_at,
    )
    monkeypatch.setattr(registry, "find", lambda *_: found)
    deployed.journal.keep_run(LastRun(began_at=now(), finished_at=now()))
    monkeypatch.setattr(health, "read_function", lambda _: FunctionHealth(state="on"))
    return deployed


@pytest.fixture
def say(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Give `fleet status` of dev with these options; the lines on standard output."""

    def run(*options: str, code: int) -> list[str]:
        assert main(["fleet", "status", "--account", "dev", "--fleet", str(fleet_file), *options]) == code
        return capsys.readouterr().out.splitlines()

    return run


def document(say: Say, code: int) -> Any:
    (stage,) = json.loads("\n".join(say("--json", code=code)))["stages"]
    return stage


def test_a_fleet_in_which_nothing_is_wrong_is_ok(good: Stage, say: Say) -> None:
    first, _, *table = say(code=0)
    assert first == "OK: the stage needs nothing."
    assert table[0].split() == ["stage", "deployed", "CAs", "function", "waiting", "dead", "undelivered", "swept"]
    assert table[1].split()[:1] == [str(good)]
    assert table[1].split()[2:-1] == ["1/1", "on", "0", "0", "0"]
    assert re.fullmatch(r"\d+s", table[1].split()[-1])
    assert document(say, 0)["problems"] == []


@pytest.mark.usefixtures("good")
def test_the_first_line_counts_the_stages_that_need_the_operator(
    fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", "status", "--fleet", str(fleet_file)]) == 1
    assert capsys.readouterr().out.startswith("NOT OK: 2 of 3 stages need you.\n")


@pytest.mark.usefixtures("good")
def test_a_stage_that_cannot_be_read_is_not_ok(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Stage) -> None:
        denied = {"Error": {"Code": "AccessDenied", "Message": "no"}}
        raise ClientError(denied, "DescribeStacks")  # type: ignore[arg-type]

    monkeypatch.setattr("jitrctl.session.cloudformation.describe", refuse)
    assert say(code=1)[0] == "NOT OK: the stage could not be read."
    assert not capsys.readouterr().out


@pytest.fixture
def paused(good: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The same stage, whose mapping is disabled."""
    from jitrctl.status.function import read_function  # noqa: PLC0415 -- not the one that `good` puts in its place

    mapping = Mapping(uuid="0", state="Disabled", changed_at=datetime(2026, 11, 26, 9, 59, tzinfo=UTC))
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: mapping)
    monkeypatch.setattr("jitrctl.intake.read_configuration", lambda *_: {"State": "Active"})
    monkeypatch.setattr(health, "read_function", read_function)
    return good


def order(stage: Stage, command: str, note: str = "") -> None:
    """Keep an order about the brake."""
    at = datetime(2026, 11, 26, 10, tzinfo=UTC)
    given = AuditEntry(order=command, subject=log.BRAKE, steps=("x",), by="arn:ann", at=at, note=note, completed=True)
    assert log.keep(stage, stage.dynamodb, given)


def test_a_paused_stage_says_who_paused_it_since_when_and_why(paused: Stage, say: Say, fleet_file: Path) -> None:
    order(paused, log.PAUSE, "CRL is being corrected")
    url = paused.sqs.get_queue_url(QueueName=paused.names.registrations_queue)["QueueUrl"]
    paused.sqs.send_message(QueueUrl=url, MessageBody="x")

    first, _, problem, cure, *_ = said = say(code=1)
    assert first == "NOT OK: the stage needs you."
    assert problem == (
        "dev/eu-central-1: decisions are paused since 2026-11-26 10:00Z by arn:ann ('CRL is being corrected'); "
        "1 message waits."
    )
    assert cure == f"    jitrctl ca resume --account dev --fleet {fleet_file}"
    assert "paused" in said[-1]
    assert document(say, 1)["paused"] == {
        "by": "arn:ann",
        "since": "2026-11-26T10:00:00+00:00",
        "note": "CRL is being corrected",
    }


def test_a_pause_that_no_order_made_says_since_when_and_where_to_look(paused: Stage, say: Say) -> None:
    order(paused, log.RESUME)
    problem = say(code=1)[2]
    assert "paused since 2026-11-26 09:59Z, by no order of jitrctl" in problem
    assert "UpdateEventSourceMapping" in problem


def write_log(stage: Stage, at: datetime, **line: str) -> None:
    """Write a line into the log of `register`."""
    logs = stage.access.client("logs")
    group = stage.names.log_group(stage.names.register_function)
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="one")
    event = {"timestamp": int(at.timestamp() * 1000), "message": json.dumps(line)}
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])


def refuse_thing(stage: Stage, at: datetime) -> None:
    """`register` logs that AWS refuses a call for a device."""
    write_log(
        stage,
        at,
        level="ERROR",
        message="a call is not permitted",
        certificate_id=CERTIFICATE,
        action="iot:CreateThing",
        exception="jitr.errors.NotPermitted: iot:CreateThing is not permitted: User: arn:x is not authorized",
    )


def test_a_function_that_a_permission_was_taken_from_is_failing(good: Stage, say: Say) -> None:
    refuse_thing(good, now() - timedelta(minutes=2))
    problem, cure, section, *_ = said = say(code=1)[2:]
    assert problem.startswith(
        f"dev/eu-central-1: the function `register` fails on 1 device, such as certificate {CERTIFICATE}, last 20"
    )
    assert "AWS refuses it iot:CreateThing; no message waits." in problem
    assert cure == f"    {restore_command(good)}"
    assert section == "    docs/runbook.md#not-permitted"
    assert said[-1].split()[3] == "failing"
    found = document(say, 1)
    assert found["function"] == "failing"
    assert found["failing"]["certificate_ids"] == [CERTIFICATE]


def test_a_failure_of_more_than_an_hour_ago_is_over(good: Stage, say: Say) -> None:
    refuse_thing(good, now() - timedelta(minutes=61))
    assert say(code=0)[0].startswith("OK")


def ring(stage: Stage, *sections: str) -> None:
    """Let these alarms of the stack ring."""
    cloudwatch = stage.access.client("cloudwatch")
    for section in sections:
        name = stage.names.alarm(*section.split(" "))
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            MetricName="x",
            Namespace="jitr",
            Statistic="Sum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="x")


def test_an_alarm_that_rings_is_a_problem_with_its_section_of_the_runbook(good: Stage, say: Say) -> None:
    ring(good, "register-throttles", "rejections factory")
    said = say(code=1)
    (rejected,) = [one for one in said if "the alarm rejections of factory: devices were rejected" in one]
    assert said[said.index(rejected) + 1] == "    docs/runbook.md#rejections"
    assert any("leaves the function `register` no room (rings since" in one for one in said)
    assert "    docs/runbook.md#register-throttles" in said


def test_commands_are_printed_with_the_options_of_the_stage_and_the_fleet(
    good: Stage, say: Say, fleet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engaged = Engagement(rules="x", at=now(), refused=21, decisions=21, usual_share=0, reason="X", example="sensor-1")
    monkeypatch.setattr(health, "read_engaged_brakes", lambda _: {"factory": engaged})
    ring(good, "out-of-place")
    brake = f'`jitrctl ca accept-rejections factory --note "why" --account dev --fleet {fleet_file}`'
    devices = f"jitrctl fleet devices --out-of-place --fleet {fleet_file}"

    said = say(code=1)
    assert any(brake in one for one in said)
    assert f"    {devices}" in said
    texts, cures = zip(*((one["text"], one["cures"]) for one in document(say, 1)["problems"]), strict=True)
    assert any(brake in text for text in texts)
    assert [devices] in cures


def test_an_alarm_of_what_is_well_again_is_noted_and_keeps_nobody(good: Stage, say: Say) -> None:
    ring(good, "dead-letters", "sweep-not-run")
    said = say(code=0)
    assert said[0].startswith("OK")
    note = "the alarm jitr-acme--dead-letters still rings, and what it watches is well again"
    assert f"dev/eu-central-1: {note}" in said


def test_another_fleets_alarm_is_none_of_ours(good: Stage, say: Say) -> None:
    cloudwatch = good.access.client("cloudwatch")
    ring(good, "rejections factory")
    cloudwatch.delete_alarms(AlarmNames=["jitr-acme--rejections--factory"])
    name = good.names.alarm("rejections").replace("acme", "acme-two")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName="x",
        Namespace="jitr",
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="x")
    assert say(code=0)[0].startswith("OK")


@pytest.mark.usefixtures("good")
def test_alarms_that_may_not_be_read_are_said_not_to_be(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Stage) -> None:
        denied = {"Error": {"Code": "AccessDenied", "Message": "no", "JitrctlAction": "cloudwatch:DescribeAlarms"}}
        raise ClientError(denied, "DescribeAlarms")  # type: ignore[arg-type]

    monkeypatch.setattr(health, "read_alarms", refuse)
    said = say(code=0)
    assert said[0] == "OK, except what was not read: alarms."
    assert any("alarms not read: cloudwatch:DescribeAlarms is not allowed" in one for one in said)
    assert list(document(say, 0)["not_read"]) == ["alarms"]


@pytest.mark.parametrize(
    ("reader", "what", "action"),
    [
        ("read_failure", "errors of the function", "logs:FilterLogEvents"),
        ("age_of_oldest", "age of the oldest message", "cloudwatch:GetMetricStatistics"),
    ],
)
def test_a_stage_is_not_ok_without_what_decides_it(
    good: Stage, say: Say, fleet_file: Path, monkeypatch: pytest.MonkeyPatch, reader: str, what: str, action: str
) -> None:
    def refuse(*_: Any) -> None:
        denied = {"Error": {"Code": "AccessDenied", "Message": "no", "JitrctlAction": action}}
        raise ClientError(denied, action)  # type: ignore[arg-type]

    url = good.sqs.get_queue_url(QueueName=good.names.registrations_queue)["QueueUrl"]
    good.sqs.send_message(QueueUrl=url, MessageBody="x")
    monkeypatch.setattr(health, reader, refuse)
    first, _, problem, cure, *rest = say(code=1)
    assert first == "NOT OK: the stage could not be read wholly."
    assert problem.startswith(f"dev/eu-central-1: could not be read wholly: {what} ({action} is not allowed: have it")
    assert cure == f"    jitrctl fleet status --account dev --fleet {fleet_file}"
    assert not any("not read" in one for one in rest)
    assert [one["problem"] for one in document(say, 1)["problems"]] == ["not-read"]


@pytest.mark.usefixtures("good")
def test_an_age_that_cannot_be_read_matters_only_while_messages_wait(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(health, "age_of_oldest", lambda *_: asked.append(1))
    assert say(code=0)[0] == "OK: the stage needs nothing."
    assert not asked


def test_the_sweeps_last_run_is_shown_not_its_daily_count(good: Stage, say: Say) -> None:
    good.journal.keep_run(LastRun(began_at=now(), finished_at=now() - timedelta(minutes=50)))
    said = say(code=1)
    assert "the sweep last ran 50m ago, and is to run every 15m" in said[2]
    assert said[3].startswith("    jitrctl sweep --account dev")
    assert said[-1].split()[-1] == "50m"


def test_the_age_of_the_oldest_message_is_held_against_the_alarms_limit(good: Stage, say: Say) -> None:
    url = good.sqs.get_queue_url(QueueName=good.names.registrations_queue)["QueueUrl"]
    good.sqs.send_message(QueueUrl=url, MessageBody="x")
    good.access.client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": good.names.registrations_queue}],
                "Timestamp": now() - timedelta(minutes=2),
                "Value": 1000,
            }
        ],
    )
    said = say(code=1)
    assert "devices wait: 1 message waits, the oldest for 16m, and 15m are allowed" in said[2]
    assert said[3] == "    docs/runbook.md#backlog"
    assert "1, 16m" in said[-1]


def test_at_80_columns_no_column_is_lost_and_no_row_is_broken(
    good: Stage, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "_width", 80)
    first, _, heading, row = say(code=0)
    assert first.startswith("OK")
    assert heading.split() == ["stage", "deployed", "CAs", "function", "waiting", "dead", "undelivered", "swept"]
    assert row.startswith(str(good))
    assert len(row.split()) == 8


def test_where_cloudwatch_has_no_age_the_oldest_pending_device_says_it(
    good: Stage, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = good.sqs.get_queue_url(QueueName=good.names.registrations_queue)["QueueUrl"]
    good.sqs.send_message(QueueUrl=url, MessageBody="x")
    ages = {"a" * 64: ("PENDING_ACTIVATION", 20), "b" * 64: ("PENDING_ACTIVATION", 10), "c" * 64: ("ACTIVE", 90)}
    listed = [
        {"certificateId": one, "status": status, "creationDate": now() - timedelta(minutes=minutes)}
        for one, (status, minutes) in ages.items()
    ]
    iot = SimpleNamespace(
        list_certificates=lambda **_: {"certificates": listed},
        **{name: getattr(good.iot, name) for name in ("get_policy", "get_paginator", "exceptions", "meta")},
        get_v2_logging_options=good.iot.get_v2_logging_options,
    )
    monkeypatch.setattr(Stage, "iot", iot)
    assert "the oldest for 20m, and 15m are allowed" in say(code=1)[2]
    decided = {"a" * 64: Record(unread_at=now()), "b" * 64: Record()}
    monkeypatch.setattr(Registry, "recall", lambda *_: decided)
    assert "1, 10m" in say(code=0)[-2]


def test_a_stage_with_a_long_name_breaks_between_account_and_region() -> None:
    headings = ("deployed", "CAs", "function", "waiting", "dead", "undelivered", "swept")
    rows = [{"stage": name} | dict.fromkeys(headings, "-") for name in ("prod/eu-central-1", "production-1/us-east-1")]
    assert fit_stages(rows[:1], 80) == rows[:1]
    assert [row["stage"] for row in fit_stages(rows, 80)] == ["prod/ eu-central-1", "production-1/ us-east-1"]
    assert fit_stages(rows, 100) == rows


@pytest.mark.parametrize(
    ("stages", "counts", "without", "verdict"),
    [
        (3, (0, 0, 0), [], "OK: 3 of 3 stages need nothing."),
        (1, (0, 0, 0), [], "OK: the stage needs nothing."),
        (3, (0, 0, 0), ["alarms", "CRLs"], "OK, except what was not read: alarms, CRLs."),
        (3, (1, 0, 0), ["alarms"], "NOT OK: 1 of 3 stages needs you."),
        (3, (2, 0, 1), [], "NOT OK: 2 of 3 stages need you, 1 of 3 stages could not be read."),
        (3, (1, 2, 0), [], "NOT OK: 1 of 3 stages needs you, 2 of 3 stages could not be read wholly."),
        (1, (0, 0, 1), [], "NOT OK: the stage could not be read."),
    ],
)
def test_the_verdict_is_in_words_with_counts(
    capsys: pytest.CaptureFixture[str], stages: int, counts: tuple[int, int, int], without: list[str], verdict: str
) -> None:
    in_need, in_part, not_read = counts
    show_verdict(stages, in_need=in_need, in_part=in_part, not_read=not_read, without=without)
    assert capsys.readouterr().out == f"{verdict}\n\n"
