"""The commands that docs/rejections.md and docs/runbook.md name exist, with these options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from jitr.errors import Reason
from jitrctl.__main__ import app
from jitrctl.doctor import cures

DOCS = Path(__file__).parents[2] / "docs"
REJECTIONS, RUNBOOK = (DOCS / name for name in ("rejections.md", "runbook.md"))
QUOTED = re.compile(r"`(jitrctl [^`]+)`")
SAID = re.compile(r"^\$ (jitrctl .+)$", re.MULTILINE)
# Prose that names a command, or several, without all of its arguments.
ELLIPSIS = re.compile(r"…|\|")


def named(path: Path) -> list[str]:
    """The commands of a page, as they are to be said."""
    text = path.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    quoted = [" ".join(one.split()) for one in QUOTED.findall(prose)]
    return sorted({*(one for one in quoted if not ELLIPSIS.search(one)), *SAID.findall(text)})


def parse(words: list[str]) -> None:
    """Have Typer read a command, down to its last option; nothing is run. Raises UsageError."""
    command: Any = get_command(app)
    context = command.make_context("jitrctl", [], resilient_parsing=True)
    while hasattr(command, "get_command"):
        found = command.get_command(context, words[0])
        assert found, f"there is no command {words[0]}"
        command, words = found, words[1:]
        context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
    context.resilient_parsing = False  # from here on an unknown option is an error
    parser = command.make_parser(context)
    _, left, _ = parser.parse_args(list(words))
    assert not left or any(one.param_type_name == "argument" for one in command.params), left


@pytest.mark.parametrize("line", [*named(REJECTIONS), *named(RUNBOOK)])
def test_a_documented_command_exists_with_its_options(line: str) -> None:
    parse(shlex.split(line)[1:])


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command cure"):
        parse(["device", "cure"])
    with pytest.raises(Exception, match="--pretty-please"):
        parse(["device", "release", "ID", "--pretty-please"])


@pytest.mark.parametrize("reason", sorted(cures._WRITERS, key=lambda one: one.name))
def test_a_reason_for_which_doctor_prints_an_order_has_one_in_its_row(reason: Reason) -> None:
    (row,) = re.findall(rf"^\| `{reason.name}` \|.*$", REJECTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert "`jitrctl " in row.rpartition(" | ")[2] or reason is Reason.TARGET_MISSING  # which a deployment cures


def test_the_cure_of_an_early_rotation_is_named() -> None:
    assert "`jitrctl enrollment allow ID --may-follow`" in REJECTIONS.read_text(encoding="utf-8")
