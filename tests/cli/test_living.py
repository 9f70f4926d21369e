"""`jitrctl fleet devices`: who lives where, by the hub's table or by every account's registry."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Outcome
from jitr.hub.locations import Statement
from jitr.hub.table import HubTable
from jitr.iot_models import Status
from jitr.store.enrollment_table import EntryChange
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.__main__ import main
from jitrctl.session.stage import Stage
from tests.support.cli.enrollment_tables import create_enrollment
from tests.support.cli.fleet_file import DEV, PROD
from tests.support.cloud import create_registry
from tests.support.edge.hub_table import create_hub_table
from tests.support.examples import ACTIVATION, OTHER_ID

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
OPERATOR = "arn:aws:iam::111111111111:user/ann"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(path: Path, *arguments: str, code: int = 0) -> Any:
        assert main(["fleet", "devices", "--fleet", str(path), *arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def activated(aws: None, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:  # noqa: ARG001 -- which it needs first
    """One certificate is ACTIVE in dev and in the second Region of prod; another one was refused in dev."""
    for stage in stages:
        create_registry(stage.dynamodb, stage.names.registry_table)
        create_enrollment(stage)
    for stage in (stages[0], stages[2]):
        stage.registry.record(ACTIVATION)
    refused = replace(ACTIVATION, certificate_id=OTHER_ID, outcome=Outcome.REJECTED, status=Status.INACTIVE)
    stages[0].registry.record(refused)
    return stages


def lives(said: Any) -> list[tuple[str, str, bool]]:
    return [(one["account"], one["region"], one["out_of_place"]) for one in said["devices"]]


@pytest.mark.usefixtures("activated")
def test_without_a_hub_every_accounts_registry_says_who_lives_there(fleet_file: Path, told: Callable[..., Any]) -> None:
    said = told(fleet_file)

    assert said["source"] == "registries"
    assert lives(said) == [("dev", "eu-central-1", False), ("prod", "us-east-1", False)]
    assert {one["thing_name"] for one in said["devices"]} == {"sensor-0001"}


@pytest.mark.usefixtures("activated")
def test_without_a_hub_who_is_out_of_place_is_computed(
    write_fleet: Callable[..., Path], told: Callable[..., Any]
) -> None:
    path = write_fleet('thing_type  = "sensor"', 'home = ["prod"]')

    said = told(path, "--out-of-place", code=1)

    assert lives(said) == [("dev", "eu-central-1", True)]
    assert told(path, "--out-of-place", "--account", "prod")["devices"] == []


def test_an_entry_that_names_accounts_comes_before_the_cas_home(
    activated: tuple[Stage, ...], write_fleet: Callable[..., Path], told: Callable[..., Any]
) -> None:
    entry = Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=EntryRule.ALLOW, accounts=(DEV,))
    for stage in activated:
        stage.enrollment.change([EntryChange(entry=entry, replaces=None)], by=OPERATOR, at=AT)

    said = told(write_fleet('thing_type  = "sensor"', 'home = ["prod"]'), "--out-of-place", code=1)

    assert lives(said) == [("prod", "us-east-1", True)]


def test_who_was_shut_out_by_an_operator_lives_there_no_more(
    activated: tuple[Stage, ...], fleet_file: Path, told: Callable[..., Any]
) -> None:
    verdict = OperatorVerdict(action=OperatorAction.REVOKED, by=OPERATOR, at=AT)
    activated[0].registry.give_verdict(ACTIVATION.certificate_id, verdict, seen=None)

    assert lives(told(fleet_file)) == [("prod", "us-east-1", False)]


def statement(account: str, region: str) -> Statement:
    return Statement(
        certificate_id=ACTIVATION.certificate_id,
        account_id=account,
        region=region,
        status="ACTIVE",
        at=AT,
        event_id="0" * 32,
        ca="factory",
        thing_name="sensor-0001",
    )


@pytest.fixture
def with_hub(aws: None, stages: tuple[Stage, ...], write_fleet: Callable[..., Path]) -> Path:  # noqa: ARG001
    create_hub_table(stages[1].dynamodb)
    table = HubTable(stages[1].dynamodb, stages[1].names.hub_table)
    table.record(statement(DEV, "eu-central-1"), out_of_place=True)
    table.record(statement(PROD, "us-east-1"), out_of_place=False)
    left = replace(statement(PROD, "eu-central-1"), status="INACTIVE")
    table.record(left, out_of_place=False)
    return write_fleet("[account.dev]", '[hub]\naccount = "prod"\n\n[account.dev]')


def test_with_a_hub_its_table_says_so_and_no_other_account_is_asked(with_hub: Path, told: Callable[..., Any]) -> None:
    said = told(with_hub)

    assert said["source"] == "hub"
    assert lives(said) == [("dev", "eu-central-1", True), ("prod", "us-east-1", False)]
    assert lives(told(with_hub, "--account", "prod")) == [("prod", "us-east-1", False)]
    assert lives(told(with_hub, "--out-of-place", code=1)) == [("dev", "eu-central-1", True)]


def test_people_see_a_row_for_each_place(with_hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "devices", "--fleet", str(with_hub)]) == 0
    shown = capsys.readouterr().out

    assert "sensor-0001" in shown
    assert [word for word in shown.split() if word in ("yes", "no")] == ["no", "yes"]


@pytest.mark.usefixtures("aws")
def test_a_hub_that_is_not_deployed_is_told(
    write_fleet: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_fleet("[account.dev]", '[hub]\naccount = "prod"\n\n[account.dev]')

    assert main(["fleet", "devices", "--fleet", str(path)]) == 1
    assert "has no table jitr-acme-hub: deploy the hub's stack" in " ".join(capsys.readouterr().err.split())
