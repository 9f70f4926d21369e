"""Defines a probe: a question about AWS, the answer that jitr assumes, and what another answer would mean.

A probe observes one or more things, each with an Expectation. `run` returns what it found by the names of the
expectations; what it leaves out stays unanswered.
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
    """A probe could not be carried out; the text says why. It says nothing about jitr's assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Any number from `least` to `most`."""

    least: float = 0.0
    most: float
    unit: str = "s"

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g} {self.unit}" if self.least else f"at most {self.most:g} {self.unit}"


class Recorded:
    """Nothing is assumed; what is found is recorded."""

    def __str__(self) -> str:
        return "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One thing that a probe observes."""

    what: str
    assumed: Json | Within | Recorded
    otherwise: str  # what another answer means for jitr
    # The switch of the simulation (Undocumented) that the answer sets, and the value for an answer.
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
    makes: str  # besides what all probes share
    calls: int  # of AWS APIs, at most, without cleaning
    seconds: float  # approximately
    dollars: float = 0.001  # at most; AWS IoT's registry, messages and connections
    accounts: int = 1  # how many it needs
    bursts: bool = False  # sends bursts of calls: carried out only with --bursts
    not_local: str = ""  # why the local AWS cannot answer it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What was found for one expectation."""

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
    """A probe, or a part of one, without an answer, and why."""

    probe: Probe
    why: str
    failed: bool  # it was tried; False if it was left out
    what: str = ""  # the expectation; the whole probe if empty
