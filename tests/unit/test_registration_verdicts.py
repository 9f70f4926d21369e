"""Verdicts of operators and revocations in the registration of one certificate."""

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason, Rejected
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import OnReject
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.examples import said
from tests.support.unit.registration_world import World


def test_an_operators_verdict_stands_against_the_activation(world: World) -> None:
    decision = world.decide(Record(verdict=said(OperatorAction.DENIED)))
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.OPERATOR_VERDICT)
    assert world.statuses_set == []


@pytest.mark.parametrize("word", [OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_a_certificate_that_an_operator_took_away_and_comes_back_is_refused_for_good(
    world: World, word: OperatorAction
) -> None:
    decision = world.decide(Record(verdict=said(word, NOW - 9 * DAY)))
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.WAS_REVOKED)
    assert world.statuses_set == [Status.INACTIVE]


def test_a_certificate_that_somebody_deactivated_by_hand_and_comes_back_is_refused_for_good(world: World) -> None:
    found = world.recorded(
        outcome=Outcome.FOUND, status=Status.INACTIVE, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY
    )
    assert world.decide(Record(decision=found)).reason is Reason.WAS_REVOKED


def test_a_certificate_that_we_deactivated_and_that_comes_back_is_judged_anew(world: World) -> None:
    rejected = world.recorded(
        outcome=Outcome.REJECTED,
        status=Status.INACTIVE,
        reason=Reason.COMMON_NAME_REFUSED,
        registered_at=NOW - 9 * DAY,
        decided_at=NOW - 8 * DAY,
    )
    assert world.decide(Record(decision=rejected)).outcome is Outcome.ACTIVATED


@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_held_device_is_looked_at_at_once_after_an_operators_word(world: World, word: OperatorAction) -> None:
    held = world.recorded(outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, reason=Reason.OPERATOR_VERDICT)
    world.now += SECOND
    assert world.decide(Record(decision=held, verdict=said(word, world.now))).outcome is Outcome.ACTIVATED


def test_an_operators_verdict_that_comes_while_we_work_stands_against_the_activation(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.OPERATOR_VERDICT, "denied")
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.OPERATOR_VERDICT)
    assert world.statuses_set == []


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FOUND])
def test_a_certificate_that_was_revoked_and_comes_back_is_refused_for_good(world: World, outcome: Outcome) -> None:
    revoked = world.recorded(
        outcome=outcome, status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY
    )
    decision = world.decide(Record(decision=revoked))
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.WAS_REVOKED)
    assert world.statuses_set == [Status.INACTIVE]


def test_a_certificate_that_was_revoked_and_comes_back_under_a_ca_without_rules_is_left(world: World) -> None:
    event, revoked = (
        world.event,
        world.recorded(status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - DAY),
    )
    world.application = world.application.with_device(ca_certificate_id="f" * 64)
    decision = world.decide(Record(decision=revoked), event)
    assert (decision.outcome, decision.reason, decision.status) == (
        Outcome.REJECTED,
        Reason.WAS_REVOKED,
        Status.PENDING_ACTIVATION,
    )
    assert world.statuses_set == []


@pytest.mark.parametrize("on_reject", OnReject)
def test_a_certificate_that_was_revoked_is_refused_however_often_it_comes_back(
    world: World, on_reject: OnReject
) -> None:
    world.application = world.application.with_rules(on_reject=on_reject)
    known = world.recorded(status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY)
    for days in range(1, 4):
        world.now = NOW + days * DAY
        world.application = world.application.with_device(created_at=world.now)
        known = world.decide(Record(decision=known))
        assert known.reason is Reason.WAS_REVOKED
