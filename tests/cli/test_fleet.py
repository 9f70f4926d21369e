"""The fleet file by itself, and every stage in one look."""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.store.enrollment_table import EntryChange
from jitrctl.__main__ import main
from jitrctl.session.stage import Stage
from jitrctl.status.deployment import synthesized_template
from tests.support.cli.enrollment_tables import create_enrollment
from tests.support.cli.stack_in_moto import TEMPLATE, deploy_stack
from tests.support.cloud import create_registry


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json; what it says of each stage."""

    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code
        document = json.loads(capsys.readouterr().out)
        return {f"{one['account']}/{one['region']}": one for one in document["stages"]}

    return run


def test_a_good_fleet_file_is_described_without_aws(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "check", "--fleet", str(fleet_file)]) == 0
    shown = capsys.readouterr().out
    assert "describes the fleet acme" in shown
    assert "CA or source" in shown
    assert [line.split()[0] for line in shown.splitlines() if "/" in line.split(" ")[0]][1:] == [
        "dev/eu-central-1",
        "prod/eu-central-1",
        "prod/us-east-1",
    ]


def test_a_wrong_fleet_file_is_told_with_all_its_problems(
    write_fleet: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_fleet('mode = "SNI_ONLY"', 'mode = "SNI"')
    assert main(["fleet", "check", "--fleet", str(path)]) == 2
    assert capsys.readouterr().err.count("account.") == 2


def _assembly(folder: Path, template: object) -> Path:
    """What `cdk synth` leaves, as far as it is looked at."""
    made = folder / "cdk.out"
    made.mkdir(parents=True)
    artifact = {
        "type": "aws:cloudformation:stack",
        "displayName": "dev/eu-central-1",
        "properties": {"templateFile": "dev.template.json"},
    }
    (made / "manifest.json").write_text(json.dumps({"artifacts": {"other": {"type": "cdk:asset"}, "x": artifact}}))
    (made / "dev.template.json").write_text(json.dumps(template))
    return made


def test_each_stage_is_seen_as_it_is(deployed: Stage, fleet_file: Path, told: Callable[..., Any]) -> None:
    url = deployed.sqs.get_queue_url(QueueName=deployed.names.dead_letter_queue)["QueueUrl"]
    deployed.sqs.send_message(QueueUrl=url, MessageBody="x")

    said = told("fleet", "status", "--fleet", str(fleet_file), code=1)

    dev = said["dev/eu-central-1"]
    assert (dev["stack"], dev["waiting"], dev["dead"], dev["undelivered"]) == ("CREATE_COMPLETE", 0, 1, 0)
    assert (dev["function"], dev["swept_at"], dev["iot_logging"]) == ("missing", None, "ERROR")
    assert not any("policy" in text for text in dev["drift"])
    assert (dev["turns_per_second"], dev["throttled"]) == (10, 0)
    far = said["prod/us-east-1"]
    assert (far["stack"], far["waiting"]) == (None, None)
    assert "factory: it is not registered" in far["drift"]


def test_a_rate_that_throttling_has_lowered_is_shown_beside_the_fleet_files(
    deployed: Stage, fleet_file: Path, told: Callable[..., Any]
) -> None:
    if deployed.names.registry_table not in deployed.dynamodb.list_tables()["TableNames"]:
        create_registry(deployed.dynamodb, deployed.names.registry_table)
    numbers = {"rate": 5200, "calls": 300, "throttles": 40, "judged_calls": 200, "judged_throttles": 15}
    item = {name: {"N": str(number)} for name, number in numbers.items()}
    deployed.dynamodb.put_item(TableName=deployed.names.registry_table, Item={"id": {"S": "pace"}, **item})
    dev = told("fleet", "status", "--fleet", str(fleet_file), code=1)["dev/eu-central-1"]
    assert (dev["turns_per_second"], dev["throttled"]) == (5.2, 0.25)


def test_what_waits_for_the_hub_and_what_it_gave_up_is_seen_in_its_own_stage(
    deployed: Stage, fleet_file: Path, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fleet_file.write_text(fleet_file.read_text(encoding="utf-8") + '\n[hub]\naccount = "dev"\n', encoding="utf-8")
    names = deployed.names
    for count, queue in enumerate((names.unforwarded_queue, names.hub_dead_letter_queue, names.hub_queue), start=1):
        url = deployed.sqs.create_queue(QueueName=queue)["QueueUrl"]
        for _ in range(count):
            deployed.sqs.send_message(QueueUrl=url, MessageBody="x")

    said = told("fleet", "status", "--fleet", str(fleet_file), code=1)
    main(["fleet", "status", "--fleet", str(fleet_file)])
    shown = " ".join(capsys.readouterr().out.split())

    dev, far = said["dev/eu-central-1"], said["prod/us-east-1"]
    assert (dev["unforwarded"], dev["hub_dead"], dev["hub_waiting"]) == (1, 2, 3)
    assert (far["unforwarded"], far["hub_dead"], far["hub_waiting"]) == (None, None, None)
    assert "1 unforwarded event, which the hub's table lacks" in shown
    assert "jitrctl dlq redrive --all --queue unforwarded --account dev --fleet" in shown
    assert "2 events, given up by the hub's function" in shown
    assert "jitrctl dlq redrive --all --queue hub --account dev --fleet" in shown
    assert "3 events wait for the hub's function" in shown


def test_accounts_whose_enrollment_lists_differ_are_told(
    aws: None,  # noqa: ARG001 -- which it needs first
    monkeypatch: pytest.MonkeyPatch,
    stages: tuple[Stage, ...],
    fleet_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dev, prod, _ = stages
    deploy_stack(monkeypatch, dev.region)
    for stage in (dev, prod):
        create_enrollment(stage)
        create_registry(stage.dynamodb, stage.names.registry_table)
    command = ["fleet", "status", "--fleet", str(fleet_file), "--region", dev.region]
    main(command)
    assert "enrollment list" not in capsys.readouterr().out

    entry = Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=EntryRule.DENY)
    dev.enrollment.change([EntryChange(entry=entry, replaces=None)], by="ann", at=datetime(2026, 11, 1, tzinfo=UTC))
    main(command)
    told = " ".join(capsys.readouterr().out.split())
    assert f"enrollment list {dev.enrollment.digest()[:16]}" in told
    assert f"enrollment list {prod.enrollment.digest()[:16]}" in told
    assert "let different devices in" in told


def test_another_policy_than_the_files_is_drift(deployed: Stage, fleet_file: Path, told: Callable[..., Any]) -> None:
    deployed.iot.create_policy_version(
        policyName="jitr-acme--factory", policyDocument='{"Version": "2012-10-17"}', setAsDefault=True
    )
    said = told("fleet", "status", "--fleet", str(fleet_file), "--account", "dev", code=1)
    assert (
        "the default version of policy jitr-acme--factory is not device.json: deploy, or find out who changed it"
        in (said["dev/eu-central-1"]["drift"])
    )


@pytest.mark.parametrize(("template", "drifted"), [(TEMPLATE, False), ({"Resources": {}}, True)])
def test_another_template_than_the_synthesized_one_is_drift(
    deployed: Stage, fleet_file: Path, tmp_path: Path, told: Callable[..., Any], template: object, drifted: object
) -> None:
    assembly = _assembly(tmp_path / "made", template)
    said = told("fleet", "status", "--fleet", str(fleet_file), "--account", "dev", "--assembly", str(assembly), code=1)
    text = f"the deployed template is not the synthesized one: cdk diff {deployed}"
    assert (text in said["dev/eu-central-1"]["drift"]) is drifted
    assert said["dev/eu-central-1"]["templates_compared"] is True


@pytest.mark.usefixtures("deployed")
def test_templates_are_compared_only_where_there_is_a_stack_and_a_template(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is a stack in dev alone, and a template for it alone."""
    assembly = _assembly(tmp_path / "made", TEMPLATE)
    (manifest,) = (tmp_path / "made").rglob("manifest.json")

    def compared() -> tuple[bool, list[bool]]:
        main(["fleet", "status", "--json", "--fleet", str(fleet_file), "--assembly", str(assembly)])
        document = json.loads(capsys.readouterr().out)
        return document["templates_compared"], [one["templates_compared"] for one in document["stages"]]

    assert compared() == (False, [True, False, False])
    manifest.write_text(manifest.read_text().replace("dev/eu-central-1", "prod/us-east-1"))
    assert compared() == (False, [False, False, False])


