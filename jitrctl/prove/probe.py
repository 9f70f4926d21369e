"""What a probe is: a question to AWS, what jitr assumes the answer to be, and what another answer would mean.

A probe looks at one or several things; for each there is an Expectation. `run` returns what it found by the names of
those: what it leaves out stays unanswered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.errors import JitrctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jitrctl.prove.run import Run

Json = Any


class Unanswered(JitrctlError):
    """A probe could not be carried out; the text says why, and nothing about jitr follows from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Any number from `least` to `most`."""

    least: float = 0.0
    most: float
    unit: str = "s"

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g} {self.unit}" if self.least else f"at most {self.most:g} {self.unit}"


class Recorded:
    """Nothing is assumed; what is found is kept for people to read."""

    def __str__(self) -> str:
        return "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One thing that a probe looks at."""

    what: str
    assumed: Json | Within | Recorded
    otherwise: str  # what another answer means for jitr
    # The simulation's switch that the answer sets (simulation.Undocumented), and how.
    switch: str = ""
    to_switch: Callable[[Json], bool | float] = float

    def holds(self, found: Json) -> bool:
        """Whether the answer is the one that jitr assumes."""
        match self.assumed:
            case Within(least=least, most=most):
                return isinstance(found, int | float) and least <= found <= most
            case Recorded():
                return True
            case assumed:
                return bool(found == assumed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe."""

    name: str  # on the command line
    question: str
    method: str
    expects: tuple[Expectation, ...]
    run: Callable[[Run], Mapping[str, Json]]
    makes: str  # beside what all probes share
    calls: int  # at most, of AWS APIs, without those that clean
    seconds: float  # about
    dollars: float = 0.001  # at most; AWS IoT's registry, messages and connections
    accounts: int = 1  # that it needs
    bursts: bool = False  # only with --bursts
    not_local: str = ""  # why the local AWS cannot answer it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What was found of one thing."""

    probe: Probe
    expectation: Expectation
    found: Json

    @property
    def as_assumed(self) -> bool:
        return self.expectation.holds(self.found)

    @property
    def is_recorded(self) -> bool:
        """Whether nothing was assumed."""
        return isinstance(self.expectation.assumed, Recorded)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnswered:
    """A probe, or a part of one, that has no answer, and why."""

    probe: Probe
    why: str
    failed: bool  # it was tried; else it was left out
    what: str = ""  # all of it, if empty
