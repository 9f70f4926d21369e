"""The failure matrix's scenario with two messages in a batch, each in a thread of the same environment (matrix.py)."""

from datetime import timedelta

from simulation import Leaf
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import Scenario, _activated, _deliver, _first_connect

_LATENCY = 0.05  # seconds; without it a thread would make all of its calls before the other goes on


def _two_connect(world: World) -> None:
    world.neighbour = world.issue("sensor-0002")  # type: ignore[attr-defined]  # this scenario's own
    assert world.connect(_neighbour(world)) == "refused"
    _first_connect(world)
    world.aws.clock.advance(20)  # so that no event is right behind another one
    world.aws.latency = lambda _call: _LATENCY


def _both_activated(world: World) -> None:
    """The neighbour connects again where it was not in yet, as the device itself has."""
    neighbour = _neighbour(world)
    if world.connect(neighbour) != "accepted":
        world.mapping.drain(within=timedelta(days=1).total_seconds())
    _activated(world)
    assert world.status(neighbour) == "ACTIVE"
    assert world.is_provisioned(neighbour)
    assert world.decision(neighbour)


def _neighbour(world: World) -> Leaf:
    neighbour: Leaf = world.neighbour  # type: ignore[attr-defined]
    return neighbour


BATCH_SCENARIOS = (
    Scenario(
        name="activate two at once",
        prepare=_two_connect,
        act=_deliver,
        ends=_both_activated,
        ends_as="both ACTIVE, each with thing, group, principal and policy",
    ),
)
