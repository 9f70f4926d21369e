"""The schedule of turns, on the simulated DynamoDB, in virtual time."""

from itertools import pairwise

import pytest

from jitr.errors import Unavailable
from jitr.pacing.schedule import Need
from jitr.pacing.turns import BUCKET, Turns
from simulation import Call, Fault, Moment
from tests.support.simulation.turns import RATE, Fleet, reserve


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_an_idle_schedule_has_half_a_second_of_turns_and_then_one_an_interval(fleet: Fleet) -> None:
    assert reserve(fleet, fleet.environment(), 8) == [-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2]


def test_no_two_environments_have_the_same_turn(fleet: Fleet) -> None:
    one, other = fleet.look(fleet.environment()), fleet.look(fleet.environment())
    turns = [turn for turns in (one, other, one, other) for turn in turns.reserve({Need.NEW: 5})]
    assert sorted({round(turn, 3) for turn in turns}) == [round(fleet.now - BUCKET + n / RATE, 3) for n in range(20)]


def test_a_reservation_of_a_schedule_that_was_read_is_one_plain_write(fleet: Fleet) -> None:
    turns = fleet.environment()
    reserve(fleet, turns, 1)
    fleet.aws.calls.clear()
    reserve(fleet, turns, 3)
    (call,) = fleet.aws.calls
    assert "ConditionExpression" not in call.parameters


def test_time_in_which_nobody_wanted_a_turn_is_not_saved_up(fleet: Fleet) -> None:
    turns = fleet.environment()
    reserve(fleet, turns, 1)
    fleet.aws.clock.advance(100)
    assert turns.reserve({Need.NEW: 1})[0] == pytest.approx(fleet.now - BUCKET)  # not read again meanwhile
    assert reserve(fleet, turns, 1) == [-0.4]


def test_turns_beyond_the_reach_of_new_devices_are_not_taken(fleet: Fleet) -> None:
    assert len(reserve(fleet, fleet.environment(), 500)) == 121  # of 11.5 s, and of the half second that was saved up
    assert reserve(fleet, fleet.environment(), 1) == []
    fleet.aws.clock.advance(1)
    assert len(reserve(fleet, fleet.environment(), 500)) == 10


def test_a_schedule_more_than_a_minute_ahead_begins_anew(fleet: Fleet) -> None:
    reserve(fleet, fleet.environment(skew=3600), 1)
    assert reserve(fleet, fleet.environment(), 1) == [-0.5]


def test_clocks_that_differ_by_a_second_share_one_schedule(fleet: Fleet) -> None:
    turns = [turn for skew in (1, -1, 1, -1) for turn in reserve(fleet, fleet.environment(skew=skew), 5)]
    assert sorted(turns) == [round(0.5 + number / RATE, 3) for number in range(20)]


def test_orders_and_held_devices_take_what_lies_idle_soon(fleet: Fleet) -> None:
    turns = fleet.environment()
    assert len(reserve(fleet, turns, 500, Need.HELD)) == 17  # one of them is guaranteed
    assert len(reserve(fleet, turns, 500, Need.HELD)) == 0
    assert len(reserve(fleet, turns, 500, Need.ORDERED)) == 10
    assert len(reserve(fleet, turns, 500, Need.NEW)) == 94


def test_while_others_are_in_line_a_held_device_takes_no_turn_that_is_still_to_come(fleet: Fleet) -> None:
    turns = fleet.look(fleet.environment())
    turns.line_up(3)
    assert len(reserve(fleet, turns, 500, Need.HELD)) == 7  # what was saved up, and the guaranteed one
    assert len(reserve(fleet, turns, 500, Need.ORDERED)) == 20


@pytest.mark.parametrize(("need", "share"), [(Need.HELD, 0.05), (Need.ORDERED, 0.1)])
def test_beside_new_devices_a_class_has_its_guaranteed_share(fleet: Fleet, need: Need, share: float) -> None:
    turns, taken = fleet.environment(), 0
    for _ in range(1000):
        fleet.look(turns).reserve({Need.NEW: 500})
        taken += len(reserve(fleet, turns, 5, need))
        fleet.aws.clock.advance(0.1)
    assert taken == pytest.approx(1000 * share, rel=0.03)


