"""Fixtures: a fresh, valid draft of a fleet."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fleet.drafts import Draft, Issuer


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def draft(tmp_path: Path, issuer: Issuer) -> Draft:
    return Draft(tmp_path, issuer)


@pytest.fixture(scope="session")
def new_draft(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Callable[[], Draft]:
    """For properties, which break a fresh draft for every example, all in one folder."""
    folder = tmp_path_factory.mktemp("drafts")
    return lambda: Draft(folder, issuer)
