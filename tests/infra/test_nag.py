"""cdk-nag's AwsSolutions pack over the production stages: clean, and every acknowledged finding has its reason."""

import json
from contextlib import suppress
from pathlib import Path

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks

from jitr_cdk.stage import AccountStacks
from jitr_cdk.target import AWS
from jitr_fleet.model import Fleet
from tests.support.fleet.drafts import Draft
from tests.support.infra.fleet_options import EVERYTHING


def checked(fleet: Fleet, folder: Path) -> list[str]:
    """Synthesize under the pack; its findings that nobody acknowledged, as construct path and rule."""
    app = cdk.App(outdir=str(folder))
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    for account in fleet.accounts:
        AccountStacks(app, fleet=fleet, account=account, target=AWS)
    with suppress(RuntimeError):  # how synth ends when a plugin found something; the report says what
        app.synth()
    reports = json.loads((folder / "validation-report.json").read_text(encoding="utf-8"))["pluginReports"]
    (report,) = (one for one in reports if one["pluginName"] == "AwsSolutions")
    return [
        f"{construct['constructPath']}: {violation['ruleName']}"
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]


def test_the_pack_finds_nothing_that_is_not_acknowledged(fleet: Fleet, tmp_path: Path) -> None:
    assert checked(fleet, tmp_path) == []


def test_the_pack_finds_nothing_where_everything_is_chosen(draft: Draft, tmp_path: Path) -> None:
    draft.give_extras()
    draft.text += EVERYTHING + '\n[hub]\naccount = "dev"\n'
    assert checked(draft.load(), tmp_path / "out") == []


def test_the_pack_sees_what_nobody_acknowledged(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitr_cdk.registration.acknowledge", lambda *_: None)

    found = checked(fleet, tmp_path)

    assert found
    assert {one.rpartition("/Undelivered/Resource: ")[2] for one in found} == {"AwsSolutions-SQS3"}
