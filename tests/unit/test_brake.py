"""The brake's arithmetic: when a CA's rules refuse so many that they may be wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.brake import (
    ACCEPTED_FOR,
    Acceptance,
    Brake,
    BrakeLimits,
    Counters,
    Engagement,
    Tally,
    day_of,
    slot_of,
)

NOW = datetime(2026, 11, 29, 12, 3, tzinfo=UTC)
RULES, OTHER_RULES = "a" * 16, "b" * 16
LIMITS = BrakeLimits()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def counted(*decisions: tuple[timedelta, int, int]) -> Counters:
    """Counters of what was decided so long ago: refused, and others."""
    slots: dict[int, Tally] = {}
    days: dict[int, Tally] = {}
    for ago, refused, others in decisions:
        slot, day, tally = slot_of(NOW - ago), day_of(NOW - ago), Tally(refused=refused, others=others)
        slots[slot] = slots.get(slot, Tally()) + tally
        days[day] = days.get(day, Tally()) + tally
    return Counters(slots=slots, days=days)


JUST_NOW = timedelta()


@pytest.mark.parametrize(
    ("decisions", "engages"),
    [
        ([(JUST_NOW, 20, 0)], False),
        ([(JUST_NOW, 21, 0)], True),
        ([(timedelta(minutes=50), 15, 0), (JUST_NOW, 6, 0)], True),
        ([(timedelta(minutes=66), 15, 0), (JUST_NOW, 6, 0)], False),
        # Nothing was refused in the last seven days: any share of more than twenty is new.
        ([(2 * DAY, 0, 1000), (JUST_NOW, 21, 5000)], True),
        # A usual share of one in ten: three in ten are too many, and two are not.
        ([(2 * DAY, 100, 900), (JUST_NOW, 30, 70)], False),
        ([(2 * DAY, 100, 900), (JUST_NOW, 31, 69)], True),
        # More than half is too many, whatever is usual.
        ([(2 * DAY, 400, 600), (JUST_NOW, 50, 50)], False),
        ([(2 * DAY, 400, 600), (JUST_NOW, 51, 49)], True),
        # What was eight days ago is not usual any more.
        ([(8 * DAY, 100, 900), (JUST_NOW, 21, 900)], True),
    ],
)
def test_the_brake_engages(decisions: list[tuple[timedelta, int, int]], *, engages: bool) -> None:
    assert counted(*decisions).too_many_refused(LIMITS, NOW) is engages
    assert Brake(counters={RULES: counted(*decisions)}).holds(RULES, LIMITS, NOW) is engages


def test_what_was_counted_under_other_rules_does_not_count() -> None:
    brake = Brake(counters={OTHER_RULES: counted((JUST_NOW, 1000, 0))})
    assert not brake.holds(RULES, LIMITS, NOW)


def test_the_last_hour_is_no_part_of_what_is_usual() -> None:
    counters = counted((JUST_NOW, 40, 10), (2 * HOUR, 10, 90))
    assert counters.last_days(NOW) == Tally(refused=10, others=90)


def test_an_engaged_brake_holds_until_its_rules_change() -> None:
    engaged = Engagement(
        rules=RULES, at=NOW - 30 * DAY, refused=21, decisions=21, usual_share=0, reason="EXPIRED", example=""
    )
    assert Brake(engaged=engaged).holds(RULES, LIMITS, NOW)
    assert not Brake(engaged=engaged).holds(OTHER_RULES, LIMITS, NOW)


def test_accepted_rejections_are_carried_out_for_a_day_under_the_same_rules() -> None:
    many = {RULES: counted((JUST_NOW, 1000, 0)), OTHER_RULES: counted((JUST_NOW, 1000, 0))}
    accepted = Acceptance(rules=RULES, by="ann", at=NOW - ACCEPTED_FOR + timedelta(seconds=1))
    brake = Brake(counters=many, accepted=accepted, acceptances=1)
    assert not brake.holds(RULES, LIMITS, NOW)
    assert brake.holds(RULES, LIMITS, NOW + timedelta(seconds=1))
    assert brake.holds(OTHER_RULES, LIMITS, NOW)


def test_an_engagement_says_on_which_figures() -> None:
    brake = Brake(counters={RULES: counted((2 * DAY, 50, 950), (JUST_NOW, 30, 70))})
    engaged = brake.engagement(RULES, NOW, reason="COMMON_NAME_REFUSED", example="no sensor")
    assert (engaged.refused, engaged.decisions, engaged.usual_share) == (30, 100, 5)
    assert (engaged.rules, engaged.reason, engaged.example, engaged.announced) == (
        RULES,
        "COMMON_NAME_REFUSED",
        "no sensor",
        False,
    )


@given(
    refused=st.integers(0, 500),
    others=st.integers(0, 500),
    more=st.integers(1, 100),
    usual=st.tuples(st.integers(0, 500), st.integers(0, 500)),
)
def test_more_refusals_never_release_the_brake(refused: int, others: int, more: int, usual: tuple[int, int]) -> None:
    before = counted((2 * DAY, *usual), (JUST_NOW, refused, others))
    after = counted((2 * DAY, *usual), (JUST_NOW, refused + more, others))
    assert not before.too_many_refused(LIMITS, NOW) or after.too_many_refused(LIMITS, NOW)
    assert not after.too_many_refused(BrakeLimits(refused=refused + more), NOW)
