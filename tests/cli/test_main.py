"""jitrctl from the outside: exit codes, and one sentence for each mistake."""

import json
import shutil
import stat
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from jitrctl.commands import demo
from jitrctl.demo.scenes.cast import Detail
from jitrctl.demo.story import Story, StoryStep
from jitrctl.localaws import accounts, deployment
from jitrctl.localaws.account import AccountSpec, LocalAccount
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.workspace import CHECKOUT, Workspace, _keep_local_accounts
from tests.support.cli.terminal import Terminal

DEVICE_COMMANDS = [["device"], *(["device", order] for order in ("release", "deactivate", "revoke", "adopt"))]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty local directory, so that no test here meets one that runs."""
    workspace = Workspace(directory=tmp_path / "local")
    monkeypatch.setattr(demo, "Workspace", lambda: workspace)
    monkeypatch.setattr("jitrctl.commands.local.Workspace", lambda: workspace)
    return workspace


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["replay"], ["local"], ["local", "up"], ["local", "connect"], *DEVICE_COMMANDS]
)
def test_every_command_has_help_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0

    shown = capsys.readouterr().out
    assert "Usage" in shown
    if command not in ([], ["local"], ["device"]):
        assert "Example: jitrctl" in shown


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["destroy"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_a_wrong_fleet_file_is_reported_whole_and_nothing_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('[fleet]\nname = "NOT LEGAL"\nsize = 3\n', encoding="utf-8")

    assert main(["replay", "event.json", "--fleet", str(fleet)]) == 2

    said = capsys.readouterr().err
    assert f"{fleet}:2:" in said
    assert f"{fleet}:3:" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say which one with --account"),
        (["--account", "test"], "the fleet has no account test: it has dev, prod"),
        (["--account", "prod"], "say which with --region"),
        (["--account", "dev", "--region", "us-east-1"], "account dev has no stage in us-east-1"),
    ],
)
def test_an_account_that_cannot_be_meant_is_explained(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "event.json", "--fleet", str(CHECKOUT / "fleet.toml"), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_missing_profile_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    assert main(["replay", "event.json", "--fleet", str(CHECKOUT / "fleet.toml"), "--account", "dev"]) == 2
    assert "account dev cannot be opened with profile acme-dev" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_nothing_running_is_said_and_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "status"]) == 0
    assert main(["local", "down"]) == 0
    assert main(["local", "status", "--json"]) == 0

    said = capsys.readouterr().out
    assert "`jitrctl local up` starts one" in said
    assert "Nothing was running." in said
    assert said.endswith('{\n  "accounts": []\n}\n')


@pytest.mark.usefixtures("workspace")
def test_a_device_cannot_connect_to_an_account_that_is_not_running(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "connect", "sensor-0001", "--account", "dev"]) == 1
    assert "account dev is not running here" in capsys.readouterr().err


def _story(monkeypatch: pytest.MonkeyPatch, *steps: StoryStep) -> None:
    """Have the demo play these steps."""
    monkeypatch.setattr(Story, "__init__", lambda _self, _workspace, **_stays: None)
    monkeypatch.setattr(Story, "steps", lambda _self: steps)


def _downs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where accounts are stopped: two, each time."""
    downs: list[Path] = []
    stopped = [AccountSpec(name=name, id="1" * 12, region="eu-central-1", profile=name) for name in ("dev", "prod")]

    def down(directory: Path) -> list[AccountSpec]:
        downs.append(directory)
        return stopped

    monkeypatch.setattr(accounts, "down", down)
    return downs


def _fail() -> Detail:
    raise LocalAwsError("the second step broke; its log is x.log")


def _interrupt() -> Detail:
    raise KeyboardInterrupt


GOOD = StoryStep("First", lambda: Detail(rows=[{"account": "dev"}], note="All well."))
BAD = StoryStep("Second", _fail)
AFTER = StoryStep("Third", Detail)


def test_a_failed_step_ends_the_demo_with_its_cause_and_the_logs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _story(monkeypatch, GOOD, BAD, AFTER)

    assert main(["demo"]) == 1

    shown = capsys.readouterr()
    assert "2  Second  failed" in shown.out
    assert "the second step broke; its log is x.log" in shown.out
    assert "Third" not in shown.out
    assert f"The logs are in {workspace.directory}" in shown.err


