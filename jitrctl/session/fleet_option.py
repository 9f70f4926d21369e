"""Completes commands in a text, so that they can be pasted as they are: with the fleet file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitr_fleet.model import Fleet

_COMMAND = re.compile(r"`(jitrctl [^`]+)`")
_DEFAULT = Path("fleet.toml")  # what jitrctl takes by itself


def with_fleet_option(text: str, fleet: Fleet) -> str:
    """The text with --fleet in each `jitrctl …` in backticks that lacks it; unchanged for ./fleet.toml."""
    if fleet.path == _DEFAULT:
        return text
    option = f" --fleet {shlex.quote(str(fleet.path))}"
    return _COMMAND.sub(lambda found: f"`{found[1]}{'' if ' --fleet ' in found[1] else option}`", text)
