"""A CRL that is published brings up whom it was awaited by, though they never connect again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import CheckMode
from simulation import Call, Fault, Moment
from tests.support.survival.scenario_world import World

HOUR = timedelta(hours=1).total_seconds()
ENFORCED: dict[str, Any] = {"checks": {"revocation": CheckMode.ENFORCE}}


def held_for_a_crl(world: World) -> None:
    """Its first event is decided on, and then again at each look, until those are a day apart."""
    world.connect()
    for _ in range(30):
        world.mapping.drain(within=60)
        world.deployment.sweep()
        world.aws.clock.advance(HOUR)
    world.mapping.drain(within=60)
    decision = world.decision()
    assert decision
    assert decision.next_evaluation
    if decision.next_evaluation < world.aws.clock.now() + timedelta(hours=4):
        world.aws.clock.advance(4 * HOUR)
        world.deployment.sweep()
        world.mapping.drain(within=HOUR)
        decision = world.decision()
    assert decision
    assert decision.next_evaluation
    assert decision.next_evaluation > world.aws.clock.now() + timedelta(hours=4)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CRL_MISSING)
    world.aws.clock.advance(60)
    world.aws.calls.clear()


def sweep_and_decide(world: World) -> None:
    world.deployment.sweep()
    world.mapping.drain(within=HOUR)


@pytest.fixture
def world() -> World:
    world = World(**ENFORCED)
    held_for_a_crl(world)
    return world


def test_the_next_sweep_sends_what_was_held_for_want_of_a_crl(world: World) -> None:
    world.publish_crl()
    sweep_and_decide(world)
    assert world.status() == "ACTIVE"
    assert world.is_provisioned()


def test_an_environment_that_has_just_read_that_there_is_none_reads_again(world: World) -> None:
    world.connect()  # it is held still, which costs a read
    world.mapping.drain(within=30)
    assert [call.operation for call in world.aws.calls if call.service == "s3"] == ["GetObject"]
    world.publish_crl()
    world.deployment.sweep()
    world.mapping.drain(within=20)
    assert world.status() == "ACTIVE"


def test_a_new_crl_that_s3_fails_to_give_at_first_is_waited_for(world: World) -> None:
    world.connect()
    world.mapping.drain(within=30)
    world.publish_crl()
    world.deployment.sweep()
    failed: list[str] = []

    def fault(call: Call, _moment: Moment) -> Fault | None:
        if call.caller == "sweep" or call.service != "s3" or len(failed) == 3:  # as often as a call is tried
            return None
        failed.append(call.operation)
        return Fault.SERVER_ERROR

    world.aws.fault = fault
    world.mapping.drain(within=300)
    assert failed
    assert world.status() == "ACTIVE"


def test_a_crl_that_is_still_missing_costs_one_question_a_sweep(world: World) -> None:
    for _ in range(3):
        world.deployment.sweep()
    assert [call.operation for call in world.aws.calls if call.service == "s3"] == ["GetObject"] * 3
    assert world.status() == "PENDING_ACTIVATION"


def test_s3_that_fails_stops_no_other_part_of_the_sweep(world: World) -> None:
    def fault(call: Call, _moment: Moment) -> Fault | None:
        return Fault.SERVER_ERROR if call.service == "s3" else None

    world.aws.fault = fault
    swept = world.deployment.sweep()
    assert swept.failed == ["CRLs", "CRL, factory"]
    world.aws.fault = None
    world.publish_crl()
    sweep_and_decide(world)
    assert world.status() == "ACTIVE"


def test_without_a_ca_that_asks_for_crls_s3_is_not_asked() -> None:
    world = World()
    world.connect()
    sweep_and_decide(world)
    assert [call for call in world.aws.calls if call.service == "s3"] == []


def test_an_environment_that_still_has_the_older_crl_costs_an_hour_at_most(world: World) -> None:
    """Another device of the CA had it look just before: what the sweep sends then is settled by the older list."""
    other = world.issue("sensor-0002")
    world.connect(other)
    world.mapping.drain(within=60)
    world.publish_crl()
    world.aws.clock.advance(5)
    world.deployment.sweep()
    world.mapping.drain(within=40)
    for _ in range(6):
        world.aws.clock.advance(900)
        sweep_and_decide(world)
    assert (world.status(), world.status(other)) == ("ACTIVE", "ACTIVE")