def test_an_assembly_is_searched_for_the_stages_template(tmp_path: Path) -> None:
    assembly = _assembly(tmp_path, TEMPLATE)
    assert synthesized_template(assembly, "dev/eu-central-1") == TEMPLATE
    assert synthesized_template(assembly, "prod/eu-central-1") is None


def test_an_assembly_that_is_older_than_the_fleet_file_is_not_compared_with(
    deployed: Stage, fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(deployed) == "dev/eu-central-1"
    _assembly(fleet_file.parent, {"Resources": {}})
    (fleet_file.parent / "cdk.out" / "manifest.json").write_text("{}")
    os.utime(fleet_file.parent / "cdk.out" / "manifest.json", (0, 0))
    main(["fleet", "status", "--fleet", str(fleet_file), "--account", "dev"])
    said = " ".join(capsys.readouterr().err.split())
    assert "is older than" in said
    assert "synthesized" not in said
    main(["fleet", "status", "--fleet", str(fleet_file), "--account", "dev", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["templates_compared"] is False, "no drift, and not looked for"
    assert [one["templates_compared"] for one in document["stages"]] == [False]
    assert any("is older than" in warning for warning in document["warnings"])


@pytest.mark.usefixtures("deployed")
def test_the_screen_says_how_long_ago_each_stack_was_deployed(
    fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["fleet", "status", "--account", "dev", "--fleet", str(fleet_file)])
    table = capsys.readouterr().out.partition("stage ")[2]
    assert re.search(r"dev/eu-central-1 +\d+[smhd] ", table)
