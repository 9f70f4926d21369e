"""Which fleet a command is about: never a guess between a real one and the local AWS."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.errors import Unusable
from jitrctl.localaws import accounts
from jitrctl.localaws.account import LocalAccount
from jitrctl.run import fleet_file
from jitrctl.run.fleet_file import ChosenBy, find_fleet_file
from jitrctl.run.stage_options import stage_options
from jitrctl.session.stage import choose

URL = "http://127.0.0.1:4566"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fleet.toml and a .local/fleet.toml, of a local AWS that runs."""
    (tmp_path / "fleet.toml").write_text("")
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "fleet.toml").write_text("")
    run_in(monkeypatch, tmp_path / ".local")
    # The checkout's own local AWS is none of the test's.
    monkeypatch.setattr(fleet_file, "_CHECKOUT", tmp_path / "checkout")
    return tmp_path


def run_in(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    """Let a local AWS run in these directories, and in no other."""

    def running(directory: Path) -> tuple[LocalAccount, ...]:
        account = LocalAccount(
            name="dev",
            id="1" * 12,
            region="eu-central-1",
            profile="dev",
            gateway_port=4566,
            mqtt_port=1,
            pid=1,
            log=directory / "dev.log",
        )
        return (account,) if directory in directories else ()

    monkeypatch.setattr(accounts, "find_running", running)


def chosen(folder: Path, named: Path | None = None, *, offline: bool = False, **environ: str) -> tuple[str, ChosenBy]:
    found = find_fleet_file(named, offline=offline, environ=environ, folder=folder)
    return str(found.path).removeprefix(f"{folder}/"), found.chosen_by


def test_the_option_stands_before_everything(folder: Path) -> None:
    assert chosen(folder, Path("x.toml"), JITR_FLEET="y.toml", AWS_ENDPOINT_URL=URL) == ("x.toml", ChosenBy.OPTION)


def test_the_variable_stands_before_what_is_found(folder: Path) -> None:
    assert chosen(folder, JITR_FLEET="y.toml", AWS_ENDPOINT_URL=URL) == ("y.toml", ChosenBy.VARIABLE)


def test_a_shell_of_the_local_aws_takes_its_file_though_there_is_another(folder: Path) -> None:
    assert chosen(folder, AWS_ENDPOINT_URL=URL) == (".local/fleet.toml", ChosenBy.LOCAL_AWS)
    assert chosen(folder, AWS_ENDPOINT_URL=f"{URL}/") == (".local/fleet.toml", ChosenBy.LOCAL_AWS)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4567", "https://iot.eu-central-1.amazonaws.com", ""])
def test_a_shell_for_another_endpoint_is_none_of_the_local_aws(folder: Path, url: str) -> None:
    with pytest.raises(Unusable):
        chosen(folder, AWS_ENDPOINT_URL=url)


def test_a_shell_of_the_local_aws_finds_it_from_any_folder(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = str(folder / ".local" / "aws-config")
    found = find_fleet_file(None, environ={"AWS_ENDPOINT_URL": URL, "AWS_CONFIG_FILE": config}, folder=elsewhere)
    assert found.path == folder / ".local" / "fleet.toml"


def test_what_is_inside_the_folder_is_named_from_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / ".local")
    config = str(folder / ".local" / "aws-config")
    assert find_fleet_file(None, environ={"AWS_ENDPOINT_URL": URL, "AWS_CONFIG_FILE": config}).path == Path(
        "fleet.toml"
    )


def test_a_shell_in_another_folder_finds_the_checkouts_local_aws(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_file, "_CHECKOUT", folder)
    found = find_fleet_file(None, environ={"AWS_ENDPOINT_URL": URL}, folder=tmp_path / "elsewhere")
    assert found.path == folder / ".local" / "fleet.toml"


def test_between_two_fleets_nothing_is_guessed(folder: Path) -> None:
    with pytest.raises(Unusable) as refused:
        chosen(folder)
    assert f"--fleet {folder / 'fleet.toml'}" in str(refused.value)
    assert f"--fleet {folder / '.local/fleet.toml'}" in str(refused.value)
    assert "jitrctl local down" in str(refused.value)


def test_what_calls_nothing_takes_the_file_of_the_folder(folder: Path) -> None:
    assert chosen(folder, offline=True) == ("fleet.toml", ChosenBy.FOLDER)


def test_a_local_aws_that_does_not_run_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in(monkeypatch)
    assert chosen(folder) == ("fleet.toml", ChosenBy.FOLDER)
    (folder / "fleet.toml").unlink()
    assert chosen(folder) == ("fleet.toml", ChosenBy.FOLDER)


@pytest.mark.parametrize("offline", [False, True])
def test_the_local_aws_of_a_folder_without_another_fleet_is_found(folder: Path, *, offline: bool) -> None:
    (folder / "fleet.toml").unlink()
    assert chosen(folder, offline=offline) == (".local/fleet.toml", ChosenBy.LOCAL_AWS)


def test_a_command_says_whose_fleet_it_is_about_unless_the_option_named_it(
    fleet_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fleet", "check", "--fleet", str(fleet_file)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("JITR_FLEET", str(fleet_file))
    assert main(["fleet", "check"]) == 0
    said = capsys.readouterr()
    assert said.err == f"fleet acme, {fleet_file} (JITR_FLEET)\n"
    assert "fleet acme, " not in said.out.replace("the fleet acme", "")
    monkeypatch.delenv("JITR_FLEET")
    monkeypatch.chdir(fleet_file.parent)
    assert main(["fleet", "check", "--json"]) == 0
    assert capsys.readouterr().err == "fleet acme, fleet.toml\n"


def test_verify_takes_the_same_file(
    fleet_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITR_FLEET", str(fleet_file))
    main(["verify", str(fleet_file.parent / "factory.pem"), "--account", "dev"])
    assert capsys.readouterr().err.startswith(f"fleet acme, {fleet_file} (JITR_FLEET)\n")


def test_who_uses_no_local_aws_does_not_load_it() -> None:
    code = "import jitrctl.run.fleet_file, sys; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


Options = Callable[..., str | None]


@pytest.fixture
def options(fleet_file: Path) -> Options:
    """The options that choose these stages, by their place in the fleet file."""
    fleet = load(fleet_file)
    stages: Any = choose(fleet, (), ())
    return lambda *places: stage_options([stages[place] for place in places], fleet)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ((0, 1, 2), ""),
        ((0,), " --account dev"),
        ((1, 2), " --account prod"),
        ((2,), " --account prod --region us-east-1"),
        ((0, 1), " --account dev --account prod --region eu-central-1"),
        ((0, 2), None),
    ],
)
def test_options_choose_exactly_these_stages(options: Options, places: tuple[int, ...], words: str | None) -> None:
    assert options(*places) == words
