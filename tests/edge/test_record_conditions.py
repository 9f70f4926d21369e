"""What is written on the strength of a record that was read, and must not be once that record is another."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW
from tests.support.cloud import TABLE, Cloud
from tests.support.edge.records import recall
from tests.support.examples import ID, MINUTE, MOST, REJECTION, said

HELD = replace(MOST, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, verdict_seen=None)


def say(cloud: Cloud, word: OperatorAction) -> OperatorVerdict | None:
    """An operator who has read the record gives a verdict."""
    return cloud.registry.give_verdict(ID, said(word), seen=recall(cloud).verdict).verdict


def between_writes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """Let each of these happen right after a write of the registry's whose condition did not hold."""
    left, update = list(acts), cloud.registry._update

    def updated(write: dict[str, object]) -> bool:
        done = update(write)
        if not done and left:
            left.pop(0)()
        return done

    monkeypatch.setattr(cloud.registry, "_update", updated)


def all_due(cloud: Cloud, what: Due) -> list[str]:
    return cloud.registry.list_due(what, NOW + 400 * DAY, most=9)


@pytest.mark.parametrize("decision", [HELD, REJECTION], ids=["held", "rejected"])
def test_a_denial_that_is_lifted_between_two_writes_leaves_no_record_under_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, decision: Decision
) -> None:
    say(cloud, OperatorAction.DENIED)
    between_writes(cloud, monkeypatch, lambda: say(cloud, OperatorAction.APPROVED))
    cloud.registry.record(decision)
    assert recall(cloud).decision == decision
    assert all_due(cloud, Due.DENIED) == []
    assert all_due(cloud, Due.LOOK) == ([ID] if decision is HELD else [])


def test_a_denial_that_comes_before_the_first_write_is_recorded_under(cloud: Cloud) -> None:
    say(cloud, OperatorAction.DENIED)
    cloud.registry.record(HELD)
    assert recall(cloud).decision == HELD
    assert all_due(cloud, Due.DENIED) == [ID]


def sweep_saw(cloud: Cloud) -> Record:
    """The record of a held device, as the sweep read it."""
    cloud.registry.record(HELD)
    return recall(cloud)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda cloud: cloud.registry.record(replace(HELD, decided_at=HELD.decided_at + MINUTE)),
        lambda cloud: cloud.registry.note_sweep(ID, NOW, look_again=NOW + 2 * DAY),
        lambda cloud: say(cloud, OperatorAction.APPROVED),
    ],
    ids=["held again", "sent", "approved"],
)
def test_a_look_that_became_due_since_is_not_cleared(cloud: Cloud, meanwhile: Callable[[Cloud], object]) -> None:
    seen = sweep_saw(cloud)
    meanwhile(cloud)
    cloud.registry.clear_evaluation(ID, seen)
    assert all_due(cloud, Due.LOOK) == [ID]


def test_a_second_approval_is_due_although_both_are_due_since_ever(cloud: Cloud) -> None:
    say(cloud, OperatorAction.APPROVED)
    seen = recall(cloud)
    say(cloud, OperatorAction.APPROVED)
    cloud.registry.clear_evaluation(ID, seen)
    assert all_due(cloud, Due.LOOK) == [ID]


def test_a_look_that_is_due_as_it_was_seen_is_cleared(cloud: Cloud) -> None:
    cloud.registry.clear_evaluation(ID, sweep_saw(cloud))
    assert all_due(cloud, Due.LOOK) == []
    assert recall(cloud) == Record(decision=HELD)


@pytest.mark.parametrize("what", [Due.DENIED, Due.RETIRE])
def test_clearing_a_look_clears_nothing_else(cloud: Cloud, what: Due) -> None:
    seen = replace(Record(), due_at=NOW)
    cloud.dynamodb.put_item(
        TableName=TABLE, Item={"id": {"S": f"certificate#{ID}"}, "due": {"S": what}, "due_at": {"N": "0"}}
    )
    cloud.registry.clear_evaluation(ID, seen)
    assert all_due(cloud, what) == [ID]
