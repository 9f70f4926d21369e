"""Renders Markdown tables, for the terminal and for docs/performance.md."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

Row = Sequence[str | float | None]


def markdown(header: Sequence[str], rows: Sequence[Row]) -> str:
    """A table; numbers are right-aligned, None is a dash."""
    cells = [[_text(cell) for cell in row] for row in rows]
    numeric = [all(isinstance(row[index], (int, float, type(None))) for row in rows) for index in range(len(header))]
    lines = [list(header), ["---:" if right else "---" for right in numeric], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> str:
    """The machine on which figures were measured, in words."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith(("model name", "Model"))
        ),
        platform.processor() or platform.machine(),
    )
    return f"{os.cpu_count()} processors, {model}, {platform.system()}, CPython {platform.python_version()}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _text(cell: str | float | None) -> str:
    match cell:
        case None:
            return "-"
        case str():
            return cell
        case int():
            return f"{cell:,}"
        case _:
            return f"{cell:,.2f}" if abs(cell) < 1000 else f"{cell:,.0f}"  # noqa: PLR2004 -- enough digits to compare
