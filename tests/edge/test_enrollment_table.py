"""The enrollment table: read in one call, written only over what was seen, and every change announced by a version."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind, digest
from jitr.admission.overrides import Additions
from jitr.errors import Unavailable
from jitr.record import Standing
from jitr.store.enrollment_table import EnrollmentTable, EntryChange, EntryChanged, subjects_of
from tests.support.cases.issuing import NOW
from tests.support.cloud import TABLE, Cloud
from tests.support.edge.claims import claim
from tests.support.edge.deployed import ENROLLMENT
from tests.support.edge.records import deny
from tests.support.examples import ANN, ID, OTHER_ID, OWNER

THING, CERTIFICATE = Subject(SubjectKind.THING, "sensor-0001"), Subject(SubjectKind.CERTIFICATE, ID)
ALLOWED = Entry(
    subject=THING,
    rule=EntryRule.ALLOW,
    accounts=("111111111111",),
    additions=Additions(thing_type="meter", thing_groups=("beta",), attributes={"site": "Ulm"}),
    may_follow=True,
    by=ANN,
    at=NOW,
    note="batch 7",
)
DENIED = Entry(subject=CERTIFICATE, rule=EntryRule.DENY, by=ANN, at=NOW)


@pytest.fixture
def table(cloud: Cloud) -> EnrollmentTable:
    return cloud.enrollment


def write(table: EnrollmentTable, *changes: tuple[Entry, Entry | None]) -> None:
    table.change([EntryChange(entry=entry, replaces=replaces) for entry, replaces in changes], by=ANN, at=NOW)


def test_what_is_written_is_read(table: EnrollmentTable) -> None:
    write(table, (ALLOWED, None), (DENIED, None))
    assert table.entries([THING, CERTIFICATE, THING]) == {THING: ALLOWED, CERTIFICATE: DENIED}
    assert {entry.subject: entry for entry in table.scan_entries()} == {THING: ALLOWED, CERTIFICATE: DENIED}
    assert table.digest() == digest([DENIED, ALLOWED])


def test_a_devices_entries_take_one_consistent_call(cloud: Cloud) -> None:
    cloud.wire.forget()
    assert cloud.enrollment.entries(subjects_of(ID, "sensor-0001", "twin")) == {}
    assert cloud.wire.operations("dynamodb") == ["BatchGetItem"]
    (request,) = cloud.wire.of("BatchGetItem")[0]["RequestItems"].values()
    assert request["ConsistentRead"]
    assert [key["id"]["S"] for key in request["Keys"]] == [f"certificate#{ID}", "certificate#twin", "thing#sensor-0001"]


def read_both(cloud: Cloud) -> tuple[dict[Subject, Entry], Standing]:
    """What decides on a device that asks for the first sensor's name."""
    subjects = subjects_of(ID, "sensor-0001", OTHER_ID)
    return cloud.enrollment.entries_and_standing(subjects, cloud.registry, "sensor-0001", OTHER_ID)


def test_entries_and_standing_take_one_consistent_call_of_both_tables(cloud: Cloud) -> None:
    write(cloud.enrollment, (ALLOWED, None))
    claim(cloud.registry)
    deny(cloud, OTHER_ID)
    cloud.wire.forget()
    entries, standing = read_both(cloud)
    assert entries == {THING: ALLOWED}
    assert (standing.owner, standing.twin.is_denied) == (OWNER, True)
    (asked,) = (one["RequestItems"] for one in cloud.wire.of("BatchGetItem"))
    assert {table: one["ConsistentRead"] for table, one in asked.items()} == {ENROLLMENT: True, TABLE: True}
    assert cloud.registry.recall_standing("sensor-0001", OTHER_ID) == standing


def test_where_nothing_is_known_of_a_device_both_tables_say_so(cloud: Cloud) -> None:
    assert read_both(cloud) == ({}, Standing())


@pytest.mark.parametrize("throttled", [ENROLLMENT, TABLE])
def test_of_two_tables_a_throttled_one_is_asked_again_alone_and_loses_nothing(cloud: Cloud, throttled: str) -> None:
    write(cloud.enrollment, (ALLOWED, None))
    claim(cloud.registry)
    cloud.wire.forget()
    whole = read_both(cloud)
    (asked,) = (one["RequestItems"] for one in cloud.wire.of("BatchGetItem"))
    answered = cloud.dynamodb.batch_get_item(RequestItems={one: asked[one] for one in asked if one != throttled})
    cloud.wire.answer(
        "BatchGetItem", {"Responses": answered["Responses"], "UnprocessedKeys": {throttled: asked[throttled]}}
    )
    cloud.wire.forget()
    assert read_both(cloud) == whole
    both, alone = (one["RequestItems"] for one in cloud.wire.of("BatchGetItem"))
    assert [*both] == [ENROLLMENT, TABLE]
    assert alone == {throttled: both[throttled]}, "as consistently as before"