def test_a_turn_that_nobody_needs_goes_to_the_next_batch(fleet: Fleet) -> None:
    turns = fleet.environment()
    first = fleet.look(turns).reserve({Need.NEW: 8})
    turns.give_back(first[6:])
    fleet.aws.calls.clear()
    assert turns.reserve({Need.NEW: 2}) == first[6:]
    assert fleet.aws.calls == []


def test_each_api_is_called_once_in_a_turn_and_then_in_another_one(fleet: Fleet) -> None:
    turns = fleet.look(fleet.environment())
    turns.reserve({Need.NEW: 6})
    fleet.aws.calls.clear()
    with turns.hold():
        for name in ("DescribeCertificate", "AttachPolicy", "UpdateCertificate"):
            turns.wait(name)
        assert fleet.aws.calls == []
        turns.wait("DescribeCertificate")
        turns.wait("UpdateCertificate")
    assert fleet.aws.list_operations() == ["UpdateItem"]


def test_a_turn_after_the_deadline_is_refused_at_once(fleet: Fleet) -> None:
    turns = fleet.look(fleet.environment())
    turns.reserve({Need.NEW: 60})
    turns.expire_in(3)
    before = fleet.now
    with pytest.raises(Unavailable, match="DescribeCertificate"):
        turns.wait("DescribeCertificate")
    assert fleet.now == before


def test_without_dynamodb_an_environment_takes_its_share_and_reserves_it_later(fleet: Fleet) -> None:
    turns = fleet.look(fleet.environment())

    def fault(_call: Call, _moment: Moment) -> Fault | None:
        return Fault.TIMEOUT

    fleet.aws.fault = fault
    began = fleet.now
    share = turns.reserve({Need.NEW: 10})
    assert [round(later - earlier, 3) for earlier, later in pairwise(share)] == [0.8] * (len(share) - 1)
    assert 2 <= len(share) <= 3  # what comes later is left to who can reserve
    assert fleet.now - began < 4  # one retry, with a second's patience each
    assert fleet.unavailable == 1
    fleet.aws.fault = None
    fleet.aws.clock.advance(10)
    reserve(fleet, turns, 1)
    assert reserve(fleet, turns, 1) == [round(-0.4 + len(share) / RATE, 3)]  # these turns were owed


def test_what_found_no_turn_asks_again_one_after_the_other_and_soon_enough(fleet: Fleet) -> None:
    one, other = fleet.look(fleet.environment()), fleet.environment()
    assert one.line_up(3) == pytest.approx([0.05, 0.1, 0.15], abs=1e-3)
    assert fleet.look(other).line_up(2) == pytest.approx([0.2, 0.25], abs=1e-3)
    fleet.aws.clock.advance(60)
    assert fleet.look(one).line_up(1) == pytest.approx([0.05], abs=1e-3)


def through_a_window(fleet: Fleet, turns: Turns, *, throttled: bool) -> None:
    """Ten seconds in which every turn is used, and every second call is throttled, or none."""
    for _ in range(100):
        fleet.look(turns).reserve({Need.NEW: 1})
        turns.note(2, 1 if throttled else 0)
        fleet.aws.clock.advance(0.1)


def test_sustained_throttling_slows_every_environment_and_they_recover(fleet: Fleet) -> None:
    turns, other = fleet.environment(), fleet.environment()
    through_a_window(fleet, turns, throttled=False)
    through_a_window(fleet, turns, throttled=True)
    through_a_window(fleet, turns, throttled=True)
    assert fleet.look(other).rate < RATE
    slow = other.rate
    for _ in range(5):
        through_a_window(fleet, turns, throttled=False)
    assert slow < fleet.look(other).rate <= RATE


def test_a_rate_that_is_written_far_too_low_stops_nobody(fleet: Fleet) -> None:
    turns = fleet.environment()
    turns.see({"rate": 1})  # thousandths
    assert turns.rate == RATE / 20


def test_the_rate_is_judged_by_one_environment_in_a_window_and_not_for_a_lone_device(fleet: Fleet) -> None:
    turns = fleet.environment()
    for _ in range(5):
        fleet.look(turns).reserve({Need.NEW: 1})
        turns.note(2, 0)
        fleet.aws.clock.advance(100)
    assert fleet.aws.list_operations() == ["UpdateItem"] * 5
