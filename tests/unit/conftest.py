"""Fixtures: certificates whose registration is decided on."""

import pytest

from tests.support.cases.issuing import applying, factory, named
from tests.support.unit.registration_world import World


@pytest.fixture
def world() -> World:
    return World(applying())


@pytest.fixture
def refused() -> World:
    """A certificate that is refused for a final reason."""
    return World(applying(factory().leaf(named("gateway-0001"))))


@pytest.fixture
def held() -> World:
    """A certificate that is refused for a curable reason."""
    return World(applying().with_ca(active=False))
