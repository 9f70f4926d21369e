"""Commands whose modules are imported when they are run: no help does, nor the completion of their names.

A command stands in its group as an `Outline`: its name, and where its function is. Its text in the group's help is the
function's docstring, read from the source file without running it, so that each text is written once; its own help
needs the function's signature, which `lazy_modules` evaluates alone.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from jitrctl.run.lazy_modules import find_name, read_source

if TYPE_CHECKING:
    from collections.abc import Callable


class _PlainParameters:
    """Shows no type beside flags and arguments in the help (`<bool>`); a flag that is not given is False."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in parameters:
            if one.param_type_name == "argument":
                one.display_type_rich = _no_type
            elif one.is_flag:
                one.metavar = ""
                # Typer's own have None, and importing what converts that to a bool (pydantic) takes 0.2 s.
                one.default = False if one.default is None else one.default
        return parameters


class Command(_PlainParameters, TyperCommand):
    """A command, as its help shows it."""


class Outline(Command):
    """A command that is not imported yet."""

    def __init__(self, name: str, source: str) -> None:
        """`source` names the function: `jitrctl.commands.sweep:sweep`."""
        self._module, _, self._function = source.partition(":")
        super().__init__(name=name)

    @property
    def help(self) -> str | None:
        """The function's docstring."""
        return _join_lines(_docstrings(self._module)[self._function])

    @help.setter  # noqa: A003
    def help(self, _: str | None) -> None:
        """Typer's constructor sets one; the docstring counts."""

    @cached_property
    def loaded(self) -> typer.core.TyperCommand:
        """The command itself; imports its module."""
        return self._of_function(getattr(import_module(self._module), self._function))

    @cached_property
    def for_help(self) -> typer.core.TyperCommand:
        """The command with its options, which cannot be run; imports nothing that it calls."""
        return self._of_function(find_name(self._module, self._function))

    def _of_function(self, run: Callable[..., None]) -> typer.core.TyperCommand:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(self.name, cls=Command, help=self.help)(run)
        command = get_command(alone)
        assert isinstance(command, TyperCommand)  # noqa: S101 -- there is one
        return command


class Group(_PlainParameters, TyperGroup):
    """A group of groups and outlines."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the line names, ready to be run, or to show its help where the line has nothing else."""
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, Outline):
            only_help = len(rest) == 1 and rest[0] in ctx.help_option_names
            command = command.for_help if only_help else command.loaded
        return name, command, rest


def _no_type(ctx: Any) -> None:
    """What is shown as the type of an argument, whose name says what it is."""


def every_command(group: TyperGroup, name: str = "jitrctl") -> dict[str, TyperCommand]:
    """All commands below a group, by their full names, in the order of the help; imports all their modules."""
    found: dict[str, TyperCommand] = {}
    for below, one in group.commands.items():
        full = f"{name} {below}".strip()
        if isinstance(one, TyperGroup):
            found |= every_command(one, full)
        elif isinstance(one, Outline):
            found[full] = one.loaded
    return found


@cache
def _docstrings(module: str) -> dict[str, str]:
    """The docstrings of a module's functions; its source is read, and not run."""
    functions = [one for one in read_source(module).body if isinstance(one, ast.FunctionDef)]
    return {one.name: ast.get_docstring(one) or "" for one in functions}


def _join_lines(docstring: str) -> str:
    """A help text without the source's line breaks, so that it wraps at the terminal's width."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
