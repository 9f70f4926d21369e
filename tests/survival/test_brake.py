"""A mistake in the rules bricks nobody: the brake on a CA's rules, in virtual time."""

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitrctl.device.operations import OrderContext
from simulation import Call, Died, Fault, Moment
from tests.support.survival.crowd import MENDED, WRONG, Crowd
from tests.support.survival.scenario_world import DAY


def test_wrong_rules_reject_twenty_devices_and_hold_the_others() -> None:
    world = Crowd(**WRONG)
    devices = world.come("sensor", 60)
    assert len(world.of("INACTIVE", devices)) == 20
    held = world.of("PENDING_ACTIVATION", devices)
    assert len(held) == 40
    decision = world.decision(held[0])
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.COMMON_NAME_REFUSED)
    assert decision.is_braked
    assert len(world.announced()) == 1
    assert world.brake.engaged
    assert world.deployment.journal.metrics["RulesRefuseMany"] > 0


def test_devices_that_the_brake_held_come_up_by_themselves_under_mended_rules() -> None:
    world = Crowd(**WRONG)
    devices = world.come("sensor", 60)
    held = world.of("PENDING_ACTIVATION", devices)
    world.deploy(**MENDED)
    world.sweep_and_decide(3)
    assert len(world.of("ACTIVE", held)) == 40
    assert world.brake.engaged is None
    rejected = world.of("INACTIVE", devices)
    assert len(rejected) == 20
    world.operator.release(rejected[0].certificate_id, OrderContext(by="arn:aws:iam::111111111111:user/operator"))
    world.connect(rejected[0])
    world.mapping.drain(within=60)
    assert world.status(rejected[0]) == "ACTIVE"


def test_a_flood_of_bad_devices_among_good_ones_is_held_and_good_ones_come_in() -> None:
    world = Crowd(**MENDED)
    good = world.come("sensor", 30)
    bad = world.come("badger", 60)
    more = world.come("sensor", 30, first=100)
    assert len(world.of("ACTIVE", [*good, *more])) == 60
    assert len(world.of("INACTIVE", bad)) == 20
    assert len(world.of("PENDING_ACTIVATION", bad)) == 40
    world.sweep_and_decide(3)
    for leaf in bad:
        assert world.connect(leaf) == "refused"
    world.mapping.drain(within=DAY)
    assert world.of("ACTIVE", bad) == []
    assert len(world.announced()) == 1


def test_accepted_rejections_are_carried_out_and_no_others_are_held_for_a_day() -> None:
    world = Crowd(**MENDED)
    bad = world.come("badger", 60)
    assert world.accept()
    world.sweep_and_decide(3)
    assert len(world.of("INACTIVE", bad)) == 60
    more = world.come("badger", 30, first=100)
    assert len(world.of("INACTIVE", more)) == 30
    world.aws.clock.advance(DAY)
    later = world.come("badger", 30, first=200)
    assert len(world.of("INACTIVE", later)) == 20
    assert len(world.announced()) == 2


def test_what_is_looked_at_daily_is_rejected_by_the_next_sweeps_once_accepted() -> None:
    world = Crowd(**MENDED)
    bad = world.come("badger", 25)
    for seconds in (400, 1000, 4000):
        world.aws.clock.advance(seconds)
        world.sweep_and_decide(2)
    held = world.of("PENDING_ACTIVATION", bad)
    assert {decision.attempts for leaf in held if (decision := world.decision(leaf))} == {4}
    world.aws.clock.advance(2 * 3600)
    assert world.accept()
    world.sweep_and_decide(2)
    assert len(world.of("INACTIVE", bad)) == 25


def test_what_is_swept_within_a_minute_of_the_acceptance_is_rejected_at_once() -> None:
    world = Crowd(**MENDED)
    bad = world.come("badger", 25)
    for leaf in world.of("PENDING_ACTIVATION", bad):
        world.connect(leaf)  # so that environments know how many acceptances there are
    world.mapping.drain(within=30)
    assert world.accept()
    world.deployment.sweep()
    world.mapping.drain(within=300)
    assert len(world.of("INACTIVE", bad)) == 25


def test_what_is_received_before_the_sweep_notes_it_is_rejected_at_once_too() -> None:
    world = Crowd(**MENDED)
    bad = world.come("badger", 25)
    for leaf in world.of("PENDING_ACTIVATION", bad):
        world.connect(leaf)  # so that environments know how many acceptances there are
    world.mapping.drain(within=30)
    assert world.accept()
    received: list[str] = []

    def receive(call: Call, moment: Moment) -> None:
        """Have `register` receive what the sweep sent before the sweep writes down that it did."""
        is_sent = call.caller == "sweep" and call.operation == "SendMessageBatch" and moment == "after"
        if is_sent and not received:
            received.append(call.operation)
            world.mapping.drain(within=5)

    world.aws.fault = receive
    world.deployment.sweep()
    world.mapping.drain(within=300)
    assert received
    assert len(world.of("INACTIVE", bad)) == 25


