"""What a person, or a program, sees of a command: one place for the console, exit codes and JSON.

Results go to standard output; progress and errors to standard error, so that a pipe gets results alone.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

# Characters of a word that are kept together: as many as a reason has; and where there is no room.
_LONGEST_WORD, _SHORTEST = 27, 8
_GAP = 2  # between columns

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1  # it was tried, and did not succeed, or not in every stage
    UNUSABLE = 2  # the input, the fleet file or the credentials cannot be used, or the answer was no; nothing was done
    INTERRUPTED = 130  # Ctrl-C


def table(rows: Sequence[Mapping[str, str]], *, whole: Collection[str] = ()) -> Table:
    """Rows with the same keys, as a table with those as headings; where it is too wide, cells wrap between words.

    The columns in `whole` break no word while others can.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for heading, width in _least_widths(rows, whole).items():
        shown.add_column(heading, overflow="fold", min_width=width)
    for row in rows:
        shown.add_row(*(Text(value) for value in row.values()))
    return shown


def _least_widths(rows: Sequence[Mapping[str, str]], whole: Collection[str]) -> dict[str, int]:
    """What each column needs so that words stay whole; less for the widest ones, where the terminal is too narrow."""
    least = {
        heading: min(max(len(word) for row in rows for word in (heading, *row[heading].split())), _LONGEST_WORD)
        for heading in rows[0]
    }
    room = out.width - _GAP * len(least)
    for columns in ([heading for heading in least if heading not in whole], [*least]):
        while columns and sum(least.values()) > room and max(least[heading] for heading in columns) > _SHORTEST:
            widest = max(reversed(columns), key=lambda heading: least[heading])  # of equals the last, said in prose
            least[widest] -= 1
    return least


def grouped(told: Sequence[tuple[str, str]]) -> list[str]:
    """Lines for (place, text): what is said of several places is said once, with their names."""
    places: dict[str, list[str]] = {}
    for place, text in told:
        places.setdefault(text, []).append(place)
    return [
        f"{named[0]}: {text}" if len(named) == 1 else f"{text}\n  in {', '.join(named)}"
        for text, named in places.items()
    ]


def short(certificate_id: str) -> str:
    """Enough of a certificate's id to recognize it by."""
    return f"{certificate_id[:16]}…"


def at(moment: datetime) -> str:
    """A time for people, to the minute, in UTC as in AWS's own logs."""
    return f"{moment.astimezone(UTC):%F %R}Z"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in the greatest unit that fits: 8m ago."""
    seconds = max((now - moment).total_seconds(), 0)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"


def can_ask() -> bool:
    """Whether there is somebody to ask: a terminal to show the question on, and one to answer from."""
    return err.is_terminal and sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask a yes-or-no question on the terminal; anything but y or yes is no."""
    err.print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_json(document: Any) -> None:
    """One JSON document on standard output, for programs."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_error(text: str) -> None:
    err.print(Text(text, style="red" if err.is_terminal else ""), soft_wrap=True)
