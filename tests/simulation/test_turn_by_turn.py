"""Calls outside of batches take turns of the same schedule, on the simulated DynamoDB, in virtual time."""

import threading
from collections.abc import Callable

import pytest

from jitr.errors import Unavailable
from jitr.pacing.schedule import PACE, TERMS, Need, Seen
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG
from simulation import Call, Fault, Moment
from tests.support.simulation.turns import RATE, TABLE, Fleet, reserve

SHARE = TERMS[Need.OTHER].share


def work(fleet: Fleet, *, per_second: float = RATE, judges: bool = True, skew: float = 0.0) -> TurnByTurn:
    return TurnByTurn(
        fleet.account.client("dynamodb", config=TURNS_CONFIG),
        TABLE,
        per_second=per_second,
        when_unavailable=fleet.note_unavailable,
        judges=judges,
        clock=lambda: fleet.now + skew,
        sleep=fleet.aws.clock.sleep,
    )


def calls_within(fleet: Fleet, seconds: float, turns: TurnByTurn, beside: Callable[[], object] = lambda: None) -> int:
    """How many calls are let through in so long, one after the other, of 10 ms each."""
    until, calls = fleet.now + seconds, 0
    while fleet.now < until:
        beside()
        turns.wait("DescribeCertificate")
        calls += 1
        fleet.aws.clock.advance(0.01)
    return calls


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_where_nobody_else_wants_turns_it_has_the_whole_rate(fleet: Fleet) -> None:
    assert calls_within(fleet, 20, work(fleet)) == pytest.approx(20 * RATE + 5, abs=2)  # half a second is saved up


def test_beside_new_devices_it_has_its_share_though_their_turns_lie_far_ahead(fleet: Fleet) -> None:
    devices, turns = fleet.environment(), work(fleet)

    def storm() -> None:
        fleet.look(devices).reserve({Need.NEW: 500})

    storm()
    assert calls_within(fleet, 100, turns, storm) == pytest.approx(100 * RATE * SHARE, rel=0.03)


def test_what_it_takes_in_a_storm_is_missing_at_the_end_of_the_schedule(fleet: Fleet) -> None:
    devices, turns = fleet.environment(), work(fleet)
    taken = len(fleet.look(devices).reserve({Need.NEW: 500}))
    began = fleet.now
    for _ in range(5):
        turns.wait("DescribeCertificate")
    fleet.aws.clock.advance(began + 20 - fleet.now)
    fleet.look(devices)
    assert devices._seen.next_at == pytest.approx(began - 0.5 + (taken + 5) / RATE, abs=0.01)


def test_new_devices_find_a_turn_within_a_second_beside_it(fleet: Fleet) -> None:
    turns = work(fleet)
    calls_within(fleet, 10, turns)
    assert reserve(fleet, fleet.environment(), 1)[0] <= 1


def test_each_api_is_called_once_in_its_turn(fleet: Fleet) -> None:
    turns = work(fleet)
    for _ in range(3):
        for name in ("DescribeCertificate", "ListAttachedPolicies", "UpdateCertificate"):
            turns.wait(name)
    assert fleet.look(turns)._seen.next_at == pytest.approx(fleet.now - 0.5 + 3 / RATE)


def test_who_cannot_reserve_has_the_share_alone(fleet: Fleet) -> None:
    def strike(call: Call, moment: Moment) -> Fault | None:
        return Fault.SERVER_ERROR if moment == "before" and call.operation == "UpdateItem" else None

    fleet.aws.fault = strike
    assert calls_within(fleet, 100, work(fleet)) == pytest.approx(100 * RATE * SHARE, rel=0.05)
    assert fleet.unavailable
    assert fleet.table.items == {}


def test_in_an_account_without_a_stack_it_has_the_whole_rate(fleet: Fleet) -> None:
    turns = TurnByTurn(
        fleet.account.client("dynamodb", config=TURNS_CONFIG),
        "another",
        per_second=RATE,
        clock=lambda: fleet.now,
        sleep=fleet.aws.clock.sleep,
    )
    assert calls_within(fleet, 5, turns) == pytest.approx(5 * RATE, abs=1)


def test_a_turn_after_the_deadline_is_refused_and_not_waited_for(fleet: Fleet) -> None:
    devices, turns = fleet.environment(), work(fleet)
    fleet.look(devices).reserve({Need.NEW: 500})
    turns.wait("DescribeCertificate")
    turns.expire_in(1)
    before = fleet.now
    with pytest.raises(Unavailable, match="DescribeCertificate"):
        turns.wait("DescribeCertificate")
    assert fleet.now == before


def test_who_does_not_know_the_deployed_rate_does_not_judge_it(fleet: Fleet) -> None:
    for judges in (False, True):
        turns = work(fleet, per_second=5, judges=judges)
        for _ in range(80):
            turns.wait("DescribeCertificate")
            turns.note(1, 0)
        assert ("rate" in fleet.table.items[PACE,]) is judges


def test_the_turns_of_the_share_are_given_to_one_thread_at_a_time(fleet: Fleet) -> None:
    locked: list[bool] = []

    def clock() -> float:
        locked.append(turns._lock.locked())
        return fleet.now

    turns = TurnByTurn(
        fleet.account.client("dynamodb", config=TURNS_CONFIG),
        "another",  # there is no such table, so that nothing is reserved
        per_second=RATE,
        clock=clock,
        sleep=fleet.aws.clock.sleep,
    )
    turns.take(1)
    assert locked[-1]


def test_a_thread_reserves_by_what_it_has_read_itself(fleet: Fleet) -> None:
    """Another thread that reads in between, or has never read, changes nothing for it."""
    turns = work(fleet)
    turns.take(3)
    mine = turns._seen
    seen: list[Seen] = []
    other = threading.Thread(target=lambda: seen.append(turns._seen))
    other.start()
    other.join()
    assert mine.next_at > 0
    assert seen == [Seen()]
    assert turns._seen is mine
