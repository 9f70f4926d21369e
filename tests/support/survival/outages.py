"""Outages of the simulated AWS that last for hours, and a world that lives through them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jitr.decisions import Outcome
from simulation import Call, Fault, Leaf, Moment
from simulation.faults import denied
from tests.support.survival.scenario_world import DAY, World
from tests.support.survival.survived import lost

HOUR = 3600.0
FUNCTIONS = ("register", "sweep")


@dataclass
class Outage:
    """What fails for a while: the calls of these callers that match, in this way; and how often it struck."""

    matches: Callable[[Call], bool]
    how: Callable[[Call], Fault] = lambda _: Fault.SERVER_ERROR
    struck: int = field(default=0)

    def __call__(self, call: Call, moment: Moment) -> Fault | None:
        if moment == "after" or call.caller not in FUNCTIONS or not self.matches(call):
            return None
        self.struck += 1
        return self.how(call)


def refuse(call: Call) -> Fault:
    """Answer a call with AccessDenied, which it raises."""
    raise denied(call)


def quiet_world(**settings: Any) -> World:
    """A world that keeps neither calls nor log lines: a day has many."""
    world = World(**settings)
    world.aws._keep_calls = False
    world.deployment.journal.keep = False
    return world


def pass_time(world: World, seconds: float, *, every: float = HOUR) -> None:
    """Deliver whatever is visible, sweep `every` so many seconds, and see that nothing is lost at any sweep."""
    clock, queue = world.aws.clock, world.deployment.registrations
    end = clock.monotonic() + seconds
    next_sweep = clock.monotonic() + every
    while clock.monotonic() < end:
        if world.mapping.poll() is not None:
            continue
        wait = queue.next_visible_in()
        until = min(end, next_sweep)
        clock.advance(max(min(clock.monotonic() + (wait if wait is not None else DAY), until) - clock.monotonic(), 0))
        if clock.monotonic() >= next_sweep:
            assert lost(world.account, world.deployment) == []
            world.deployment.sweep()
            next_sweep += every
    assert lost(world.account, world.deployment) == []


def register_long_ago(world: World, leaf: Leaf | None = None, *, days: int = 8) -> None:
    """Let a device connect without an event, and then be silent for days."""
    rule = dict(world.account.iot.broker.rules)
    world.account.iot.broker.rules.clear()
    world.connect(leaf)
    world.account.iot.broker.rules.update(rule)
    world.aws.clock.advance(days * DAY)


def check_activated(world: World, leaf: Leaf | None = None) -> None:
    """See that a device is ACTIVE and whole, recorded and announced as activated, and that no message is dead."""
    decision = world.decision(leaf)
    assert world.status(leaf) == "ACTIVE"
    assert world.is_provisioned(leaf)
    assert decision
    assert decision.outcome is Outcome.ACTIVATED
    announced = {(one.detail["certificate_id"], one.detail["outcome"]) for one in world.account.events.put}
    assert (decision.certificate_id, "activated") in announced
    assert world.deployment.dead_letters.size == 0
