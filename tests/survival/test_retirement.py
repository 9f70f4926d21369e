"""Between the sweep's look at a replaced certificate and its UpdateCertificate: who acts then is not overruled."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from jitr.decisions import Outcome
from jitr.event_details import _event_id
from jitr.pacing.schedule import PACE, in_microseconds
from jitr.store.dynamodb import deserialize
from jitr.store.registry_items import to_record
from jitr.store.registry_writes import STALE_INTENT
from simulation import Authority, Call, Fault, Leaf, Moment
from tests.support.survival.promises import Promises

AUTHORITY = Authority.new("Factory")
OVERLAP = 3700


def rotated() -> tuple[Promises, Leaf, Leaf]:
    """A world in which the first certificate is due to be retired, and the second one follows it."""
    world = Promises({"factory": (AUTHORITY, {})})
    old, new = world.issue("factory", begins=-300, ends=30), world.issue("factory")
    assert world.come_up(old) == "ACTIVE"
    assert world.come_up(new) == "ACTIVE"
    world.clock.advance(OVERLAP)
    return world, old, new


def sweeping(world: Promises) -> Callable[[], None]:
    def sweep() -> None:
        world.deployment.sweep()

    return sweep


@pytest.mark.parametrize("status", ["REVOKED", "INACTIVE"])
@pytest.mark.parametrize("which", ["old", "new"])
def test_a_status_set_while_the_sweep_is_held_up_is_seen_before_it_retires(
    which: str, status: Literal["REVOKED", "INACTIVE"]
) -> None:
    world, old, new = rotated()
    acted: list[bool] = []
    sent: list[str] = []

    def act(call: Call, moment: Moment) -> None:
        if call.caller != "sweep":
            return
        if call.operation == "UpdateCertificate" and moment == "before":
            sent.append(call.parameters["newStatus"])
        is_intent = call.operation == "UpdateItem" and old.certificate_id in repr(call.parameters["Key"])
        if is_intent and moment == "after" and not acted:
            acted.append(True)
            world.set_status(old if which == "old" else new, status)
            world.clock.sleep(8)  # a slow answer, or the wait for a turn

    world.aws.fault = act
    world.clock.spawn(sweeping(world))
    world.clock.advance(60)
    assert acted
    assert sent == []
    assert world.status(old if which == "old" else new) == status
    assert world.status(new if which == "old" else old) == "ACTIVE"


def test_an_intent_of_a_long_sweep_bears_the_time_at_which_it_was_written() -> None:
    world, old, _ = rotated()
    ages: list[float] = []

    def slow(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("sweep", "GetMetricStatistics", "before"):
            world.clock.sleep(200)
        if (call.caller, call.operation, moment) == ("sweep", "UpdateCertificate", "before"):
            item = world.deployment.registry.items[f"certificate#{old.certificate_id}",]
            intent = to_record(deserialize(item)).intent
            assert intent
            ages.append((world.clock.now() - intent.decided_at).total_seconds())

    world.aws.fault = slow
    world.clock.spawn(sweeping(world))
    world.clock.advance(300)
    assert ages
    assert max(ages) < 5
    assert world.status(old) == "INACTIVE"


def test_the_waits_for_turns_in_a_storm_at_a_low_rate_do_not_outlive_the_intent() -> None:
    world, old, _ = rotated()
    world.deployment.settings = replace(world.deployment.settings, activations_per_second=0.25)
    ages: list[float] = []

    def act(call: Call, moment: Moment) -> None:
        if (call.caller, moment) != ("sweep", "before"):
            return
        if call.operation == "GetItem" and PACE in repr(call.parameters["Key"]):
            # New devices take all turns but the guaranteed ones: one in 80 s.
            ahead = in_microseconds(world.clock.now().timestamp() + 9)
            world.deployment.registry.items[PACE,] |= {"next_at": {"N": str(ahead)}}
        if call.operation == "UpdateCertificate":
            intent = world.record(old).intent
            assert intent
            ages.append((world.clock.now() - intent.decided_at).total_seconds())

    world.aws.fault = act
    world.deployment.sweep()
    assert (world.status(old), len(ages)) == ("INACTIVE", 1)
    assert ages[0] < STALE_INTENT.total_seconds()


def test_an_end_that_register_records_keeps_the_id_under_which_it_was_announced() -> None:
    world, old, _ = rotated()

    def refuse(call: Call, moment: Moment) -> Fault | None:
        is_announced = (call.caller, call.operation, moment) == ("sweep", "PutEvents", "before")
        return Fault.THROTTLED if is_announced else None

    world.aws.fault = refuse
    world.deployment.sweep()
    world.aws.fault = None
    world.mapping.drain(within=600)
    world.clock.advance(600)
    world.deployment.sweep()
    ids = [one.detail["id"] for one in world.account.events.put if one.detail["outcome"] == Outcome.REPLACED]
    decision = world.record(old).decision
    assert decision
    assert ids == [_event_id(decision, world.deployment.settings)]
