"""Defines a step of the hour, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.e2e.hour.operator import Operator


class HourError(Exception):
    """A command did not say or do what it should; the text has the command and what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is broken or wanted, and how the operator comes to terms with it."""

    name: str
    broken: str  # what is broken, or wanted
    play: Callable[[Operator], str]  # gives what came of it; raises HourError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step."""

    name: str  # the step's
    broken: str  # the step's
    said: str  # what a command said of it
    cures: tuple[str, ...]  # as they were printed, in the order in which they were run
    result: str
    seconds: float
    commands: tuple[tuple[str, float], ...] = ()  # all of them, each with its seconds
    error: str = ""  # why it failed; empty when it did not

    @property
    def row(self) -> dict[str, str]:
        """The step's row in the table; the cures are as they were printed."""
        return {
            "step": self.name,
            "broken": self.broken,
            "said": self.said or "-",
            "cure": "\n".join(self.cures) or "-",
            "then": f"FAILED: {self.result}" if self.error else self.result,
            "s": f"{self.seconds:.0f}",
        }
