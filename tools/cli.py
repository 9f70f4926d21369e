"""Writes every command's help into docs/cli.md, between its markers."""

import inspect
import re
from pathlib import Path
from textwrap import fill
from typing import Any

from jitrctl.commands.tree import every_group
from jitrctl.run.lazy_commands import every_command

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BETWEEN = re.compile(r"(?<=<!-- commands: make docs -->\n).*(?=<!-- end of commands -->)", re.DOTALL)

WIDTH = 120

# Options of every command about the fleet; the page describes them once.
COMMON = {"--account", "--region", "--fleet", "--json"}


def commands() -> dict[str, Any]:
    """Every command that does something, under its full name, in the order of --help."""
    return dict(every_command(every_group()))


def describe(name: str, command: Any) -> str:
    """A command's --help, as Markdown."""
    text, _, example = inspect.cleandoc(command.help).partition("Example: ")
    examples = [f"$ {one}" for one in example.splitlines() if one]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([name, *(_usage(one) for one in arguments), "[OPTIONS]" if options else ""]).strip()
    lines = [f"### `{name}`", "", _wrapped(text), "", "```", usage, "", *examples, "```", ""]
    about_the_fleet = {opt for one in options for opt in one.opts} >= COMMON
    common = [one for one in options if about_the_fleet and set(one.opts) & COMMON]
    rows = [f"| `{_cell(_usage(one))}` | {one.help} |" for one in arguments] + [
        f"| {', '.join(f'`{opt}`' for opt in one.opts)}{_value(one)} | {one.help}{_default(one)} |"
        for one in options
        if one not in common
    ]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    if common:
        lines += ["And `--account`, `--region`, `--fleet`, `--json`.", ""]
    return "\n".join(lines)


def render_commands() -> str:
    """All commands, as the text between the page's markers."""
    return "\n" + "\n".join(describe(name, one) for name, one in commands().items())


def _wrapped(text: str) -> str:
    return "\n\n".join(fill(paragraph, width=WIDTH, break_on_hyphens=False) for paragraph in text.strip().split("\n\n"))


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return f"{name}…" if argument.nargs == -1 else str(name)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _value(option: Any) -> str:
    if option.is_flag:
        return ""
    return f" `{option.metavar or 'VALUE'}`"


def _default(option: Any) -> str:
    shown = option.default not in (None, "", (), [], False) and not callable(option.default)
    return f" Default: `{option.default}`." if shown else ""


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BETWEEN.sub(lambda _: render_commands(), page), encoding="utf-8")
