"""Enrollment items: nothing is lost on the way, and what cannot be understood lets nobody in."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.admission.enrollment import Enrollment, Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.store.enrollment_items import SCHEMA, entry_key, from_entry, to_entry, to_subject
from tests.support.cases.issuing import NOW, applying
from tests.support.examples import ANN, ID

THING, CERTIFICATE = Subject(SubjectKind.THING, "sensor:0001"), Subject(SubjectKind.CERTIFICATE, ID)

words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
ENTRIES = st.builds(
    Entry,
    subject=st.sampled_from((THING, CERTIFICATE)),
    rule=st.sampled_from(EntryRule),
    accounts=st.lists(words, max_size=3).map(tuple),
    additions=st.builds(
        Additions,
        thing_type=st.none() | words,
        thing_groups=st.lists(words, max_size=3).map(tuple),
        attributes=st.dictionaries(words, words, max_size=3),
    ),
    may_follow=st.booleans(),
    by=st.text(max_size=20),
    at=st.none() | st.integers(0, 4_000_000_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC)),
    note=st.text(max_size=20),
)


@given(ENTRIES)
def test_an_entry_survives_its_item(entry: Entry) -> None:
    assert to_entry(from_entry(entry)) == entry


@given(ENTRIES, ENTRIES)
def test_who_was_replaced_is_kept_and_changes_nothing(entry: Entry, replaced: Entry) -> None:
    item = from_entry(entry, replaced=replaced)
    assert item["replaced"]["rule"] == replaced.rule
    assert item["replaced"].get("by", "") == replaced.by
    assert to_entry(item) == entry


def test_an_item_is_what_its_docstring_says() -> None:
    entry = Entry(subject=CERTIFICATE, rule=EntryRule.DENY, by=ANN, at=NOW, note="stolen")
    assert from_entry(entry) == {
        "id": f"certificate#{ID}",
        "schema": SCHEMA,
        "rule": "deny",
        "by": ANN,
        "at": 1793534400000,
        "note": "stolen",
    }


@pytest.mark.parametrize("subject", [THING, CERTIFICATE])
def test_a_subject_is_found_by_its_key(subject: Subject) -> None:
    assert to_subject(entry_key(subject)) == subject


@pytest.mark.parametrize("other", ["version", "group#a", "#", ""])
def test_other_items_are_no_entries(other: str) -> None:
    assert to_subject(other) is None
    with pytest.raises(ValueError, match="no enrollment entry"):
        to_entry({"id": other, "rule": "allow"})


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "quarantine"},
        {"rule": None},
        {"rule": 1},
        {"accounts": "111111111111"},
        {"accounts": [Decimal(111111111111)]},
        {"attributes": ["site"]},
        {"attributes": {"site": Decimal(1)}},
        {"thing_groups": "beta"},
        {"thing_type": ["meter"]},
        {"may_follow": "yes"},
    ],
)
def test_what_cannot_be_understood_holds_the_device_and_says_so(changes: dict[str, Any]) -> None:
    entry = to_entry({"id": "thing#sensor-0001", "schema": Decimal(1), "rule": "allow", "by": ANN} | changes)
    assert entry.by == ANN
    with pytest.raises(Rejected) as refusal:
        Enrollment(entries=(entry,)).refuse_unlisted(applying().ca_rules)
    assert refusal.value.reason is Reason.ENTRY_UNUSABLE
    assert refusal.value.detail.isascii()


@pytest.mark.parametrize("at", ["2026-11-01T12:00:00Z", Decimal("NaN"), Decimal("1e300"), [1], True, None])
def test_a_time_that_cannot_be_read_takes_nothing_from_what_the_entry_says(at: Any) -> None:
    entry = to_entry({"id": "thing#sensor-0001", "rule": "deny", "at": at, "by": ["x"], "note": Decimal(1)})
    assert (entry.rule, entry.problem) == (EntryRule.DENY, None)


def test_an_item_without_a_rule_holds_the_device() -> None:
    assert to_entry({"id": "thing#sensor-0001"}).problem


def test_attributes_of_a_later_version_are_ignored_and_sets_are_lists() -> None:
    entry = to_entry({"id": "thing#a", "rule": "allow", "accounts": {"2", "1"}, "colour": "red"})
    assert entry == Entry(subject=Subject(SubjectKind.THING, "a"), rule=EntryRule.ALLOW, accounts=("1", "2"))
