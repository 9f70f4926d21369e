"""An attempt that dies between two refusals for the same reason leaves nothing attached to a certificate for good."""

import pytest

from jitr.errors import Reason
from simulation import Authority, Leaf
from tests.support.survival.promises import DAY, NAME, Promises
from tests.support.survival.withdrawal_marks import is_bare, standing_marks, sweep_calls

A = Authority.new("Factory A")
NARROW, WIDE = {"rotation_window": 10 * DAY}, {"rotation_window": 60 * DAY}
ATTACHING = ["AttachThingPrincipal", "AttachPolicy"]


def held(world: Promises) -> Leaf:
    """A certificate that is held since it follows an ACTIVE one too early."""
    device = world.issue("factory", begins=-300, ends=30)
    assert world.come_up(device) == "ACTIVE"
    new = world.issue("factory")
    assert world.come_up(new) == "PENDING_ACTIVATION"
    assert reason(world, new) is Reason.NOT_A_ROTATION
    return new


def reason(world: Promises, leaf: Leaf) -> Reason | None:
    decision = world.record(leaf).decision
    return decision.reason if decision else None


def look(world: Promises, leaf: Leaf) -> None:
    world.clock.advance(DAY)
    world.connect(leaf)


@pytest.mark.parametrize("dies_after", ATTACHING)
def test_what_a_dead_attempt_attached_is_detached_by_the_refusal_that_repeats(dies_after: str) -> None:
    world = Promises({"factory": (A, NARROW)})
    new = held(world)
    world.deploy(factory=WIDE)
    look(world, new)
    world.die_after(dies_after)
    assert not is_bare(world, new)
    world.deploy(factory=NARROW)
    look(world, new)
    world.mapping.drain(within=3600)
    world.clock.advance(10)
    assert reason(world, new) is Reason.NOT_A_ROTATION
    assert is_bare(world, new)
    assert len(world.account.iot.things.by_name[NAME].principals) == 1
    assert standing_marks(world) == []


def test_a_refusal_that_repeats_detaches_once_and_costs_nothing_after_that() -> None:
    world = Promises({"factory": (A, NARROW)})
    new = held(world)
    world.deploy(factory=WIDE)
    look(world, new)
    world.die_after("AttachPolicy")
    world.deploy(factory=NARROW)
    calls = []
    for _ in range(3):
        began = len(world.aws.calls)
        look(world, new)
        world.mapping.drain(within=3600)
        calls.append([one.operation for one in world.aws.calls[began:] if one.operation.startswith("Detach")])
    assert [len(one) for one in calls] == [2, 0, 0]


def test_a_held_device_that_comes_up_keeps_no_trace_of_the_name_it_tried() -> None:
    world = Promises({"factory": (A, NARROW)})
    new = held(world)
    world.deploy(factory=WIDE)
    look(world, new)
    world.mapping.drain(within=3600)
    assert (world.status(new), world.is_whole(new)) == ("ACTIVE", True)
    record = world.record(new)
    assert (record.tried_name, record.tried_is_open) == (None, False)
    assert sweep_calls(world)[:1] != ["DetachThingPrincipal"]
