"""Prints a command's output: tables and errors for people, JSON for programs, exit codes.

Results go to standard output; progress and errors to standard error, so that a pipe gets only results.

On a terminal, text and tables wrap at its width, and certificate ids in tables are shortened. Where standard output is
no terminal (a pipe, a file, a CI job), nothing is wrapped, cut or shortened: a table has one line for each row.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from jitr_fleet.problems import escape_controls

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

# Words up to the length of the longest reason are not broken; without room, words up to the second length.
_LONGEST_WORD, _SHORTEST = 27, 8
_GAP = 2  # between columns
_STAGES = {"stage", "lives in"}  # the headings of columns whose cells are stages

_UNLIMITED = 1_000_000  # columns
# Whoever pastes a command or an id must get it in one piece.
_IN_ONE_PIECE = re.compile(r"`(?:jitrctl|aws|cdk|make|node_modules\S*|\.venv\S*) |[0-9a-f]{64}")


class Output(Console):
    """A stream that wraps at the terminal's width, and does not wrap at all where it is none."""

    @property
    def is_piped(self) -> bool:
        """Whether nobody's terminal limits the width; TTY_COMPATIBLE=1 says that what reads the pipe is like one.

        FORCE_COLOR, which many CI systems set, does not say that.
        """
        return not self.file.isatty() and self._environ.get("TTY_COMPATIBLE") != "1"

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """The terminal's columns and lines; without one, as many columns as any line needs."""
        known = super().size
        columns = self._environ.get("COLUMNS", "")  # which Rich does not look at on a dumb terminal
        width = _UNLIMITED if self.is_piped else int(columns) if columns.isdigit() else known.width
        return ConsoleDimensions(width, known.height)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        """Print as Console does; text with a command or a certificate's id has no line breaks added."""
        if soft_wrap is None:
            soft_wrap = any(isinstance(one, (str, Text)) and _IN_ONE_PIECE.search(str(one)) for one in objects)
        super().print(*map(_escape, objects), soft_wrap=soft_wrap, **how)


def _escape(printed: Any) -> Any:
    """Text from AWS or a file may hold what a terminal obeys; it is shown instead."""
    if isinstance(printed, str):
        return escape_controls(printed)
    if isinstance(printed, Text) and (text := escape_controls(printed.plain)) != printed.plain:
        return Text(text, style=printed.style)
    return printed


out = Output(highlight=False)
err = Output(stderr=True, highlight=False)


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1  # tried, and failed, at least in one stage
    UNUSABLE = 2  # unusable input, fleet file or credentials, or not confirmed; nothing was done
    INTERRUPTED = 130  # Ctrl-C


def table(rows: Sequence[Mapping[str, str]], *, whole: Collection[str] = ()) -> Table | Text:
    """A table of rows with the same keys, the headings.

    On a terminal, cells wrap between words when the table is too wide; words in the columns of `whole` are broken last.
    When it is too narrow for the columns beside each other, each row is a block of lines, one for each column. In a
    pipe each row is one line, its columns aligned by at least two spaces.
    """
    if out.is_piped:
        return _aligned(rows)
    breakable = _break_stages(rows)
    widths = _column_widths(breakable, whole)
    if sum(widths.values()) > _room(widths):
        return _blocks(rows)
    if any(len(row[heading]) > widths[heading] for row in rows for heading in _STAGES & widths.keys()):
        rows = breakable
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for heading, width in widths.items():
        # Fixed: where least widths leave no column to spare, Rich makes the table too wide, and cuts the last column.
        shown.add_column(heading, overflow="fold", width=width)
    for row in rows:
        shown.add_row(*(Text(escape_controls(value)) for value in row.values()))
    return shown


