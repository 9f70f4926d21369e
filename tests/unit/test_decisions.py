"""Decisions: which events they settle, and when a held device is looked at again."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.events import RegistrationEvent
from jitr.iot_models import Status
from jitr.record import Record
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW
from tests.support.examples import said

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(microseconds=1)

DECISION = Decision(
    certificate_id="ab" * 32,
    outcome=Outcome.ACTIVATED,
    status=Status.ACTIVE,
    registered_at=NOW - MINUTE,
    decided_at=NOW,
    rules_digest="rules",
)
HELD = replace(DECISION, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, reason=Reason.CA_INACTIVE)
FIRST_EVENT = RegistrationEvent(certificate_id="ab" * 32, ca_certificate_id="cd" * 32)
REPEATED = replace(FIRST_EVENT, registered_at=DECISION.registered_at)
OF_ANOTHER_REGISTRATION = replace(FIRST_EVENT, registered_at=NOW + 60 * MINUTE)


DONE = [Outcome.ACTIVATED, Outcome.REJECTED, Outcome.FOUND, Outcome.REPLACED]


@pytest.mark.parametrize("outcome", DONE)
@pytest.mark.parametrize(
    ("event", "sent", "settled"),
    [
        # of the registration that was decided: settled, whenever it was sent
        (REPEATED, -MINUTE, True),
        (REPEATED, 5 * MINUTE + MOMENT, True),
        (REPEATED, 365 * DAY, True),
        # of the same registration, to another precision
        (replace(REPEATED, registered_at=DECISION.registered_at + 0.999 * SECOND), 365 * DAY, True),
        (replace(REPEATED, registered_at=DECISION.registered_at - 0.999 * SECOND), 365 * DAY, True),
        (replace(REPEATED, registered_at=DECISION.registered_at + SECOND), 365 * DAY, False),
        (replace(REPEATED, registered_at=DECISION.registered_at - SECOND), 365 * DAY, False),
        # without a registration time: settled if it was under way
        (FIRST_EVENT, -60 * MINUTE, True),
        (FIRST_EVENT, 0 * MINUTE, True),
        (FIRST_EVENT, 5 * MINUTE, True),
        (FIRST_EVENT, 5 * MINUTE + MOMENT, False),
        # of another registration: the certificate was deleted and came back
        (OF_ANOTHER_REGISTRATION, 60 * MINUTE, False),
        (OF_ANOTHER_REGISTRATION, 5 * MINUTE, True),
    ],
)
def test_what_a_decision_settles(outcome: Outcome, event: RegistrationEvent, sent: timedelta, *, settled: bool) -> None:
    decision = replace(DECISION, outcome=outcome)
    for now in (NOW, NOW + 365 * DAY):
        assert decision.settles(event, sent_at=NOW + sent, now=now, rules_digest="other rules") is settled


@pytest.mark.parametrize("event", [FIRST_EVENT, REPEATED])
@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(1, 5 * MINUTE), (2, 15 * MINUTE), (3, 60 * MINUTE), (4, DAY), (5, DAY), (1000, DAY)],
)
def test_a_held_device_is_looked_at_again_after_5_15_60_minutes_and_then_daily(
    event: RegistrationEvent, attempts: int, wait: timedelta
) -> None:
    held = replace(HELD, attempts=attempts)
    assert held.next_evaluation == NOW + wait
    for sent_at in (NOW - DAY, NOW, NOW + 2 * DAY):
        assert held.settles(event, sent_at=sent_at, now=NOW + wait - MOMENT, rules_digest="rules")
        assert not held.settles(event, sent_at=sent_at, now=NOW + wait, rules_digest="rules")


@pytest.mark.parametrize(("sent", "settled"), [(-MOMENT, True), (timedelta(0), True), (MOMENT, False)])
def test_what_the_sweep_sent_since_it_was_held_is_evaluated(sent: timedelta, *, settled: bool) -> None:
    arguments = {"sent_at": NOW + sent, "now": NOW + MINUTE, "rules_digest": "rules"}
    assert HELD.settles(REPEATED, **arguments, is_swept=True) is settled  # type: ignore[arg-type]
    assert HELD.settles(REPEATED, **arguments)  # type: ignore[arg-type]


def test_the_hold_of_one_registration_settles_no_event_of_another() -> None:
    assert not HELD.settles(OF_ANOTHER_REGISTRATION, sent_at=NOW, now=NOW, rules_digest="rules")


def test_a_held_device_is_looked_at_at_once_under_other_rules() -> None:
    assert not HELD.settles(REPEATED, sent_at=NOW, now=NOW, rules_digest="other rules")
    assert HELD.is_waiting(NOW, rules_digest="rules")
    assert not HELD.is_waiting(NOW, rules_digest="other rules")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.HELD])
def test_only_what_is_held_has_a_next_look(outcome: Outcome) -> None:
    decision = replace(DECISION, outcome=outcome)
    assert decision.next_evaluation is None
    assert not decision.is_waiting(NOW, rules_digest="rules")


@given(st.timedeltas(timedelta(days=-365), timedelta(days=365)), st.booleans())
def test_the_payloads_own_time_settles_nothing(claimed: timedelta, held: bool) -> None:  # noqa: FBT001 -- drawn
    decision = HELD if held else DECISION
    forged = replace(FIRST_EVENT, published_at=NOW + claimed)
    for sent in (NOW, NOW + 6 * MINUTE):
        arguments = {"sent_at": sent, "now": sent, "rules_digest": "rules"}
        assert decision.settles(forged, **arguments) is decision.settles(FIRST_EVENT, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "repeats"),
    [
        ({}, True),
        ({"decided_at": NOW + DAY}, True),
        ({"rules_digest": "other rules"}, True),
        ({"attempts": 7}, True),
        ({"detail": "in other words"}, True),
        ({"registered_at": NOW}, False),
        ({"outcome": Outcome.ACTIVATED}, False),
        ({"reason": Reason.CA_UNKNOWN}, False),
        ({"thing_name": "other"}, False),
    ],
)
def test_a_decision_repeats_one_that_says_the_same(change: dict[str, object], *, repeats: bool) -> None:
    assert replace(HELD, **change).repeats(HELD) is repeats  # type: ignore[arg-type]


def test_the_first_decision_repeats_nothing() -> None:
    assert not DECISION.repeats(None)


@pytest.mark.parametrize(
    ("record", "taken_away"),
    [
        (Record(), False),
        (Record(decision=DECISION), False),
        (Record(decision=HELD), False),
        (Record(decision=replace(DECISION, outcome=Outcome.REJECTED, status=Status.INACTIVE)), False),
        (Record(decision=replace(DECISION, outcome=Outcome.REJECTED, status=Status.REVOKED)), True),
        (Record(decision=replace(DECISION, outcome=Outcome.FOUND, status=Status.REVOKED)), True),
        (Record(decision=replace(DECISION, outcome=Outcome.FOUND, status=Status.INACTIVE)), True),
        (Record(decision=replace(DECISION, outcome=Outcome.FOUND)), False),
        (Record(decision=replace(DECISION, outcome=Outcome.REPLACED, status=Status.INACTIVE)), False),
        (Record(verdict=said(OperatorAction.REVOKED)), True),
        (Record(verdict=said(OperatorAction.DEACTIVATED)), True),
        (Record(verdict=said(OperatorAction.DENIED)), False),  # it was never a device: is_denied holds it
        (Record(verdict=said(OperatorAction.APPROVED)), False),
        (Record(verdict=said(OperatorAction.RELEASED)), False),
        (Record(decision=DECISION, verdict=said(OperatorAction.DEACTIVATED)), True),
        # a release lifts what it forgets, not what was decided since
        (Record(decision=replace(DECISION, status=Status.REVOKED), verdict=said(OperatorAction.RELEASED)), True),
        (Record(intent=replace(DECISION, status=Status.REVOKED)), False),
    ],
)
def test_a_record_says_whether_the_certificate_was_taken_away(record: Record, *, taken_away: bool) -> None:
    assert record.was_revoked_or_deactivated is taken_away


@pytest.mark.parametrize("status", [Status.INACTIVE, Status.PENDING_ACTIVATION])
def test_a_certificate_that_was_refused_as_taken_away_stays_taken_away(status: Status) -> None:
    refused = replace(DECISION, outcome=Outcome.REJECTED, status=status, reason=Reason.WAS_REVOKED)
    assert Record(decision=refused).was_revoked_or_deactivated


@pytest.mark.parametrize(
    ("word", "denied"),
    [
        (None, False),
        (OperatorAction.APPROVED, False),
        (OperatorAction.RELEASED, False),
        (OperatorAction.DENIED, True),
        (OperatorAction.DEACTIVATED, True),
        (OperatorAction.REVOKED, True),
    ],
)
def test_a_verdict_stands_against_activation_until_a_kinder_one(word: OperatorAction | None, *, denied: bool) -> None:
    assert Record(decision=DECISION, verdict=said(word) if word else None).is_denied is denied


def test_every_word_of_an_operator_is_for_or_against_activation() -> None:
    assert {word for word in OperatorAction if word.allows_activation} == {
        OperatorAction.APPROVED,
        OperatorAction.RELEASED,
    }


@pytest.mark.parametrize(
    ("record", "held"),
    [
        (Record(), False),
        (Record(decision=HELD), True),
        (Record(decision=DECISION), False),
        (Record(intent=HELD), False),
    ],
)
def test_a_record_is_held_when_its_decision_is(record: Record, *, held: bool) -> None:
    assert record.is_held is held


def test_a_record_without_a_decision_settles_nothing() -> None:
    record = Record(intent=DECISION, verdict=said(OperatorAction.APPROVED, NOW - DAY), swept_at=NOW)
    assert not record.settles(REPEATED, sent_at=NOW, now=NOW, rules_digest="rules")


@pytest.mark.parametrize("word", OperatorAction)
@pytest.mark.parametrize("decision", [DECISION, HELD], ids=["decided", "held"])
@pytest.mark.parametrize("ahead", [-DAY, 0 * DAY, DAY], ids=["a clock behind", "the same clock", "a clock ahead"])
@pytest.mark.parametrize(("seen", "settled"), [(3, True), (2, False), (0, False), (None, False)])
def test_a_verdict_that_the_decision_has_not_seen_unsettles_it_whatever_the_clocks_say(
    word: OperatorAction, decision: Decision, ahead: timedelta, seen: int | None, *, settled: bool
) -> None:
    record = Record(decision=replace(decision, verdict_seen=seen), verdict=replace(said(word, NOW + ahead), version=3))
    assert record.settles(REPEATED, sent_at=NOW, now=NOW, rules_digest="rules") is settled
    assert record.has_new_verdict is not settled


def test_a_verdict_of_an_earlier_jitrctl_is_told_from_the_next_one() -> None:
    uncounted = said(OperatorAction.APPROVED)
    counted = replace(uncounted, version=uncounted.number + 1)
    decision = replace(HELD, verdict_seen=uncounted.number)
    assert not Record(decision=decision, verdict=uncounted).has_new_verdict
    assert Record(decision=decision, verdict=counted).has_new_verdict


RELEASE = replace(
    said(OperatorAction.RELEASED), version=2, of_registration=DECISION.registered_at, of_status=Status.INACTIVE
)
BACK = NOW + 60 * MINUTE


@pytest.mark.parametrize(
    ("verdict", "status", "registered_at", "is_news"),
    [
        # what it releases, which is about to be deleted
        (RELEASE, Status.INACTIVE, DECISION.registered_at, False),
        (RELEASE, Status.PENDING_ACTIVATION, DECISION.registered_at, False),
        (replace(RELEASE, of_status=Status.REVOKED), Status.REVOKED, DECISION.registered_at, False),
        # what somebody did to it afterwards
        (RELEASE, Status.REVOKED, DECISION.registered_at, True),
        (RELEASE, Status.ACTIVE, DECISION.registered_at, True),
        # another registration
        (RELEASE, Status.INACTIVE, BACK, True),
        (RELEASE, Status.REVOKED, BACK, True),
        # it was not registered when it was released
        (replace(RELEASE, of_registration=None, of_status=None), Status.INACTIVE, BACK, True),
        # an earlier version of jitrctl did not say what it released
        (said(OperatorAction.RELEASED), Status.INACTIVE, DECISION.registered_at, False),
        (said(OperatorAction.RELEASED), Status.REVOKED, BACK, False),
    ],
)
def test_a_release_explains_the_status_of_the_registration_that_it_ends(
    verdict: OperatorVerdict, status: Status, registered_at: datetime, *, is_news: bool
) -> None:
    found = replace(DECISION, outcome=Outcome.FOUND, status=status, registered_at=registered_at)
    assert Record(verdict=verdict).is_news(found) is is_news


@pytest.mark.parametrize("verdict", [RELEASE, said(OperatorAction.RELEASED)], ids=["counted", "of an earlier jitrctl"])
def test_a_status_found_after_a_later_decision_is_news_under_any_release(verdict: OperatorVerdict) -> None:
    later = replace(DECISION, registered_at=BACK)
    for status in (Status.INACTIVE, Status.REVOKED):
        found = replace(later, outcome=Outcome.FOUND, status=status)
        assert Record(decision=later, verdict=verdict).is_news(found)


@pytest.mark.parametrize(
    ("word", "explained"),
    [
        (OperatorAction.DENIED, {Status.INACTIVE}),
        (OperatorAction.DEACTIVATED, {Status.INACTIVE}),
        (OperatorAction.REVOKED, {Status.INACTIVE, Status.REVOKED}),
        (OperatorAction.APPROVED, set()),
        (OperatorAction.RELEASED, set()),
    ],
)
def test_a_verdict_explains_the_status_that_it_orders(word: OperatorAction, explained: set[Status]) -> None:
    assert {status for status in Status if said(word).explains(status)} == explained


def test_without_an_operator_a_record_settles_what_its_decision_settles() -> None:
    for event, sent_at in [(REPEATED, NOW), (FIRST_EVENT, NOW + DAY), (OF_ANOTHER_REGISTRATION, NOW + DAY)]:
        arguments = {"sent_at": sent_at, "now": sent_at, "rules_digest": "rules"}
        assert Record(decision=DECISION).settles(event, **arguments) is DECISION.settles(event, **arguments)  # type: ignore[arg-type]
