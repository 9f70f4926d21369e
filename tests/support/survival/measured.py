"""The failure matrix under what was measured on AWS: each file of docs/measured sets the simulation's switches."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import simulation.aws
from simulation import Undocumented
from simulation.measured import read
from tests.support.survival.matrix import Company, Strike
from tests.support.survival.scenarios import Scenario
from tests.support.survival.striking import strike_everywhere

FOLDER = Path(__file__).parents[3] / "docs" / "measured"


def files(folder: Path = FOLDER) -> list[Path]:
    """What was measured, oldest first."""
    return sorted(folder.glob("*.json"))


@contextmanager
def switched(measured: Undocumented) -> Iterator[None]:
    """Have every world that is made meanwhile behave as it was measured."""
    with pytest.MonkeyPatch.context() as patch:
        values = {name: getattr(measured, name) for name in Undocumented.__slots__}
        patch.setattr(simulation.aws, "Undocumented", lambda: Undocumented(**values))
        yield


def play(path: Path, combinations: list[tuple[Scenario, Strike, Company]]) -> int:
    """Play these of the failure matrix under a file's switches; how many cases that were.

    Raises NotMeasured; AssertionError when something does not hold, with the file's name.
    """
    played = 0
    with switched(read(path)):
        for scenario, strike, company in combinations:
            try:
                played += strike_everywhere(scenario, strike, company)
            except AssertionError as error:
                raise AssertionError(f"under {path.name}: {error}") from error
    return played
