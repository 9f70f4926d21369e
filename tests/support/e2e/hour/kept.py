"""Keeps what came of the last run in a file: its table can be printed again, at another width or in a pipe, and it says
which commands took how long.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jitrctl.localaws.workspace import CHECKOUT
from tests.support.e2e.hour.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FILE = CHECKOUT / "build" / "hour.json"  # which git ignores


def write(outcomes: Sequence[Outcome], seconds: float, path: Path | None = None) -> None:
    """Replace what is kept by these outcomes of a run that took so long."""
    path = path or FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"seconds": seconds, "steps": [asdict(one) for one in outcomes]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read(path: Path | None = None) -> tuple[list[Outcome], float]:
    """Give the outcomes of the last run, and its seconds.

    Raises FileNotFoundError when none is kept.
    """
    document = json.loads((path or FILE).read_text(encoding="utf-8"))
    return [_outcome(one) for one in document["steps"]], document["seconds"]


def _outcome(step: Mapping[str, Any]) -> Outcome:
    commands = tuple((command, seconds) for command, seconds in step["commands"])
    return Outcome(**{**step, "cures": tuple(step["cures"]), "commands": commands})
