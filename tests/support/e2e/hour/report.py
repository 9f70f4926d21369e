"""Shows the hour: two lines as each step goes on, on standard error; at the end the table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.terminal import err, out, short, table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from tests.support.e2e.hour.outcome import Outcome


def show_begin(number: int, count: int, name: str) -> None:
    err.print(f"{number:>2}/{count}  {name} …", markup=False, soft_wrap=True)


def show_step(outcome: Outcome) -> None:
    """Say on standard error what came of a step, and why it failed."""
    err.print(f"       {outcome.seconds:4.0f} s  {outcome.row['then']}", markup=False, soft_wrap=True)
    if outcome.error:
        err.print(outcome.error, markup=False, soft_wrap=True)


def show_table(outcomes: Sequence[Outcome], seconds: float) -> None:
    """Print the table, and how many steps came out well.

    In a pipe each step is one line. On a terminal it is a few, since a cure and what was said are a line each: no
    columns beside each other would leave them room.
    """
    rows = [{name: _shorten(cell) for name, cell in one.row.items()} for one in outcomes]
    out.print(table(rows) if out.is_piped else _blocks(rows))
    failed = [one.name for one in outcomes if one.error]
    done = f"{len(outcomes) - len(failed)} of {len(outcomes)} steps came out well, in {seconds:.0f} s"
    out.print(f"\n{done}{'; failed: ' + ', '.join(failed) if failed else ''}.", markup=False, soft_wrap=True)


def _blocks(rows: Sequence[dict[str, str]]) -> Table:
    """Of each row its step and its seconds in one line, and below them the other cells, each with its heading."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for number, row in enumerate(rows, 1):
        cells = dict(row)
        name, took = cells.pop("step"), cells.pop("s")
        shown.add_row(f"{number}", Text(f"{name}, {took} s", style="bold"))
        for heading, cell in cells.items():
            if cell != "-":
                shown.add_row(f"  {heading}", Text(cell))
    return shown


def show_unknown(names: Sequence[str], known: Collection[str]) -> None:
    err.print(f"no steps: {', '.join(names)}; the steps are {', '.join(sorted(known))}", markup=False, soft_wrap=True)


def show_none_kept(path: Path) -> None:
    err.print(f"no run is kept in {path}; `make hour` makes one", markup=False, soft_wrap=True)


def show_interrupted() -> None:
    err.print("Interrupted; what was started is stopped.", markup=False, soft_wrap=True)


def _shorten(cell: str) -> str:
    """A cell with certificate ids as tables have them."""
    return " ".join(short(word) if certificate_id_in(word) else word for word in cell.split(" "))