def test_what_was_looked_at_within_the_hour_before_the_mend_comes_up_by_the_next_sweeps() -> None:
    world = Crowd(**WRONG)
    devices = world.come("sensor", 25)
    for seconds in (400, 1000, 4000):
        world.aws.clock.advance(seconds)
        world.sweep_and_decide(2)
    held = world.of("PENDING_ACTIVATION", devices)
    assert {decision.attempts for leaf in held if (decision := world.decision(leaf))} == {4}  # the next look is daily
    world.deploy(**MENDED)
    world.sweep_and_decide(2)
    assert world.of("ACTIVE", held) == held


def test_rejections_accepted_amid_a_sweep_are_carried_out_by_the_next_sweeps() -> None:
    world = Crowd(**MENDED)
    bad = world.come("badger", 25)
    for seconds in (400, 1000, 4000):
        world.aws.clock.advance(seconds)
        world.sweep_and_decide(2)
    (daily, *_) = world.of("PENDING_ACTIVATION", bad)
    late = world.come("badger", 1, first=100)
    world.aws.clock.advance(400)  # its look is due, the others' are daily
    accepted: list[bool] = []

    def accept(call: Call, moment: Moment) -> None:
        """Accept once the sweep has read the brake for what is due, before it looks whether anything was accepted."""
        is_read = call.operation == "BatchGetItem" and "brake#" in str(call.parameters)
        if call.caller == "sweep" and is_read and moment == "after" and not accepted:
            accepted.append(True)
            accepted.append(world.accept())

    world.aws.fault = accept
    world.sweep_and_decide(2)
    assert accepted == [True, True]
    assert world.status(late[0]) == world.status(daily) == "INACTIVE"


def test_a_brake_that_cannot_be_read_holds_and_counts_later() -> None:
    world = Crowd(**WRONG)

    def fail(call: Call, moment: Moment) -> Fault | None:
        is_brake = "brake#" in str(call.parameters) and call.operation == "UpdateItem"
        return Fault.THROTTLED if is_brake and moment == "before" else None

    world.aws.fault = fail
    devices = world.come("sensor", 30)
    assert len(world.of("PENDING_ACTIVATION", devices)) == 30
    world.aws.fault = None
    for _ in range(4):
        world.sweep_and_decide()
    assert len(world.of("INACTIVE", devices)) == 20
    assert len(world.of("PENDING_ACTIVATION", devices)) == 10


def test_one_bad_device_whose_refusal_dies_again_and_again_engages_nothing() -> None:
    world = Crowd(**MENDED)
    bad = world.issue("badger-0001")
    deaths: list[str] = []

    def die(call: Call, moment: Moment) -> None:
        is_count = call.operation == "UpdateItem" and "brake#" in str(call.parameters) and moment == "after"
        is_intent = call.operation == "UpdateItem" and "SET intent" in str(call.parameters) and moment == "before"
        is_end = call.operation == "UpdateCertificate" and moment == "before"
        if is_count or is_end or (is_intent and len(deaths) % 2):
            deaths.append(call.operation)
            raise Died

    world.aws.fault = die
    for _ in range(50):
        world.connect(bad)
        world.mapping.drain(within=70)
    assert deaths
    (counters,) = world.brake.counters.values()
    assert counters.last_hour(world.aws.clock.now()).refused <= 4  # once, and once at each look at what was held
    assert world.brake.engaged is None
    world.aws.fault = None
    for _ in range(3):
        world.aws.clock.advance(DAY)
        world.sweep_and_decide()
    assert world.status(bad) == "INACTIVE"


def test_rules_that_come_back_find_the_brake_released_and_count_anew() -> None:
    world = Crowd(**WRONG)
    devices = world.come("sensor", 60)
    world.deploy(common_name="sensoren-[0-9]+")
    world.deployment.sweep()
    assert world.brake.engaged is None
    world.deploy(**WRONG)
    world.aws.clock.advance(3 * DAY)
    world.sweep_and_decide(3)
    assert len(world.of("INACTIVE", devices)) == 40
    assert len(world.of("PENDING_ACTIVATION", devices)) == 20


@pytest.mark.parametrize("dies", ["PutEvents", "UpdateItem"])
def test_a_brake_whose_function_dies_is_engaged_and_announced_all_the_same(dies: str) -> None:
    world = Crowd(**WRONG)
    world.come("sensor", 20)
    world.die_once(dies)
    devices = world.come("sensor", 10, first=100)
    world.aws.clock.advance(600)
    world.sweep_and_decide()
    assert world.of("INACTIVE", devices) == []
    assert world.brake.engaged
    assert world.brake.engaged.announced
    assert len({str(event.detail) for event in world.announced()}) == 1


def test_a_storm_of_good_devices_costs_the_brake_a_write_a_minute() -> None:
    world = Crowd(**MENDED)
    began = world.aws.clock.now()
    world.come("sensor", 100, together=100)
    world.aws.clock.advance(61)  # a storm of a hundred takes ten seconds
    world.come("sensor", 100, first=101, together=100)
    minutes = (world.aws.clock.now() - began).total_seconds() / 60
    calls = [call for call in world.aws.calls if "brake#" in str(call.parameters)]
    assert {call.operation for call in calls} == {"UpdateItem"}
    assert len(calls) <= minutes + 1
    tally = sum(one.last_hour(world.aws.clock.now()).others for one in world.brake.counters.values())
    assert tally > 0
