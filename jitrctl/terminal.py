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
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_LONGEST_WORD = 24  # characters of a word that are kept together

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1  # it was tried, and did not succeed, or not in every stage
    UNUSABLE = 2  # the input, the fleet file or the credentials cannot be used, or the answer was no; nothing was done
    INTERRUPTED = 130  # Ctrl-C


def table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with the same keys, as a table with those as headings; where it is too wide, cells wrap between words."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in rows[0]:
        words = [word for row in rows for word in (heading, *row[heading].split())]
        longest = max(len(word) for word in words)
        shown.add_column(heading, overflow="fold", min_width=min(longest, _LONGEST_WORD))
    for row in rows:
        shown.add_row(*(Text(value) for value in row.values()))
    return shown


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
