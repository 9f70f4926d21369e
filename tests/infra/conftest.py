"""Templates of the example fleet, synthesized once for all tests here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitr_cdk.asset import ROOT
from jitr_cdk.target import AWS, local
from jitr_fleet.model import Fleet
from jitr_fleet.parse import load
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.fleet_options import EVERYTHING
from tests.support.infra.synthesis import Stacks, Synthesized, keep_outputs, synthesize


@pytest.fixture(scope="session", autouse=True)
def _outputs() -> Iterator[None]:
    with keep_outputs():
        yield


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return load(ROOT / "fleet.toml")


@pytest.fixture(scope="session")
def stacks(fleet: Fleet) -> dict[str, Synthesized]:
    return synthesize(fleet, AWS)


@pytest.fixture(scope="session")
def production(stacks: dict[str, Synthesized]) -> Synthesized:
    return stacks["prod/eu-central-1"]


@pytest.fixture(scope="session")
def on_local_aws(fleet: Fleet) -> Synthesized:
    return Stacks(fleet, local())["prod/eu-central-1"]


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """A fleet file of its own, to change one thing in: accounts dev and prod, one CA."""
    return Draft(tmp_path, Issuer())


@pytest.fixture
def changed(draft: Draft) -> Callable[[str], Stacks]:
    """The stacks of a fleet file with more in it."""

    def synthesize(more: str) -> Stacks:
        draft.text += f"\n{more}"
        return Stacks(draft.load(), AWS)

    return synthesize


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """The stacks where everything is chosen, for tests that only read them."""
    draft = Draft(tmp_path_factory.mktemp("everything"), Issuer())
    draft.text += f"\n{EVERYTHING}"
    return Stacks(draft.load(), AWS)
