"""Help, completion and versions: what they show, and that they import nothing heavy for it."""

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from jitrctl.commands import tree
from jitrctl.commands.tree import every_group
from jitrctl.commands.version import versions
from jitrctl.run.lazy_commands import every_command

COMMANDS = [name.split()[1:] for name in every_command(every_group())]
GROUPS = [[name] for name in tree._GROUPS]
CONTROL = "typer"  # which every command imports
HEAVY = ("boto3", "botocore", "cryptography", "aws_cdk", "moto", "pydantic")
SHOW_IMPORTS = """
import sys
from jitrctl.__main__ import main
for line in sys.argv[2:]:
    main(line.split())
print(*(one for one in sys.argv[1].split() if one in sys.modules), file=sys.stderr)
"""


def imported(*lines: str, **environ: str) -> str:
    """Which of the heavy packages these command lines import, in a process of their own."""
    run = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, " ".join((*HEAVY, CONTROL)), *lines],
        env=os.environ | environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout
    return run.stderr.strip()


def test_no_help_imports_aws_or_cryptography() -> None:
    lines = [" ".join([*command, "--help"]) for command in (*GROUPS, *COMMANDS)]
    assert imported("--help", "-h", "--version", *lines) == CONTROL


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_is_that_of_its_imported_function(command: list[str]) -> None:
    with_more_than_help = [*command, "--help"]
    assert help_of(*command) == help_of(*with_more_than_help)


def test_the_names_of_commands_are_completed_without_importing_them() -> None:
    line = {"_JITRCTL_COMPLETE": "complete_bash", "COMP_WORDS": "jitrctl device d", "COMP_CWORD": "2"}
    show = SHOW_IMPORTS.replace(
        "for line in sys.argv[2:]:\n    main(line.split())",
        "sys.argv[0] = 'jitrctl'\ntry:\n    main([])\nexcept SystemExit:\n    pass",
    )
    run = subprocess.run(
        [sys.executable, "-c", show, " ".join((*HEAVY, CONTROL))],
        env=os.environ | line,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["deny", "deactivate"]
    assert run.stderr.strip() == CONTROL


@cache
def help_of(*command: str, option: str = "--help") -> str:
    """What a command's help shows."""
    shown = StringIO()
    with redirect_stdout(shown):
        assert main([*command, option]) == 0
    return shown.getvalue()


@pytest.mark.parametrize("command", [[], *GROUPS, *COMMANDS], ids=" ".join)
def test_no_option_has_pythons_type_beside_it(command: list[str]) -> None:
    assert not re.findall(r"<[^>|]*>", help_of(*command)), "a choice is <one|other>"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_argument_has_a_type_beside_it(command: list[str]) -> None:
    arguments = help_of(*command).partition("─ Arguments ")[2].partition("╰")[0]
    assert "<" not in arguments


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_argument_has_a_name_in_capitals(command: list[str]) -> None:
    (usage,) = (line for line in help_of(*command).splitlines() if "Usage:" in line)
    assert not re.findall(r"[{\[][a-z]\w*[}\]]", usage)


@pytest.mark.parametrize("command", [[], *GROUPS, *COMMANDS], ids=" ".join)
def test_h_is_help_everywhere(command: list[str]) -> None:
    assert help_of(*command, option="-h") == help_of(*command)


@pytest.mark.parametrize("group", [[], *GROUPS], ids=" ".join)
def test_a_groups_help_has_the_first_paragraph_of_each_command(group: list[str]) -> None:
    shown = " ".join(help_of(*group).replace("│", " ").split())
    below = [name for name in COMMANDS if name[:-1] == group]
    assert below
    for name in below:
        text = every_command(every_group())[" ".join(["jitrctl", *name])].help or ""
        assert " ".join([name[-1], *text.partition("\n\n")[0].split()]) in shown


def test_the_version_names_what_it_runs_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"jitrctl {version('jitr')}", f"boto3 {version('boto3')}"]
    assert [line.rpartition(" ")[0] for line in lines[2:]] == ["CDK CLI", "Python"]


def test_the_cdk_cli_that_is_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"devDependencies": {"aws-cdk": "2.9.9"}}))
    assert "CDK CLI not installed; package.json asks for 2.9.9: `make setup`" in versions(tmp_path)

    package = tmp_path / "node_modules" / "aws-cdk" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text(json.dumps({"version": "2.1.0"}))
    assert "CDK CLI 2.1.0" in versions(tmp_path)


def test_without_a_checkout_the_cdk_cli_is_not_installed(tmp_path: Path) -> None:
    assert "CDK CLI not installed" in versions(tmp_path)
