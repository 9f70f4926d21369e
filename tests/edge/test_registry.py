"""The registry: what is written, what is read back, and which writes must not win."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from jitr.decisions import Decision, Outcome
from jitr.errors import NotPermitted, Reason, Unavailable
from jitr.iot_models import Status
from jitr.owners import NameRollback
from jitr.record import Record
from jitr.store.registry import Registry
from jitr.store.registry_items import SCHEMA
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import NOW
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.claims import claim
from tests.support.edge.records import deny, due_ids, first_verdict, recall
from tests.support.examples import ACTIVATION, ID, LEAST, MILLISECOND, MOST, OTHER_ID, OWNER, REJECTION, said


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_a_decision_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(decision)
    assert recall(cloud) == Record(decision=decision)


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_an_intent_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.intend(decision, Record(), run="run")
    assert recall(cloud) == Record(intent=decision)


def test_a_decision_takes_the_place_of_its_intent(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(REJECTION)
    assert recall(cloud) == Record(decision=REJECTION)


def test_a_hold_leaves_an_intent_that_can_be_another_runs(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(MOST)
    assert recall(cloud) == Record(decision=MOST, intent=REJECTION)


@pytest.mark.parametrize("decision", [MOST, REJECTION], ids=["hold", "rejection"])
def test_a_run_records_its_decision_only_while_it_has_the_certificate(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(decision, Record(), run="another")
    assert recall(cloud) == Record(intent=REJECTION)
    cloud.registry.record(decision, Record(), run="run")
    assert recall(cloud) == Record(decision=decision)


def test_an_intent_leaves_the_decision_before_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(replace(MOST, outcome=Outcome.REJECTED), Record(decision=MOST), run="run")
    assert recall(cloud) == Record(decision=MOST, intent=replace(MOST, outcome=Outcome.REJECTED))


@pytest.mark.parametrize("decision", [MOST, ACTIVATION, replace(MOST, outcome=Outcome.REJECTED)])
def test_a_decision_replaces_the_one_before_it(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(LEAST)
    cloud.registry.record(MOST)
    cloud.registry.record(decision)
    assert recall(cloud).decision == decision


def test_what_was_found_never_replaces_a_decision(cloud: Cloud) -> None:
    cloud.registry.record(ACTIVATION)
    cloud.registry.record(LEAST)
    assert recall(cloud) == Record(decision=ACTIVATION)


def test_what_was_found_never_replaces_an_intent(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    cloud.registry.record(LEAST)
    assert recall(cloud) == Record(intent=ACTIVATION)


def test_an_operators_verdict_outlives_decisions_and_sweeps(cloud: Cloud) -> None:
    deny(cloud)
    cloud.registry.intend(REJECTION, Record(verdict=first_verdict(OperatorAction.DENIED)), run="run")
    cloud.registry.record(REJECTION)
    cloud.registry.note_sweep(ID, NOW)
    assert recall(cloud) == Record(decision=REJECTION, verdict=first_verdict(OperatorAction.DENIED), swept_at=NOW)
    assert due_ids(cloud, Due.DENIED) == [ID]


def test_a_verdict_alone_is_a_record(cloud: Cloud) -> None:
    deny(cloud)
    assert recall(cloud) == Record(verdict=first_verdict(OperatorAction.DENIED))


def test_a_sweep_is_noted_to_the_millisecond(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.note_sweep(ID, NOW + 7 * MILLISECOND)
    assert recall(cloud) == Record(decision=MOST, swept_at=NOW + 7 * MILLISECOND)


def test_every_item_carries_the_schema_version(cloud: Cloud) -> None:
    cloud.registry.record(replace(MOST, certificate_id="record"))
    cloud.registry.intend(replace(MOST, certificate_id="intend"), Record(), run="run")
    cloud.registry.note_sweep("sweep", NOW)
    cloud.registry.adopt("sensor-0001", replace(OWNER, certificate_id="old"))
    claim(cloud.registry, replace(ACTIVATION, certificate_id="claim", replaces="old"))
    cloud.registry.give_verdict("verdict", said(OperatorAction.DENIED), seen=None)
    cloud.registry.adopt("sensor-0002", OWNER)
    items = cloud.items()
    assert set(items) == {
        "certificate#record",
        "certificate#intend",
        "certificate#sweep",
        "certificate#claim",
        "certificate#old",
        "retirement#old",
        "certificate#verdict",
        "thing#sensor-0001",
        "thing#sensor-0002",
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
    assert recall(cloud) == Record(decision=MOST)


def rewrite(cloud: Cloud, field: str, value: dict[str, Any]) -> None:
    """Let a newer version have written one field of a decision."""
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET decision.#field = :newer",
        ExpressionAttributeNames={"#field": field},
        ExpressionAttributeValues={":newer": value},
    )


@pytest.mark.parametrize("field", ["outcome", "status"])
def test_an_outcome_or_status_of_a_newer_version_is_no_decision(cloud: Cloud, field: str) -> None:
    cloud.registry.record(MOST)
    cloud.registry.record(replace(MOST, certificate_id=OTHER_ID))
    rewrite(cloud, field, {"S": "NEWER"})
    records = cloud.registry.recall([ID, OTHER_ID])
    assert records[ID] == Record()
    assert records[OTHER_ID].decision
    claim(cloud.registry, record=records[ID])  # after a rollback it is decided on anew
    cloud.registry.record(ACTIVATION, records[ID])
    assert cloud.registry.recall([ID])[ID].decision == ACTIVATION


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
    record = recall(cloud)
    assert record.decision == replace(revoked, **read)
    assert record.was_revoked_or_deactivated


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


def test_a_verdict_does_not_stand_against_a_rejection(cloud: Cloud) -> None:
    deny(cloud)
    cloud.registry.intend(REJECTION, Record(verdict=first_verdict(OperatorAction.DENIED)), run="run")
    assert recall(cloud).intent == REJECTION


def test_a_name_that_nobody_claimed_has_no_owner(cloud: Cloud) -> None:
    assert cloud.registry.owner("sensor-0001") is None


def test_an_owner_is_read_consistently(cloud: Cloud, wire: Wire) -> None:
    cloud.registry.owner("sensor-0001")
    assert wire.of("GetItem")[0]["ConsistentRead"] is True


DO: dict[str, Callable[[Registry], object]] = {
    "BatchGetItem": lambda registry: registry.recall([ID]),
    "GetItem": lambda registry: registry.owner("sensor-0001"),
    "UpdateItem": lambda registry: registry.record(MOST),
    "TransactWriteItems": claim,
    "DeleteItem": lambda registry: registry.give_back(NameRollback(thing_name="sensor-0001", by=ID, to=None)),
    "Query": lambda registry: registry.list_due(Due.LOOK, NOW, most=1),
}
WRITES: list[Callable[[Registry], object]] = [
    lambda registry: registry.record(MOST),
    lambda registry: registry.record(LEAST),
    lambda registry: registry.intend(MOST, Record(), run="run"),
    lambda registry: registry.note_sweep(ID, NOW),
    lambda registry: registry.postpone_retirement(ID, NOW),
    lambda registry: registry.clear_evaluation(ID, Record(due_at=NOW)),
    lambda registry: registry.give_verdict(ID, said(OperatorAction.DENIED), seen=None),
    lambda registry: registry.adopt("sensor-0001", OWNER),
]
WRITE_NAMES = [
    "record",
    "record found",
    "intend",
    "note sweep",
    "postpone_retirement",
    "no look due",
    "give verdict",
    "adopt",
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


@pytest.mark.parametrize("write", WRITES, ids=WRITE_NAMES)
def test_a_write_without_an_answer_is_unavailable(cloud: Cloud, wire: Wire, write: Any) -> None:
    wire.break_down("UpdateItem", ReadTimeoutError(endpoint_url="https://dynamodb"))
    with pytest.raises(Unavailable, match="UpdateItem: ReadTimeoutError"):
        write(cloud.registry)


@pytest.mark.parametrize("operation", DO)
@pytest.mark.parametrize("code", ["AccessDeniedException", "KMSAccessDeniedException", "UnrecognizedClientException"])
def test_a_missing_permission_is_told_apart_and_names_the_action(
    cloud: Cloud, wire: Wire, operation: str, code: str
) -> None:
    wire.fail(operation, code)
    with pytest.raises(NotPermitted, match=f"^{operation} is not permitted"):
        DO[operation](cloud.registry)
