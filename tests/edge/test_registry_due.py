"""What is due in the registry, and what verdicts and observed statuses change about it."""

from dataclasses import replace

import pytest

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import NOW, SECOND
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.records import deny, due_ids, first_verdict, recall
from tests.support.examples import ACTIVATION, HOUR, ID, LEAST, MILLISECOND, MINUTE, MOST, REJECTION, said

HELD_AGAIN = replace(MOST, attempts=1)


def test_a_held_device_is_due_at_its_next_look(cloud: Cloud) -> None:
    cloud.registry.record(HELD_AGAIN)
    assert HELD_AGAIN.next_evaluation == NOW + 5 * MINUTE + 285 * MILLISECOND
    assert due_ids(cloud, Due.LOOK, HELD_AGAIN.next_evaluation - MILLISECOND) == []
    assert due_ids(cloud, Due.LOOK, HELD_AGAIN.next_evaluation) == [ID]
    assert due_ids(cloud, Due.RETIRE) == due_ids(cloud, Due.DENIED) == []


@pytest.mark.parametrize("decision", [REJECTION, replace(ACTIVATION, outcome=Outcome.REPLACED)])
def test_what_is_ended_is_not_due_any_more(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(MOST)
    cloud.registry.record(decision)
    assert due_ids(cloud, Due.LOOK) == []
    assert "due_at" not in cloud.items()[f"certificate#{ID}"]


@pytest.mark.parametrize("what", [Due.LOOK, Due.RETIRE])
def test_whatever_was_due_a_verdict_that_stands_is_in_the_index_after_a_decision(cloud: Cloud, what: Due) -> None:
    deny(cloud)
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET due = :due",
        ExpressionAttributeValues={":due": {"S": what.value}},
    )
    cloud.registry.record(replace(ACTIVATION, outcome=Outcome.REPLACED, status=Status.INACTIVE))
    assert (due_ids(cloud, what), due_ids(cloud, Due.DENIED)) == ([], [ID])


def test_what_an_operator_holds_is_looked_at_when_an_operator_speaks_and_not_before(cloud: Cloud) -> None:
    held = replace(MOST, reason=Reason.OPERATOR_VERDICT)
    deny(cloud)
    cloud.registry.record(held)
    assert due_ids(cloud, Due.LOOK) == []
    assert due_ids(cloud, Due.DENIED) == [ID]
    deny(cloud, word=OperatorAction.RELEASED)
    assert due_ids(cloud, Due.LOOK, NOW) == [ID]
    assert due_ids(cloud, Due.DENIED) == []


@pytest.mark.parametrize("word", OperatorAction)
def test_a_verdict_says_what_is_due(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert due_ids(cloud, Due.LOOK, NOW) == ([ID] if word.allows_activation else [])
    assert due_ids(cloud, Due.DENIED, NOW) == ([] if word.allows_activation else [ID])


@pytest.mark.parametrize(
    "decision",
    [
        replace(LEAST, status=Status.INACTIVE),
        replace(REJECTION, reason=Reason.WAS_REVOKED),
        replace(ACTIVATION, outcome=Outcome.REPLACED, status=Status.INACTIVE),
    ],
    ids=["found", "was revoked", "replaced"],
)
def test_a_verdict_stays_in_the_index_whatever_is_recorded_after_it(cloud: Cloud, decision: Decision) -> None:
    deny(cloud, word=OperatorAction.DEACTIVATED)
    cloud.registry.record(decision, seen=recall(cloud))
    assert due_ids(cloud, Due.DENIED) == [ID]


def test_what_is_due_comes_longest_overdue_first_and_no_more_than_asked_for(cloud: Cloud) -> None:
    for number in (3, 1, 4, 0, 2):
        cloud.registry.record(replace(HELD_AGAIN, certificate_id=f"{number}", decided_at=NOW + number * SECOND))
    assert due_ids(cloud, Due.LOOK) == ["0", "1", "2", "3", "4"]
    assert due_ids(cloud, Due.LOOK, most=2) == ["0", "1"]


def test_what_is_due_is_read_to_the_end_over_many_pages(cloud: Cloud, wire: Wire) -> None:
    key = {"id": {"S": "x"}, "due": {"S": "denied"}, "due_at": {"N": "1"}}
    wire.answer(
        "Query",
        {"Items": [{"id": {"S": "certificate#a"}}], "LastEvaluatedKey": key},
        {"Items": [], "LastEvaluatedKey": key},
        {"Items": [{"id": {"S": "certificate#b"}}]},
    )
    wire.forget()
    assert due_ids(cloud, Due.DENIED) == ["a", "b"]
    assert [one.get("ExclusiveStartKey") for one in wire.of("Query")] == [None, key, key]


def test_what_is_due_is_found_by_index_and_never_by_a_scan(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    due_ids(cloud, Due.LOOK)
    ((_, operation, parameters),) = wire.calls
    assert (operation, parameters["IndexName"]) == ("Query", "due")


def test_what_was_sent_is_due_later(cloud: Cloud) -> None:
    cloud.registry.record(HELD_AGAIN)
    cloud.registry.note_sweep(ID, NOW, look_again=NOW + HOUR)
    assert due_ids(cloud, Due.LOOK, NOW + HOUR - MILLISECOND) == []
    assert due_ids(cloud, Due.LOOK, NOW + HOUR) == [ID]
    assert recall(cloud) == Record(decision=HELD_AGAIN, swept_at=NOW)


def test_no_look_due_with_what_is_not_known_is_no_item(cloud: Cloud) -> None:
    cloud.registry.clear_evaluation(ID, Record(due_at=NOW))
    assert cloud.items() == {}


def test_a_verdict_returns_the_record_as_it_stood_and_keeps_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(REJECTION, Record(decision=MOST), run="run")
    before = cloud.registry.give_verdict(ID, said(OperatorAction.REVOKED, note="stolen"), seen=None)
    assert before == Record(
        decision=MOST, intent=REJECTION, verdict=first_verdict(OperatorAction.REVOKED, note="stolen")
    )
    assert recall(cloud) == before


def test_a_verdict_on_what_is_not_known_returns_an_empty_record(cloud: Cloud) -> None:
    record = cloud.registry.give_verdict(ID, said(OperatorAction.DENIED), seen=None)
    assert record == Record(verdict=first_verdict(OperatorAction.DENIED))


def test_a_verdict_can_make_a_certificate_as_good_as_new(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(REJECTION, Record(decision=MOST), run="run")
    cloud.registry.note_sweep(ID, NOW)
    cloud.registry.give_verdict(ID, said(OperatorAction.RELEASED), seen=None, forget_decision=True)
    assert recall(cloud) == Record(verdict=first_verdict(OperatorAction.RELEASED))


@pytest.mark.parametrize("earlier", [None, MOST], ids=["nothing", "held"])
def test_what_was_found_is_recorded_over_nothing_and_over_a_hold(cloud: Cloud, earlier: Decision | None) -> None:
    if earlier:
        cloud.registry.record(earlier)
    cloud.registry.record(LEAST, seen=recall(cloud))
    assert recall(cloud) == Record(decision=LEAST)


def test_what_was_found_replaces_the_intent_that_was_seen(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    cloud.registry.record(LEAST, seen=recall(cloud))
    assert recall(cloud) == Record(decision=LEAST)


def test_what_was_found_never_replaces_an_intent_that_came_meanwhile(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    seen = recall(cloud)
    cloud.registry.intend(replace(ACTIVATION, decided_at=NOW + SECOND), seen, run="run")
    cloud.registry.record(LEAST, seen=seen)
    assert recall(cloud).decision is None