@pytest.mark.parametrize("throttled", [ENROLLMENT, TABLE])
def test_a_table_that_stays_throttled_is_unavailable_and_named(cloud: Cloud, throttled: str) -> None:
    left = {throttled: {"Keys": [{"id": {"S": "thing#sensor-0001"}}], "ConsistentRead": True}}
    cloud.wire.answer("BatchGetItem", *[{"Responses": {}, "UnprocessedKeys": left}] * 20)
    with pytest.raises(Unavailable, match=f"UnprocessedKeys of {throttled}$"):
        read_both(cloud)


def test_a_certificate_that_makes_no_name_has_one_subject() -> None:
    assert subjects_of(ID, None) == (CERTIFICATE,)


def test_more_than_a_hundred_subjects_take_more_calls(cloud: Cloud) -> None:
    cloud.wire.forget()
    cloud.enrollment.entries(Subject(SubjectKind.THING, str(number)) for number in range(201))
    assert cloud.wire.operations("dynamodb") == ["BatchGetItem"] * 3


def test_an_empty_list_has_no_version_and_every_change_gives_it_one(table: EnrollmentTable) -> None:
    assert table.version() is None
    assert list(table.scan_entries()) == []
    versions = []
    for changes in ([(ALLOWED, None)], [], []):
        write(table, *changes)
        versions.append(table.version())
    assert len({None, *versions}) == 4
    assert len(list(table.scan_entries())) == 1


@pytest.mark.parametrize(
    "seen",
    [None, replace(ALLOWED, at=NOW - timedelta(seconds=1)), replace(ALLOWED, rule=EntryRule.DENY, at=None)],
    ids=repr,
)
def test_an_entry_that_is_not_what_was_seen_is_not_written_nor_anything_beside_it(
    table: EnrollmentTable, seen: Entry | None
) -> None:
    write(table, (ALLOWED, None))
    version = table.version()
    later = replace(ALLOWED, rule=EntryRule.DENY, at=NOW + timedelta(seconds=1))
    with pytest.raises(EntryChanged):
        write(table, (later, seen), (DENIED, None))
    assert table.entries([THING, CERTIFICATE]) == {THING: ALLOWED}
    assert table.version() == version
    write(table, (later, ALLOWED))
    assert table.entries([THING]) == {THING: later}


def test_an_entry_that_somebody_wrote_by_hand_can_be_replaced(cloud: Cloud) -> None:
    cloud.dynamodb.put_item(TableName=ENROLLMENT, Item={"id": {"S": "thing#sensor-0001"}, "rule": {"S": "deny"}})
    (seen,) = cloud.enrollment.entries([THING]).values()
    assert (seen.rule, seen.at, seen.by) == (EntryRule.DENY, None, "")
    write(cloud.enrollment, (ALLOWED, seen))
    assert cloud.enrollment.entries([THING]) == {THING: ALLOWED}


def test_ninety_nine_entries_are_one_transaction(cloud: Cloud) -> None:
    cloud.wire.forget()
    many = [(replace(ALLOWED, subject=Subject(SubjectKind.THING, f"sensor-{number:04}")), None) for number in range(99)]
    write(cloud.enrollment, *many)
    assert cloud.wire.operations("dynamodb") == ["TransactWriteItems"]
    assert len(list(cloud.enrollment.scan_entries())) == 99


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("BatchGetItem", lambda table: table.entries([CERTIFICATE])),
        ("GetItem", lambda table: table.version()),
        ("Scan", lambda table: list(table.scan_entries())),
        ("TransactWriteItems", lambda table: write(table, (ALLOWED, None))),
    ],
)
def test_a_table_that_does_not_answer_is_unavailable(
    cloud: Cloud, operation: str, ask: Callable[[EnrollmentTable], object]
) -> None:
    cloud.wire.fail(operation, "ThrottlingException")
    with pytest.raises(Unavailable, match=operation):
        ask(cloud.enrollment)


def test_two_orders_at_the_same_moment_are_no_answer_about_an_entry(cloud: Cloud) -> None:
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    cloud.wire.fail("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    with pytest.raises(Unavailable, match="TransactionConflict"):
        write(cloud.enrollment, (ALLOWED, None))


def test_a_list_of_several_pages_is_read_to_its_end(cloud: Cloud) -> None:
    page = {"Items": [], "LastEvaluatedKey": {"id": {"S": "thing#a"}}}
    write(cloud.enrollment, (ALLOWED, None))
    cloud.wire.answer("Scan", page, page)
    assert list(cloud.enrollment.scan_entries()) == [ALLOWED]
    assert [call.get("ExclusiveStartKey") for call in cloud.wire.of("Scan")] == [None, *[page["LastEvaluatedKey"]] * 2]
