"""The options that every command about the fleet has, and how each answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from jitrctl.__main__ import main
from jitrctl.commands.tree import every_group
from jitrctl.errors import Interrupted, Refused
from jitrctl.run import scope as scoping
from jitrctl.run.lazy_commands import every_command
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.stage import Stage

# Commands that are about this machine, not about the fleet.
LOCAL = {f"local {command}" for command in ("up", "deploy", "status", "down", "issue", "connect")}
OF_THIS_MACHINE = {"ca create", "device issue", "demo", *LOCAL}


COMMANDS: dict[str, Any] = dict(every_command(every_group(), name=""))


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - OF_THIS_MACHINE))
def test_every_command_about_the_fleet_takes_the_same_options(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert options >= {"--account", "--region", "--fleet", "--json"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(name: str) -> None:
    assert f"Example: jitrctl {name}" in COMMANDS[name].help


@pytest.fixture
def run(fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a made-up command `x` that does this work in every stage."""

    def run(*options: str, work: Callable[[Stage], str], plan: list[str] | None = None) -> int:
        made = typer.Typer()

        @made.command()
        @over_stages
        def x(scope: Scope, yes: scoping.Yes = False) -> None:  # noqa: FBT002 -- an option
            if plan is not None:
                scope.confirm(plan, yes=yes)
            scope.report(
                scope.across(work, doing="x"),
                rows=lambda _, value: [{"said": value}],
                fields=lambda value: {"said": value},
                thing="sensor-0001",
            )

        monkeypatch.setattr("jitrctl.__main__.every_group", lambda: get_command(made))
        return main(["--fleet", str(fleet_file), *options])

    return run


def region(stage: Stage) -> str:
    if stage.region == "us-east-1":
        raise Refused("it is closed: come tomorrow")
    return stage.region.upper()


def test_a_table_says_what_became_of_each_stage_and_the_exit_code_that_one_failed(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(work=region) == 1

    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()] == [
        ["stage", "said"],
        ["dev/eu-central-1", "EU-CENTRAL-1"],
        ["prod/eu-central-1", "EU-CENTRAL-1"],
    ]
    assert shown.err == "\nprod/us-east-1: it is closed: come tomorrow\n"


def test_json_is_one_document_with_every_stage_in_the_fleet_files_order(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", work=region) == 1

    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "thing": "sensor-0001",
        "stages": [
            {"account": "dev", "region": "eu-central-1", "ok": True, "said": "EU-CENTRAL-1"},
            {"account": "prod", "region": "eu-central-1", "ok": True, "said": "EU-CENTRAL-1"},
            {"account": "prod", "region": "us-east-1", "ok": False, "error": "it is closed: come tomorrow"},
        ],
    }


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (["--account", "dev"], ["dev/eu-central-1"]),
        (
            ["--account", "prod", "--account", "dev", "--region", "eu-central-1"],
            ["dev/eu-central-1", "prod/eu-central-1"],
        ),
        (["--region", "us-east-1"], ["prod/us-east-1"]),
        ([], ["dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"]),
    ],
)
def test_accounts_and_regions_choose_the_stages(
    run: Callable[..., int], options: list[str], stages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", *options, work=str) == 0
    assert [stage["said"] for stage in json.loads(capsys.readouterr().out)["stages"]] == stages


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--account", "de"], "the fleet has no account de: did you mean dev?"),
        (["--account", "test"], "the fleet has no account test: it has dev, prod"),
        (["--account", "dev", "--region", "us-east-1"], "account dev has no stage in us-east-1: it has eu-central-1"),
        (["--region", "eu-west-9"], "the accounts have no stage in eu-west-9: "),
    ],
)
def test_what_the_fleet_does_not_have_is_refused(
    run: Callable[..., int], options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options, work=str) == 2
    assert sentence in capsys.readouterr().err


def test_a_plan_is_shown_and_with_nobody_to_ask_nothing_is_done(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(work=lambda _: pytest.fail("it did it"), plan=["delete everything"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("delete everything\n")
    assert "say --yes" in said


def test_a_plan_is_carried_out_with_yes(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--yes", work=str, plan=["delete everything"]) == 0
    assert capsys.readouterr().err == "delete everything\n"


@pytest.mark.parametrize(
    ("answer", "code", "count"), [("y\n", 0, 3), ("yes\n", 0, 3), ("n\n", 2, 0), ("\n", 2, 0), ("", 2, 0)]
)
def test_a_plan_is_carried_out_when_somebody_says_yes(
    run: Callable[..., int], answer: str, code: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)
    worked: list[Stage] = []
    assert run(work=lambda stage: str(worked.append(stage)), plan=["delete everything"]) == code  # type: ignore[func-returns-value]
    assert len(worked) == count


def amiss(stage: Stage) -> str:
    stage.warnings.append("nobody was told: tell them")
    return region(stage)


def test_what_is_amiss_is_said_below_the_table_of_what_was_done(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--account", "dev", work=amiss) == 1
    shown = capsys.readouterr()
    assert shown.out.split()[-2:] == ["dev/eu-central-1", "EU-CENTRAL-1"]
    assert shown.err == "\ndev/eu-central-1: nobody was told: tell them\n"


def test_json_has_what_is_amiss_beside_what_was_done_and_beside_why_it_was_not(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", "--account", "prod", work=amiss) == 1
    document = json.loads(capsys.readouterr().out)
    warnings = {"warnings": ["nobody was told: tell them"]}
    assert document["ok"] is False
    assert document["stages"] == [
        {"account": "prod", "region": "eu-central-1", "ok": True, "said": "EU-CENTRAL-1", **warnings},
        {"account": "prod", "region": "us-east-1", "ok": False, "error": "it is closed: come tomorrow", **warnings},
    ]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_what_is_amiss_is_said_also_where_ctrl_c_leaves_no_report(
    run: Callable[..., int], options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(stages: tuple[Stage, ...], work: Callable[[Stage], str], **_: object) -> None:
        work(stages[0])
        raise Interrupted("interrupted: done in dev/eu-central-1")

    monkeypatch.setattr(scoping, "across", interrupted)
    assert run(*options, work=amiss) == 130
    assert capsys.readouterr().err == (
        "dev/eu-central-1: nobody was told: tell them\ninterrupted: done in dev/eu-central-1\n"
    )


def test_what_failed_in_several_stages_for_one_reason_is_said_once(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(_: Stage) -> str:
        raise Refused("it is closed: come tomorrow")

    assert run(work=closed) == 1
    assert capsys.readouterr().err == (
        "it is closed: come tomorrow\n  in dev/eu-central-1, prod/eu-central-1, prod/us-east-1\n"
    )


@pytest.mark.parametrize(
    "words", [["ca", "status"], ["ca", "plan"], ["ca", "apply", "--yes"], ["ca", "switch-mode", "--yes"]], ids=" ".join
)
def test_a_ca_that_the_fleet_does_not_have_is_refused_before_any_account_is_asked(
    words: list[str], fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jitrctl.session.stage.open_access", lambda *_: pytest.fail("asked an account"))
    assert main([*words, "--ca", "factori", "--fleet", str(fleet_file)]) == 2
    assert capsys.readouterr().err == "the fleet has no CA factori: did you mean factory?\n"


def test_a_verification_request_is_for_one_account_and_of_several_none_is_asked(
    fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jitrctl.session.stage.open_access", lambda *_: pytest.fail("asked an account"))
    assert main(["ca", "csr", "--fleet", str(fleet_file)]) == 2
    assert "say which one with --account" in capsys.readouterr().err
