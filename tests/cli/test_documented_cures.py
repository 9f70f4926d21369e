"""The commands that docs/rejections.md and docs/runbook.md name exist, with these options."""

import ast
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

import jitrctl
from jitr.errors import Reason
from jitrctl.commands.tree import every_group
from jitrctl.doctor import cures
from jitrctl.run.lazy_commands import Outline

DOCS = Path(__file__).parents[2] / "docs"
REJECTIONS, RUNBOOK = (DOCS / name for name in ("rejections.md", "runbook.md"))
QUOTED = re.compile(r"`(jitrctl [^`]+)`")
SAID = re.compile(r"^\$ (jitrctl .+)$", re.MULTILINE)
# Prose that names a command, or several, without all of its arguments.
FILLED = "\ufffc"
_PACKAGE = Path(jitrctl.__file__).parent
# What `prove` finds out speaks of orders that there may be one day.
SOURCES = [one for one in sorted(_PACKAGE.rglob("*.py")) if one.relative_to(_PACKAGE).parts[0] != "prove"]
ELLIPSIS = re.compile(r"…|\|")


def named(path: Path) -> list[str]:
    """The commands of a page, as they are to be said."""
    text = path.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    quoted = [" ".join(one.split()) for one in QUOTED.findall(prose)]
    return sorted({*(one for one in quoted if not ELLIPSIS.search(one)), *SAID.findall(text)})


def named_in(path: Path) -> list[str]:
    """The commands in the texts of a module, with X for what it fills in."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    joined = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in joined for part in node.values}
    texts = [
        "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
        for node in joined
    ]
    texts += [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
    ]
    found = [
        " ".join(command.split())
        for text in texts
        for command in (QUOTED.findall(text) or re.findall(r"^jitrctl .+$", text))
        if not ELLIPSIS.search(command)
    ]
    return [without_filled(one) for one in found]


def without_filled(command: str) -> str:
    """A command whose filled-in words are options' values alone: the others may be options themselves, or nothing."""
    words = command.split()
    return " ".join(
        word for before, word in pairwise(["", *words]) if FILLED not in word or before.startswith("--")
    ).replace(FILLED, "1")


def parse(words: list[str]) -> None:
    """Have Typer read a command, down to its last option; nothing is run. Raises UsageError."""
    command: Any = every_group()
    context: Any = command.make_context("jitrctl", [], resilient_parsing=True)
    while words and not words[0].startswith("-") and isinstance(command, TyperGroup):
        name, words = words[0], words[1:]
        found: Any = command.get_command(context, name)
        assert found, f"there is no command {name}"
        command = found.loaded if isinstance(found, Outline) else found
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    context.resilient_parsing = False  # from here on an unknown option is an error
    parser = command.make_parser(context)
    _, left, _ = parser.parse_args(list(words))
    assert not left or any(one.param_type_name == "argument" for one in command.params), left


@pytest.mark.parametrize("line", sorted({one for path in SOURCES for one in named_in(path)}))
def test_a_command_that_jitrctl_itself_names_exists_with_its_options(line: str) -> None:
    parse(shlex.split(line)[1:])


@pytest.mark.parametrize("line", [*named(REJECTIONS), *named(RUNBOOK)])
def test_a_documented_command_exists_with_its_options(line: str) -> None:
    parse(shlex.split(line)[1:])


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command cure"):
        parse(["device", "cure"])
    with pytest.raises(Exception, match="--pretty-please"):
        parse(["device", "release", "ID", "--pretty-please"])


@pytest.mark.parametrize("reason", sorted(cures._WRITERS, key=str))
def test_a_reason_for_which_doctor_prints_an_order_has_one_in_its_row(reason: Reason) -> None:
    (row,) = re.findall(rf"^\| `{reason.name}` \|.*$", REJECTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert "`jitrctl " in row.rpartition(" | ")[2] or reason is Reason.TARGET_MISSING  # which a deployment cures


def test_the_cure_of_an_early_rotation_is_named() -> None:
    assert "`jitrctl enrollment allow ID --may-follow`" in REJECTIONS.read_text(encoding="utf-8")
