"""Items: what is written is read back, and what another version wrote is read without an exception."""

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from jitr.decisions import Decision
from jitr.errors import Reason
from jitr.owners import Owner
from jitr.record import Record
from jitr.store.registry_items import (
    certificate_key,
    from_decision,
    from_owner,
    from_verdict,
    milliseconds,
    moment,
    thing_key,
    to_decision,
    to_owner,
    to_record,
)
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import NOW
from tests.support.examples import ACTIVATION, ANN, ID, LEAST, MOST, OWNER, said
from tests.support.strategies import decisions, moments, owners, texts, verdicts


def through_the_table(plain: dict[str, Any]) -> dict[str, Any]:
    """As DynamoDB gives it back."""
    stored = TypeSerializer().serialize(plain)
    return TypeDeserializer().deserialize(stored)  # type: ignore[no-any-return]


@given(decisions)
def test_any_decision_survives_the_tables_types(decision: Decision) -> None:
    assert to_decision(through_the_table(from_decision(decision))) == decision


@given(owners)
def test_any_owner_survives_the_tables_types(owner: Owner) -> None:
    assert to_owner(through_the_table(from_owner(owner))) == owner


@given(st.none() | decisions, st.none() | decisions, st.none() | verdicts, texts, st.none() | moments)
def test_any_record_survives_the_tables_types(
    decision: Decision | None,
    intent: Decision | None,
    verdict: OperatorVerdict | None,
    replaced_by: str | None,
    swept_at: datetime | None,
) -> None:
    record = Record(decision=decision, intent=intent, verdict=verdict, replaced_by=replaced_by, swept_at=swept_at)
    item = {
        "decision": from_decision(decision) if decision else None,
        "intent": from_decision(intent) if intent else None,
        "verdict": from_verdict(verdict) if verdict else None,
        "replaced_by": replaced_by,
        "swept_at": milliseconds(swept_at) if swept_at else None,
    }
    known = {name: value for name, value in item.items() if value is not None}
    assert to_record(through_the_table({"id": "certificate#x", "schema": 1, **known})) == record


@pytest.mark.parametrize("decision", [LEAST, MOST, ACTIVATION], ids=["least", "most", "activation"])
def test_what_is_none_is_left_out_of_an_item(decision: Decision) -> None:
    assert None not in from_decision(decision).values()


# For those who read items otherwise; the reason says it here.
_DERIVED = {"rests_on"}
# Fields with another name in the table.
_STORED_AS = {"requested_name": "asks_for"}


def test_a_record_says_what_its_reason_rests_on_and_is_read_without_it() -> None:
    item = from_decision(replace(MOST, reason=Reason.COMMON_NAME_REFUSED))
    assert item["rests_on"] == "rules"
    assert to_decision(item) == to_decision({**item, "rests_on": "what a later version says"})
    del item["rests_on"]
    assert to_decision(item) == replace(MOST, reason=Reason.COMMON_NAME_REFUSED)
    assert "rests_on" not in from_decision(LEAST)


def test_a_decisions_item_has_every_field_that_a_decision_has() -> None:
    stored = {_STORED_AS.get(one.name, one.name) for one in fields(Decision)}
    assert set(from_decision(MOST)) == stored | _DERIVED


def test_nothing_is_a_record_too() -> None:
    assert to_record({}) == Record()


def test_keys_do_not_meet() -> None:
    assert certificate_key("x") != thing_key("x")


@given(st.integers(0, 4_102_444_800_000))
def test_times_are_whole_milliseconds_of_the_epoch(number: int) -> None:
    assert milliseconds(moment(number)) == number
    assert milliseconds(moment(number).astimezone(timezone(timedelta(hours=5)))) == number


@pytest.mark.parametrize(
    "name",
    [
        "certificate_id",
        "outcome",
        "status",
        "registered_at",
        "decided_at",
        "rules_digest",
    ],
)
@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_without_what_a_decision_must_have_there_is_none(decision: Decision, name: str) -> None:
    item = from_decision(decision)
    del item[name]
    assert to_decision(item) is None
    assert to_record({"decision": item, "intent": item}) == Record()


@pytest.mark.parametrize(
    "name",
    sorted(
        set(from_decision(MOST)) - {one.name for one in fields(Decision) if one.name in from_decision(LEAST)} - _DERIVED
    ),
)
def test_what_a_decision_can_have_may_be_missing(name: str) -> None:
    item = from_decision(MOST)
    del item[name]
    field = next(one for one in fields(Decision) if _STORED_AS.get(one.name, one.name) == name)
    changes: dict[str, Any] = {field.name: field.default}
    assert to_decision(item) == replace(MOST, **changes)


def test_a_decision_without_attempts_is_the_first() -> None:
    item = from_decision(LEAST)
    del item["attempts"]
    assert to_decision(item) == LEAST


@pytest.mark.parametrize(
    "broken", [{"outcome": "newer"}, {"status": "NEWER"}, {"decided_at": "soon"}, {"attempts": {}}]
)
def test_a_decision_in_words_of_a_newer_version_is_none_so_the_certificate_is_looked_at_again(
    broken: dict[str, Any],
) -> None:
    assert to_decision(from_decision(MOST) | broken) is None


def test_what_a_newer_version_adds_is_not_known_and_the_rest_is() -> None:
    item = from_decision(MOST) | {"newer": {"of": ["any", "kind"]}}
    assert to_decision(item) == MOST
    assert to_owner(from_owner(OWNER) | {"newer": 1, "schema": 2, "id": "thing#x"}) == OWNER
    verdict = from_verdict(said(OperatorAction.DENIED)) | {"newer": 1}
    assert to_record({"decision": item, "verdict": verdict, "newer": 1, "schema": 2}) == Record(
        decision=MOST, verdict=said(OperatorAction.DENIED)
    )


def test_a_reason_of_a_newer_version_is_not_known_and_the_decision_is() -> None:
    item = from_decision(MOST) | {"reason": "NEWER", "would_reject": ["NEWER", "EXPIRED"]}
    assert to_decision(item) == replace(MOST, reason=None, would_reject=(Reason.EXPIRED,))


@pytest.mark.parametrize("word", ["quarantined", "", "DENIED"])
def test_an_operators_word_of_a_newer_version_stands_against_activation(word: str) -> None:
    record = to_record({"verdict": {"word": word, "by": ANN, "at": milliseconds(NOW), "note": "because"}})
    assert record.is_denied
    assert record.verdict == said(OperatorAction.DENIED, note="because")


def test_a_verdict_without_who_and_why_is_a_verdict() -> None:
    record = to_record({"verdict": {"word": "approved", "at": milliseconds(NOW)}})
    assert record.verdict == OperatorVerdict(action=OperatorAction.APPROVED, by="", at=NOW)


def test_an_owner_without_a_serial_is_an_owner() -> None:
    item = from_owner(OWNER)
    del item["serial"]
    assert to_owner(item) == replace(OWNER, serial="")


def test_an_item_says_nothing_but_strings_numbers_and_lists() -> None:
    assert {type(value) for value in from_decision(MOST).values()} == {str, int, list}
    assert from_decision(LEAST) == {
        "certificate_id": ID,
        "outcome": "found",
        "status": "ACTIVE",
        "registered_at": 1793534400000,
        "decided_at": 1793534400285,
        "rules_digest": "0123456789abcdef",
        "attempts": 1,
    }
