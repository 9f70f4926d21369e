"""What a person, or a program, sees of a command: one place for the console, exit codes and JSON.

Results go to standard output; progress and errors to standard error, so that a pipe gets results alone.
"""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1  # it was tried, and did not succeed
    UNUSABLE = 2  # the input or the fleet file cannot be used; nothing was tried
    INTERRUPTED = 130


def table(rows: list[dict[str, str]]) -> Table:
    """Rows with the same keys, as a table with those as headings."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in rows[0]:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(value) for value in row.values()))
    return shown


def print_json(document: Any) -> None:
    """One JSON document on standard output, for programs."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_error(text: str) -> None:
    err.print(Text(text, style="red" if err.is_terminal else ""), soft_wrap=True)
