"""Prints a command's output: tables and errors for people, JSON for programs, exit codes.

Results go to standard output; progress and errors to standard error, so that a pipe gets only results.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from datetime import UTC
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

# Words up to the length of the longest reason are not broken; without room, words up to the second length.
_LONGEST_WORD, _SHORTEST = 27, 8
_GAP = 2  # between columns

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1  # tried, and failed, at least in one stage
    UNUSABLE = 2  # unusable input, fleet file or credentials, or not confirmed; nothing was done
    INTERRUPTED = 130  # Ctrl-C


def table(rows: Sequence[Mapping[str, str]], *, whole: Collection[str] = ()) -> Table:
    """A table of rows with the same keys, the headings; if it is too wide, cells wrap between words.

    Words in the columns of `whole` are broken last.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for heading, width in _least_widths(rows, whole).items():
        shown.add_column(heading, overflow="fold", min_width=width)
    for row in rows:
        shown.add_row(*(Text(value) for value in row.values()))
    return shown


def _least_widths(rows: Sequence[Mapping[str, str]], whole: Collection[str]) -> dict[str, int]:
    """The width that each column needs to keep words whole; less for the widest ones on a narrow terminal."""
    least = {
        heading: min(max(len(word) for row in rows for word in (heading, *row[heading].split())), _LONGEST_WORD)
        for heading in rows[0]
    }
    room = out.width - _GAP * len(least)
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
    """The first digits of a certificate's id."""
    return f"{certificate_id[:16]}…"


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
