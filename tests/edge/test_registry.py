"""The registry: what is written, what is read back, and which writes must not win."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from jitr.decisions import Decision, Outcome, Record
from jitr.errors import Reason, Rejected, Unavailable
from jitr.registrations import Status
from jitr.registry import SCHEMA, _deserialize, _from_item, _serialize, _to_item
from tests.cases.issuing import NOW
from tests.edge.cloud import TABLE, Cloud, Wire

ID = "ab" * 32
OTHER_ID = "cd" * 32
MILLISECOND = timedelta(milliseconds=1)

LEAST = Decision(
    certificate_id=ID,
    outcome=Outcome.FOUND,
    status=Status.ACTIVE,
    registered_at=NOW,
    decided_at=NOW + 285 * MILLISECOND,
    rules_digest="0123456789abcdef",
)
MOST = Decision(
    certificate_id=ID,
    outcome=Outcome.HELD,
    status=Status.PENDING_ACTIVATION,
    registered_at=NOW,
    decided_at=NOW + 285 * MILLISECOND,
    rules_digest="0123456789abcdef",
    ca_certificate_id=OTHER_ID,
    ca="factory",
    thing_name="sensor-0001",
    reason=Reason.THING_TAKEN,
    detail="thing sensor-0001 is another's",
    would_reject=(Reason.EXPIRED, Reason.KEY_TYPE_REFUSED),
    serial="0a1b",
    issuer="CN=Äcme",
    subject="CN=sensor-0001",
    attempts=3,
)
ACTIVATION = replace(MOST, outcome=Outcome.ACTIVATED, status=Status.ACTIVE, reason=None, detail=None)

moments = st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
texts = st.none() | st.text()
decisions = st.builds(
    Decision,
    certificate_id=st.text(),
    outcome=st.sampled_from(Outcome),
    status=st.sampled_from(Status),
    registered_at=moments,
    decided_at=moments,
    rules_digest=st.text(),
    ca_certificate_id=texts,
    ca=texts,
    thing_name=texts,
    reason=st.none() | st.sampled_from(Reason),
    detail=texts,
    would_reject=st.lists(st.sampled_from(Reason)).map(tuple),
    serial=texts,
    issuer=texts,
    subject=texts,
    attempts=st.integers(1, 10**6),
)


def recalled(cloud: Cloud, certificate_id: str = ID) -> Record:
    return cloud.registry.recall([certificate_id])[certificate_id]


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_a_decision_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(decision)
    assert recalled(cloud) == Record(decision=decision)


@given(decisions)
def test_any_decision_survives_the_tables_types(decision: Decision) -> None:
    assert _from_item(_deserialize(_serialize(_to_item(decision)))) == decision


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_an_intent_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.intend(decision)
    assert recalled(cloud) == Record(intent=decision)


def test_a_decision_takes_the_place_of_its_intent(cloud: Cloud) -> None:
    cloud.registry.intend(MOST)
    cloud.registry.record(MOST)
    assert recalled(cloud) == Record(decision=MOST)


def test_an_intent_leaves_the_decision_before_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(replace(MOST, outcome=Outcome.REJECTED))
    assert recalled(cloud) == Record(decision=MOST, intent=replace(MOST, outcome=Outcome.REJECTED))


@pytest.mark.parametrize("decision", [MOST, ACTIVATION, replace(MOST, outcome=Outcome.REJECTED)])
def test_a_decision_replaces_the_one_before_it(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(LEAST)
    cloud.registry.record(MOST)
    cloud.registry.record(decision)
    assert recalled(cloud).decision == decision


def test_what_was_found_never_replaces_a_decision(cloud: Cloud) -> None:
    cloud.registry.record(ACTIVATION)
    cloud.registry.record(LEAST)
    assert recalled(cloud) == Record(decision=ACTIVATION)


def test_what_was_found_never_replaces_an_intent(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION)
    cloud.registry.record(LEAST)
    assert recalled(cloud) == Record(intent=ACTIVATION)


def test_an_operators_verdict_outlives_decisions_and_sweeps(cloud: Cloud) -> None:
    deny(cloud)
    cloud.registry.intend(MOST)
    cloud.registry.record(MOST)
    cloud.registry.note_sweep(ID, NOW)
    assert recalled(cloud) == Record(decision=MOST, denied_by="operator", swept_at=NOW)


def test_a_verdict_alone_is_a_record(cloud: Cloud) -> None:
    deny(cloud)
    assert recalled(cloud) == Record(denied_by="operator")


def test_a_sweep_is_noted_to_the_millisecond(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.note_sweep(ID, NOW + 7 * MILLISECOND)
    assert recalled(cloud) == Record(decision=MOST, swept_at=NOW + 7 * MILLISECOND)


def test_every_item_carries_the_schema_version(cloud: Cloud) -> None:
    cloud.registry.record(replace(MOST, certificate_id="record"))
    cloud.registry.intend(replace(MOST, certificate_id="intend"))
    cloud.registry.note_sweep("sweep", NOW)
    cloud.registry.claim(replace(ACTIVATION, certificate_id="claim"))
    items = cloud.items()
    assert set(items) == {
        "certificate#record",
        "certificate#intend",
        "certificate#sweep",
        "certificate#claim",
        "thing#sensor-0001",
    }
    assert {item["schema"]["N"] for item in items.values()} == {str(SCHEMA)}


def test_no_item_holds_a_certificate_or_a_key(cloud: Cloud) -> None:
    device = cloud.knock()
    cloud.batch(cloud.record(cloud.event(device)))
    assert "BEGIN" not in str(cloud.items())


def test_an_item_with_fields_of_a_newer_version_can_be_read(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET newer = :newer, decision.newer = :newer, #schema = :newer",
        ExpressionAttributeNames={"#schema": "schema"},
        ExpressionAttributeValues={":newer": {"N": "2"}},
    )
    assert recalled(cloud) == Record(decision=MOST)


def rewrite(cloud: Cloud, field: str, value: dict[str, Any]) -> None:
    """Let a newer version have written one field of a decision."""
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET decision.#field = :newer",
        ExpressionAttributeNames={"#field": field},
        ExpressionAttributeValues={":newer": value},
    )


NEWER = pytest.mark.xfail(strict=True, reason="one item of a newer version fails every batch it is in: reported")


@NEWER
@pytest.mark.parametrize("field", ["outcome", "status"])
def test_an_outcome_or_status_of_a_newer_version_is_no_decision(cloud: Cloud, field: str) -> None:
    cloud.registry.record(MOST)
    cloud.registry.record(replace(MOST, certificate_id=OTHER_ID))
    rewrite(cloud, field, {"S": "NEWER"})
    records = cloud.registry.recall([ID, OTHER_ID])
    assert records[ID] == Record()
    assert records[OTHER_ID].decision


@NEWER
@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("reason", {"S": "NEWER"}, {"reason": None}),
        ("would_reject", {"L": [{"S": "NEWER"}, {"S": "EXPIRED"}]}, {"would_reject": (Reason.EXPIRED,)}),
    ],
)
def test_a_reason_of_a_newer_version_is_not_known_but_the_decision_is(
    cloud: Cloud, field: str, value: dict[str, Any], read: dict[str, Any]
) -> None:
    revoked = replace(MOST, outcome=Outcome.REJECTED, status=Status.REVOKED)
    cloud.registry.record(revoked)
    rewrite(cloud, field, value)
    record = recalled(cloud)
    assert record.decision == replace(revoked, **read)
    assert record.was_taken_away


def test_what_is_not_known_is_an_empty_record(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    assert cloud.registry.recall([ID, OTHER_ID]) == {ID: Record(decision=MOST), OTHER_ID: Record()}


def test_a_batch_is_recalled_with_one_call_of_distinct_keys_read_consistently(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    records = cloud.registry.recall([ID, OTHER_ID, ID])
    assert set(records) == {ID, OTHER_ID}
    keys = [{"id": {"S": f"certificate#{ID}"}}, {"id": {"S": f"certificate#{OTHER_ID}"}}]
    assert wire.calls == [
        ("dynamodb", "BatchGetItem", {"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": True}}})
    ]


def test_nothing_is_asked_for_nobody(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    assert cloud.registry.recall([]) == {}
    assert wire.calls == []


def unprocessed(*certificate_ids: str) -> dict[str, Any]:
    keys = [{"id": {"S": f"certificate#{certificate_id}"}} for certificate_id in certificate_ids]
    return {"Responses": {}, "UnprocessedKeys": {TABLE: {"Keys": keys, "ConsistentRead": True}}}


def test_keys_that_were_not_processed_are_asked_for_again_and_no_others(cloud: Cloud, wire: Wire) -> None:
    cloud.registry.record(MOST)
    wire.answer("BatchGetItem", unprocessed(ID))
    assert cloud.registry.recall([ID, OTHER_ID]) == {ID: Record(decision=MOST), OTHER_ID: Record()}
    asked = [one["RequestItems"][TABLE] for one in wire.of("BatchGetItem")]
    assert [len(one["Keys"]) for one in asked] == [2, 1]
    assert all(one["ConsistentRead"] for one in asked)


def test_keys_that_are_never_processed_are_unavailable_and_not_unknown(cloud: Cloud, wire: Wire) -> None:
    wire.answer("BatchGetItem", *[unprocessed(ID)] * 20)
    with pytest.raises(Unavailable, match="UnprocessedKeys"):
        cloud.registry.recall([ID])


def deny(cloud: Cloud, certificate_id: str = ID) -> None:
    """What jitrctl writes when an operator denies a certificate."""
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{certificate_id}"}},
        UpdateExpression="SET denied_by = :operator, #schema = :schema",
        ExpressionAttributeNames={"#schema": "schema"},
        ExpressionAttributeValues={":operator": {"S": "operator"}, ":schema": {"N": "1"}},
    )


def test_a_claim_writes_the_intent_and_the_owner_in_one_breath(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    cloud.registry.claim(ACTIVATION)
    assert wire.operations("dynamodb") == ["TransactWriteItems"]
    assert recalled(cloud) == Record(intent=ACTIVATION)
    assert cloud.registry.owner("sensor-0001") == ID


def test_a_claim_can_be_made_again_by_the_same_certificate(cloud: Cloud) -> None:
    cloud.registry.claim(ACTIVATION)
    cloud.registry.claim(ACTIVATION)
    assert cloud.registry.owner("sensor-0001") == ID


def test_a_claim_against_an_operators_verdict_is_refused_and_writes_nothing(cloud: Cloud) -> None:
    deny(cloud)
    before = cloud.items()
    with pytest.raises(Rejected) as refusal:
        cloud.registry.claim(ACTIVATION)
    assert refusal.value.reason is Reason.OPERATOR_VERDICT
    assert cloud.items() == before


def test_a_claim_of_anothers_name_is_refused_and_writes_nothing(cloud: Cloud) -> None:
    cloud.registry.claim(replace(ACTIVATION, certificate_id=OTHER_ID))
    before = cloud.items()
    with pytest.raises(Rejected, match="sensor-0001") as refusal:
        cloud.registry.claim(ACTIVATION)
    assert refusal.value.reason is Reason.THING_TAKEN
    assert cloud.items() == before


def test_a_verdict_weighs_more_than_a_taken_name(cloud: Cloud) -> None:
    cloud.registry.claim(replace(ACTIVATION, certificate_id=OTHER_ID))
    deny(cloud)
    with pytest.raises(Rejected) as refusal:
        cloud.registry.claim(ACTIVATION)
    assert refusal.value.reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("codes", [("TransactionConflict", "None"), ("None", "ThrottlingError")])
def test_a_claim_that_meets_another_transaction_is_unavailable(
    cloud: Cloud, wire: Wire, codes: tuple[str, str]
) -> None:
    reasons = [{"Code": code} for code in codes]
    wire.fail("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    with pytest.raises(Unavailable, match=", ".join(codes)):
        cloud.registry.claim(ACTIVATION)


def test_a_name_that_nobody_claimed_has_no_owner(cloud: Cloud) -> None:
    assert cloud.registry.owner("sensor-0001") is None


def test_an_owner_is_read_consistently(cloud: Cloud, wire: Wire) -> None:
    cloud.registry.owner("sensor-0001")
    assert wire.of("GetItem")[0]["ConsistentRead"] is True


def test_a_thing_cannot_pass_for_a_certificate(cloud: Cloud) -> None:
    cloud.registry.claim(replace(ACTIVATION, thing_name=OTHER_ID))
    assert recalled(cloud, OTHER_ID) == Record()


DO = {
    "BatchGetItem": lambda registry: registry.recall([ID]),
    "GetItem": lambda registry: registry.owner("sensor-0001"),
    "UpdateItem": lambda registry: registry.record(MOST),
    "TransactWriteItems": lambda registry: registry.claim(ACTIVATION),
}
WRITES = [
    lambda registry: registry.record(MOST),
    lambda registry: registry.record(LEAST),
    lambda registry: registry.intend(MOST),
    lambda registry: registry.note_sweep(ID, NOW),
]


@pytest.mark.parametrize("operation", DO)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 400),
        ("TransactionInProgressException", 400),
        ("InternalServerError", 500),
    ],
)
def test_what_a_retry_can_cure_is_unavailable(cloud: Cloud, wire: Wire, operation: str, code: str, status: int) -> None:
    wire.fail(operation, code, status=status)
    with pytest.raises(Unavailable, match=f"^{operation}: {code}$"):
        DO[operation](cloud.registry)


@pytest.mark.parametrize("write", WRITES, ids=["record", "record found", "intend", "note sweep"])
def test_a_write_without_an_answer_is_unavailable(cloud: Cloud, wire: Wire, write: Any) -> None:
    wire.break_down("UpdateItem", ReadTimeoutError(endpoint_url="https://dynamodb"))
    with pytest.raises(Unavailable, match="UpdateItem: ReadTimeoutError"):
        write(cloud.registry)


@pytest.mark.parametrize("operation", DO)
def test_a_missing_permission_passes_through_and_names_the_action(cloud: Cloud, wire: Wire, operation: str) -> None:
    wire.fail(operation, "AccessDeniedException")
    with pytest.raises(ClientError, match=f"calling the {operation} operation"):
        DO[operation](cloud.registry)