def _aligned(rows: Sequence[Mapping[str, str]]) -> Text:
    """The table with one line for each row, however long."""
    lines = [[*rows[0]], *([" ".join(value.splitlines()) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) + _GAP for column in zip(*lines, strict=True)]
    return Text("\n".join("".join(map(str.ljust, line, widths)).rstrip() for line in lines))


def _blocks(rows: Sequence[Mapping[str, str]]) -> Table:
    """The table with a line for each cell, its heading before it, and an empty line after each row."""
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for number, row in enumerate(rows):
        if number:
            shown.add_row("", "")
        for heading, value in row.items():
            shown.add_row(heading, Text(escape_controls(value)))
    return shown


def _room(columns: Collection[str]) -> int:
    """The columns of the terminal that are left for these columns' cells; Rich adds the gap to the last one, too."""
    return out.width - _GAP * len(columns)


def _needed(rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """The width of each column's longest cell."""
    return {heading: max(map(len, (heading, *(row[heading] for row in rows)))) for heading in rows[0]}


def _break_stages(rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """The rows, whose stages may break between account and Region when the table is too wide."""
    headings = _STAGES & rows[0].keys()
    if not headings or sum(_needed(rows).values()) <= _room(rows[0]):
        return rows
    return [
        {**row, **{heading: row[heading].replace("/", "/ ").replace("/  ", "/ ") for heading in headings}}
        for row in rows
    ]


def _column_widths(rows: Sequence[Mapping[str, str]], whole: Collection[str]) -> dict[str, int]:
    """The width of each column: what it needs, or its least width and a share of the room."""
    widths = _least_widths(rows, whole)
    needed = _needed(rows)
    for _ in range(_room(widths) - sum(widths.values())):
        # The column whose longest cell takes the most lines.
        tallest = max(widths, key=lambda heading: needed[heading] / widths[heading])
        if needed[tallest] <= widths[tallest]:
            break
        widths[tallest] += 1
    return widths


def _least_widths(rows: Sequence[Mapping[str, str]], whole: Collection[str]) -> dict[str, int]:
    """The width that each column needs to keep words whole; less for the widest ones on a narrow terminal."""
    least = {
        heading: min(max(len(word) for row in rows for word in (heading, *row[heading].split())), _LONGEST_WORD)
        for heading in rows[0]
    }
    room = _room(least)
    for columns in ([heading for heading in least if heading not in whole], [*least]):
        while columns and sum(least.values()) > room and max(least[heading] for heading in columns) > _SHORTEST:
            widest = max(
                reversed(columns), key=lambda heading: least[heading]
            )  # of equal ones the last, which holds prose
            least[widest] -= 1
    return least


def grouped(texts: Sequence[tuple[str, str]]) -> list[str]:
    """Lines for (place, text): an equal text for several places is one line, with all their names."""
    places: dict[str, list[str]] = {}
    for place, text in texts:
        places.setdefault(text, []).append(place)
    return [
        f"{named[0]}: {text}" if len(named) == 1 else f"{text}\n  in {', '.join(named)}"
        for text, named in places.items()
    ]


def short(certificate_id: str) -> str:
    """The first digits of a certificate's id, enough to recognize it on a terminal; in a pipe all of it."""
    return certificate_id if out.is_piped else f"{certificate_id[:16]}…"


def rough(length: timedelta) -> str:
    """A length of time in words, for an estimate: 12 min, 2.8 h."""
    minutes = max(1, round(length.total_seconds() / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 -- two hours


def at(moment: datetime) -> str:
    """A time for people, to the minute, in UTC."""
    return f"{moment.astimezone(UTC):%F %R}Z"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits: 8m ago."""
    seconds = max((now - moment).total_seconds(), 0)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"


def can_ask() -> bool:
    """Whether there is a terminal for the question and for the answer."""
    return err.is_terminal and sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask a yes-or-no question on the terminal; anything but y or yes is no."""
    err.print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@dataclass
class _Answer:
    """What the command that runs has told so far, for its JSON document."""

    warnings: list[str] = field(default_factory=list)
    is_printed: bool = False  # a command has one document


_answer = _Answer()


def begin_answer() -> None:
    """Forget what an earlier command of this process has told."""
    _answer.warnings = []
    _answer.is_printed = False


def print_json(document: Mapping[str, Any]) -> None:
    """Print a command's own keys in the envelope that every JSON document has: docs/json/envelope.schema.json.

        {"ok": true, …the command's keys…, "stages": [], "warnings": []}

    `ok` is true unless the document says otherwise; its `stages` and `warnings` are taken over, and all warnings that
    `warn` has printed meanwhile are added.
    """
    own = {name: value for name, value in document.items() if name not in ("ok", "stages", "warnings")}
    _answer.is_printed = True
    write_document(
        {
            "ok": document.get("ok", True),
            **own,
            "stages": document.get("stages", []),
            "warnings": [*_answer.warnings, *document.get("warnings", [])],
        }
    )


def print_failure(error: str) -> None:
    """Print the JSON document of a command that failed with this sentence, unless it has printed its document."""
    if not _answer.is_printed:
        print_json({"ok": False, "error": error})


def write_document(document: Mapping[str, Any]) -> None:
    """Write a whole document to standard output; the tests hold each to its schema here."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def warn(text: str) -> None:
    """Print a warning on standard error, and keep it for the JSON document."""
    print_error(text)
    keep_warning(text)


def keep_warning(text: str) -> None:
    """Keep a warning for the JSON document, without printing it."""
    _answer.warnings.append(text)


def print_error(text: str) -> None:
    err.print(Text(text, style="red" if err.is_terminal else ""), soft_wrap=True)