@pytest.mark.usefixtures("workspace")
def test_the_demos_json_is_one_document_also_when_a_step_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _story(monkeypatch, GOOD, BAD)

    assert main(["demo", "--json"]) == 1

    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [(step["step"], step["ok"]) for step in document["steps"]] == [("First", True), ("Second", False)]
    assert document["steps"][0]["detail"] == {"rows": [{"account": "dev"}], "note": "All well."}


@pytest.mark.usefixtures("workspace")
def test_the_demo_shows_ids_short_on_a_terminal_and_whole_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = "0123456789abcdef" * 4
    _story(monkeypatch, StoryStep("First", lambda: Detail(rows=[{"certificate id": one}])))
    shown = Terminal()
    with redirect_stdout(shown):
        assert main(["demo"]) == 0
    assert f"{one[:16]}…" in shown.getvalue()
    assert one not in shown.getvalue()

    assert main(["demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["detail"]["rows"] == [{"certificate id": one}]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("options", "stopped"), [([], 1), (["--keep"], 0)])
def test_the_demo_stops_what_it_started_unless_told_to_keep_it(
    options: list[str], stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    downs = _downs(monkeypatch)
    _story(monkeypatch, GOOD)

    assert main(["demo", *options]) == 0
    assert len(downs) == stopped


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("options", "stops", "said"),
    [
        ([], 1, "Stopped dev/eu-central-1 and prod/eu-central-1."),
        (["--keep"], 0, "What was started is still running: `jitrctl local down` stops it."),
    ],
)
def test_an_interrupted_demo_says_where_and_what_became_of_what_it_started(
    options: list[str], stops: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    downs = _downs(monkeypatch)
    _story(monkeypatch, GOOD, StoryStep("Second", _interrupt))

    assert main(["demo", *options]) == 130
    shown = capsys.readouterr().err
    assert "Interrupted in step 2: Second." in shown
    assert said in shown
    assert len(downs) == stops


@pytest.mark.usefixtures("workspace")
def test_the_demo_says_what_it_does_before_it_has_done_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _downs(monkeypatch)
    before: list[str] = []

    def play() -> Detail:
        before.append(capsys.readouterr().err)
        return Detail()

    _story(monkeypatch, StoryStep("First", play))
    assert main(["demo"]) == 0
    assert before == ["1 steps on a local AWS, on 127.0.0.1 alone; Ctrl-C stops it.\n1  First …\n"]


def test_missing_node_is_one_sentence_with_what_to_do(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(LocalAwsError, match="Node is not installed: install Node 20 or newer"):
        deployment.check_tools(workspace)


def test_an_old_node_is_one_sentence_with_what_to_do(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v16.20.0\n", encoding="utf-8")
    node.chmod(node.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda _name: str(node))

    with pytest.raises(LocalAwsError, match=r"Node is v16\.20\.0: install Node 20 or newer"):
        deployment.check_tools(workspace)


def test_a_missing_cdk_cli_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalAwsError, match="run `make setup`"):
        deployment.check_tools(Workspace(directory=tmp_path, checkout=tmp_path))


@pytest.mark.parametrize("order", ["release", "deactivate", "revoke"])
def test_what_is_no_certificate_is_explained(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", order, "no-such.pem", "--account", "dev", "--fleet", str(CHECKOUT / "fleet.toml")]) == 2
    assert "is no file, no certificate id (64 hex digits) and no thing name" in capsys.readouterr().err


def test_the_local_fleet_file_names_what_runs_here_and_nothing_else(workspace: Workspace) -> None:
    text = """\
[fleet]
name = "acme"
[account.dev]
id = "111111111111"
regions = [
  "eu-central-1",  # first
  "us-east-1",
]
role_arn = "arn:aws:iam::111111111111:role/x"
[account.dev.ca.factory]
mode = "DEFAULT"
[account.prod]
regions = ["eu-west-1"]
[sweep]
every = "15m"
"""
    here = LocalAccount(
        name="dev",
        id="111111111111",
        region="eu-central-1",
        profile="acme-dev",
        gateway_port=8,
        mqtt_port=9,
        pid=1,
        log=workspace.directory / "dev.log",
    )
    assert (
        _keep_local_accounts(text, [here])
        == """\
[fleet]
name = "acme"
[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
endpoint_url = "http://127.0.0.1:8"
[account.dev.ca.factory]
mode = "DEFAULT"
[sweep]
every = "15m"
"""
    )
