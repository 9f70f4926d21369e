"""The registry: what is written, what is read back, and which writes must not win."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from jitr.decisions import Decision, Outcome
from jitr.errors import NotPermitted, Overtaken, Reason, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.owners import NameRollback, Owner
from jitr.record import Record
from jitr.store.registry import Registry
from jitr.store.registry_items import SCHEMA
from jitr.store.registry_writes import STALE_INTENT, Due
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.examples import (
    ACTIVATION,
    ANOTHER,
    HOUR,
    ID,
    LEAST,
    MILLISECOND,
    MINUTE,
    MOST,
    OTHER_ID,
    OWNER,
    REJECTION,
    said,
)

NOBODY_KNOWN = Record()
RETIRE_AT = NOW + 7 * DAY


def recalled(cloud: Cloud, certificate_id: str = ID) -> Record:
    return cloud.registry.recall([certificate_id])[certificate_id]


def deny(cloud: Cloud, certificate_id: str = ID, word: OperatorAction = OperatorAction.DENIED) -> None:
    """What jitrctl writes when an operator speaks who has read the record."""
    seen = recalled(cloud, certificate_id).verdict
    cloud.registry.give_verdict(certificate_id, said(word), seen=seen)


def first(word: OperatorAction, note: str = "") -> OperatorVerdict:
    """A verdict as it is stored when no other was given before it."""
    return replace(said(word, note=note), version=1)


def claim(
    registry: Registry,
    intent: Decision = ACTIVATION,
    record: Record = NOBODY_KNOWN,
    owner: Owner | None = None,
    *,
    share: bool = False,
    earlier: Owner | None = None,
) -> None:
    owner = owner or replace(OWNER, certificate_id=intent.certificate_id)
    if intent.replaces and earlier is None:
        earlier = replace(OWNER, certificate_id=intent.replaces)
    registry.claim(intent, record, owner, share=share, earlier=earlier, retire_at=RETIRE_AT, run="run")


def refused(cloud: Cloud, *arguments: Any, **more: Any) -> Rejected:
    """The refusal of a claim, which writes nothing."""
    before = cloud.items()
    with pytest.raises(Rejected) as refusal:
        claim(cloud.registry, *arguments, **more)
    assert cloud.items() == before
    return refusal.value


def overtaken(cloud: Cloud, *arguments: Any, **more: Any) -> None:
    """See a claim be overtaken, and write nothing."""
    before = cloud.items()
    with pytest.raises(Overtaken):
        claim(cloud.registry, *arguments, **more)
    assert cloud.items() == before


def due(cloud: Cloud, what: Due, by: datetime = NOW + 400 * DAY, most: int = 100) -> list[str]:
    return cloud.registry.list_due(what, by, most=most)


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_a_decision_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(decision)
    assert recalled(cloud) == Record(decision=decision)


@pytest.mark.parametrize("decision", [LEAST, MOST], ids=["least", "most"])
def test_an_intent_reads_back_with_every_field(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.intend(decision, Record(), run="run")
    assert recalled(cloud) == Record(intent=decision)


def test_a_decision_takes_the_place_of_its_intent(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(REJECTION)
    assert recalled(cloud) == Record(decision=REJECTION)


def test_a_hold_leaves_an_intent_that_can_be_another_runs(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(MOST)
    assert recalled(cloud) == Record(decision=MOST, intent=REJECTION)


@pytest.mark.parametrize("decision", [MOST, REJECTION], ids=["hold", "rejection"])
def test_a_run_records_its_decision_only_while_it_has_the_certificate(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.record(decision, Record(), run="another")
    assert recalled(cloud) == Record(intent=REJECTION)
    cloud.registry.record(decision, Record(), run="run")
    assert recalled(cloud) == Record(decision=decision)


def test_an_intent_leaves_the_decision_before_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(replace(MOST, outcome=Outcome.REJECTED), Record(decision=MOST), run="run")
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
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    cloud.registry.record(LEAST)
    assert recalled(cloud) == Record(intent=ACTIVATION)


def test_an_operators_verdict_outlives_decisions_and_sweeps(cloud: Cloud) -> None:
    deny(cloud)
    cloud.registry.intend(REJECTION, Record(verdict=first(OperatorAction.DENIED)), run="run")
    cloud.registry.record(REJECTION)
    cloud.registry.note_sweep(ID, NOW)
    assert recalled(cloud) == Record(decision=REJECTION, verdict=first(OperatorAction.DENIED), swept_at=NOW)
    assert due(cloud, Due.DENIED) == [ID]


def test_a_verdict_alone_is_a_record(cloud: Cloud) -> None:
    deny(cloud)
    assert recalled(cloud) == Record(verdict=first(OperatorAction.DENIED))


def test_a_sweep_is_noted_to_the_millisecond(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.note_sweep(ID, NOW + 7 * MILLISECOND)
    assert recalled(cloud) == Record(decision=MOST, swept_at=NOW + 7 * MILLISECOND)


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


def test_a_claim_waits_for_what_another_run_is_about_to_do_with_the_twin(cloud: Cloud) -> None:
    assert ACTIVATION.twin_id
    twins = replace(ACTIVATION, certificate_id=ACTIVATION.twin_id, twin_id=None, thing_name="another")
    cloud.registry.intend(twins, Record(), run="another")
    with pytest.raises(Overtaken):
        claim(cloud.registry)
    later = replace(ACTIVATION, decided_at=ACTIVATION.decided_at + 2 * MINUTE)
    claim(cloud.registry, later)  # by then, that run is dead


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
    record = recalled(cloud)
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


def test_a_claim_writes_the_intent_and_the_owner_in_one_breath(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    claim(cloud.registry)
    assert wire.operations("dynamodb") == ["TransactWriteItems"]
    assert recalled(cloud) == Record(intent=ACTIVATION)
    assert cloud.registry.owner("sensor-0001") == OWNER


def test_a_claim_can_be_made_again_by_the_same_certificate(cloud: Cloud) -> None:
    claim(cloud.registry)
    claim(cloud.registry, replace(ACTIVATION, decided_at=NOW + SECOND), Record(intent=ACTIVATION))
    assert cloud.registry.owner("sensor-0001") == OWNER


def test_a_claim_leaves_the_decision_before_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    claim(cloud.registry, record=Record(decision=MOST))
    assert recalled(cloud) == Record(decision=MOST, intent=ACTIVATION)


@pytest.mark.parametrize("word", [word for word in OperatorAction if not word.allows_activation])
def test_a_claim_against_an_operators_verdict_is_refused_and_writes_nothing(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert refused(cloud).reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("word", [word for word in OperatorAction if not word.allows_activation])
def test_a_claim_against_a_verdict_that_was_seen_is_refused(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert refused(cloud, record=recalled(cloud)).reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("word", [word for word in OperatorAction if word.allows_activation])
def test_a_claim_that_an_operator_allows_is_made(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    claim(cloud.registry, record=Record(verdict=first(word)))
    assert recalled(cloud) == Record(intent=ACTIVATION, verdict=first(word))


def test_a_claim_against_a_verdict_in_a_newer_versions_words_is_refused(cloud: Cloud) -> None:
    deny(cloud)
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET verdict.word = :newer",
        ExpressionAttributeValues={":newer": {"S": "quarantined"}},
    )
    assert refused(cloud).reason is Reason.OPERATOR_VERDICT


def test_a_verdict_does_not_stand_against_a_rejection(cloud: Cloud) -> None:
    deny(cloud)
    cloud.registry.intend(REJECTION, Record(verdict=first(OperatorAction.DENIED)), run="run")
    assert recalled(cloud).intent == REJECTION


def test_a_rejection_that_was_begun_before_an_operator_spoke_is_overtaken(cloud: Cloud) -> None:
    deny(cloud, word=OperatorAction.REVOKED)
    with pytest.raises(Overtaken):
        cloud.registry.intend(REJECTION, Record(), run="run")
    assert recalled(cloud) == Record(verdict=first(OperatorAction.REVOKED))


BEGIN: dict[str, Callable[[Registry, Record], None]] = {
    "claim": lambda registry, seen: claim(registry, record=seen),
    "intend": lambda registry, seen: registry.intend(REJECTION, seen, run="run"),
}


@pytest.mark.parametrize("begin", BEGIN)
@pytest.mark.parametrize(
    "seen",
    [Record(), Record(decision=replace(MOST, decided_at=NOW - DAY)), Record(intent=MOST)],
    ids=["nothing", "an older decision", "an intent only"],
)
def test_what_rests_on_another_record_is_overtaken_and_writes_nothing(cloud: Cloud, begin: str, seen: Record) -> None:
    cloud.registry.record(MOST)
    before = cloud.items()
    with pytest.raises(Overtaken):
        BEGIN[begin](cloud.registry, seen)
    assert cloud.items() == before


@pytest.mark.parametrize("begin", BEGIN)
def test_what_rests_on_a_record_that_is_gone_is_overtaken(cloud: Cloud, begin: str) -> None:
    with pytest.raises(Overtaken):
        BEGIN[begin](cloud.registry, Record(decision=MOST))
    assert cloud.items() == {}


@pytest.mark.parametrize(("later", "is_overtaken"), [(STALE_INTENT, True), (STALE_INTENT + MILLISECOND, False)])
def test_another_runs_intent_stands_against_a_claim_until_its_function_must_be_dead(
    cloud: Cloud, later: timedelta, *, is_overtaken: bool
) -> None:
    cloud.registry.intend(REJECTION, Record(), run="another")
    intent = replace(ACTIVATION, decided_at=REJECTION.decided_at + later)
    if is_overtaken:
        overtaken(cloud, intent, recalled(cloud))
    else:
        claim(cloud.registry, intent, recalled(cloud))
        assert recalled(cloud).intent == intent


@pytest.mark.parametrize(("later", "is_overtaken"), [(STALE_INTENT, True), (STALE_INTENT + MILLISECOND, False)])
def test_another_runs_claim_stands_against_a_rejection_until_its_function_must_be_dead(
    cloud: Cloud, later: timedelta, *, is_overtaken: bool
) -> None:
    claim(cloud.registry)
    intent = replace(REJECTION, decided_at=ACTIVATION.decided_at + later)
    if is_overtaken:
        with pytest.raises(Overtaken):
            cloud.registry.intend(intent, recalled(cloud), run="another")
        assert recalled(cloud).intent == ACTIVATION
    else:
        cloud.registry.intend(intent, recalled(cloud), run="another")
        assert recalled(cloud).intent == intent


@pytest.mark.parametrize("begin", BEGIN)
def test_an_intent_that_another_run_left_since_is_not_taken_over_unseen(cloud: Cloud, begin: str) -> None:
    seen = recalled(cloud)
    cloud.registry.intend(replace(REJECTION, thing_name="another"), seen, run="another")
    cloud.registry.hand_back_intent(ID, run="another")
    with pytest.raises(Overtaken):
        BEGIN[begin](cloud.registry, seen)
    BEGIN[begin](cloud.registry, recalled(cloud))


@pytest.mark.parametrize("begin", BEGIN)
def test_an_intent_in_words_of_a_later_version_is_taken_over_like_any_other(cloud: Cloud, begin: str) -> None:
    cloud.registry.intend(REJECTION, Record(), run="another")
    cloud.registry.hand_back_intent(ID, run="another")
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET intent.outcome = :newer",
        ExpressionAttributeValues={":newer": {"S": "newer"}},
    )
    seen = recalled(cloud)
    assert seen.intent is None
    BEGIN[begin](cloud.registry, seen)


def test_a_messages_own_redelivery_may_begin_again_at_once(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.intend(replace(REJECTION, decided_at=NOW + SECOND), Record(), run="run")
    assert recalled(cloud).intent == replace(REJECTION, decided_at=NOW + SECOND)


OTHERS = replace(ACTIVATION, certificate_id=OTHER_ID)


@pytest.mark.parametrize("replaces", [None, "01" * 32])
def test_a_claim_of_anothers_name_is_refused_and_writes_nothing(cloud: Cloud, replaces: str | None) -> None:
    claim(cloud.registry, OTHERS)
    refusal = refused(cloud, replace(ACTIVATION, replaces=replaces))
    assert refusal.reason is Reason.NOT_A_ROTATION
    assert "sensor-0001" in refusal.detail


def test_a_verdict_weighs_more_than_a_taken_name(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    deny(cloud)
    assert refused(cloud).reason is Reason.OPERATOR_VERDICT


ROTATION = replace(ACTIVATION, replaces=OTHER_ID)


def test_a_rotation_takes_the_name_over_and_writes_down_when_the_old_one_ends_in_one_breath(
    cloud: Cloud, wire: Wire
) -> None:
    claim(cloud.registry, OTHERS, owner=ANOTHER)
    cloud.registry.record(OTHERS)
    wire.forget()
    claim(cloud.registry, ROTATION)
    assert wire.operations("dynamodb") == ["TransactWriteItems"]
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert recalled(cloud, OTHER_ID) == Record(decision=OTHERS, replaced_by=ID, former_thing_name="sensor-0001")
    assert due(cloud, Due.RETIRE, RETIRE_AT) == [OTHER_ID]
    assert due(cloud, Due.RETIRE, RETIRE_AT - MILLISECOND) == []


def test_a_rotation_that_is_claimed_twice_is_one(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    claim(cloud.registry, ROTATION)
    claim(cloud.registry, ROTATION, Record(intent=ROTATION))
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert due(cloud, Due.RETIRE) == [OTHER_ID]


def test_of_two_that_would_follow_the_same_certificate_one_does(cloud: Cloud) -> None:
    claim(cloud.registry, replace(ACTIVATION, certificate_id="old"))
    claim(cloud.registry, replace(OTHERS, replaces="old"), owner=ANOTHER)
    assert refused(cloud, replace(ACTIVATION, replaces="old")).reason is Reason.NOT_A_ROTATION
    assert cloud.registry.owner("sensor-0001") == ANOTHER
    assert recalled(cloud, "old").replaced_by == OTHER_ID


def test_of_two_that_claim_a_free_name_one_gets_it(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS, owner=ANOTHER)
    assert refused(cloud).reason is Reason.NOT_A_ROTATION
    assert cloud.registry.owner("sensor-0001") == ANOTHER


def test_the_name_of_a_certificate_that_is_gone_is_taken_over_and_nobody_is_retired(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    claim(cloud.registry, earlier=replace(OWNER, certificate_id=OTHER_ID))
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert due(cloud, Due.RETIRE) == []
    assert recalled(cloud, OTHER_ID).replaced_by is None


def test_a_name_whose_owner_was_registered_again_is_not_taken_over(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    before = replace(OWNER, certificate_id=OTHER_ID, registered_at=OWNER.registered_at - MINUTE)
    assert refused(cloud, earlier=before).reason is Reason.NOT_A_ROTATION


def test_who_shares_a_name_joins_no_other_cas_thing(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS, owner=replace(ANOTHER, ca_certificate_id="another"))
    assert refused(cloud, share=True).reason is Reason.NOT_A_ROTATION


def test_a_name_that_went_from_one_that_is_gone_to_another_is_not_taken_over(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    assert refused(cloud, earlier=replace(OWNER, certificate_id="gone")).reason is Reason.NOT_A_ROTATION


def test_who_shares_a_name_leaves_it_to_the_first(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS, owner=ANOTHER, share=True)
    claim(cloud.registry, owner=replace(OWNER, previous_owners=(OTHER_ID,)), share=True)
    assert cloud.registry.owner("sensor-0001") == ANOTHER
    assert recalled(cloud).intent == ACTIVATION


@pytest.mark.parametrize("codes", [("TransactionConflict", "None"), ("None", "ThrottlingError")])
def test_a_claim_that_meets_another_transaction_is_unavailable(
    cloud: Cloud, wire: Wire, codes: tuple[str, str]
) -> None:
    reasons = [{"Code": code} for code in codes]
    wire.fail("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    with pytest.raises(Unavailable, match=", ".join(codes)):
        claim(cloud.registry)


def test_a_rotation_whose_old_certificate_is_being_written_is_unavailable(cloud: Cloud, wire: Wire) -> None:
    reasons = [{"Code": code} for code in ("None", "None", "TransactionConflict")]
    wire.fail("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    with pytest.raises(Unavailable):
        claim(cloud.registry, ROTATION)


def test_a_claim_that_can_never_be_made_is_no_reason_to_wait(cloud: Cloud, wire: Wire) -> None:
    reasons = [{"Code": code} for code in ("None", "None", "ValidationError")]
    wire.fail("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
    with pytest.raises(ClientError):
        claim(cloud.registry, ROTATION)


def test_a_name_that_nobody_claimed_has_no_owner(cloud: Cloud) -> None:
    assert cloud.registry.owner("sensor-0001") is None


def test_an_owner_is_read_consistently(cloud: Cloud, wire: Wire) -> None:
    cloud.registry.owner("sensor-0001")
    assert wire.of("GetItem")[0]["ConsistentRead"] is True


def test_a_thing_cannot_pass_for_a_certificate(cloud: Cloud) -> None:
    claim(cloud.registry, replace(ACTIVATION, thing_name=OTHER_ID))
    assert recalled(cloud, OTHER_ID) == Record()


def test_a_name_is_given_up_by_its_owner_alone(cloud: Cloud) -> None:
    claim(cloud.registry)
    cloud.registry.give_back(NameRollback(thing_name="sensor-0001", by=OTHER_ID, to=None))
    cloud.registry.give_back(NameRollback(thing_name="sensor-0002", by=ID, to=None))
    assert cloud.registry.owner("sensor-0001") == OWNER
    cloud.registry.give_back(NameRollback(thing_name="sensor-0001", by=ID, to=None))
    assert cloud.registry.owner("sensor-0001") is None


def test_a_name_is_adopted_by_one_certificate_and_can_be_again(cloud: Cloud) -> None:
    assert cloud.registry.adopt("sensor-0001", OWNER)
    assert cloud.registry.adopt("sensor-0001", OWNER)
    assert not cloud.registry.adopt("sensor-0001", ANOTHER)
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert recalled(cloud) == Record()


HELD_AGAIN = replace(MOST, attempts=1)


def test_a_held_device_is_due_at_its_next_look(cloud: Cloud) -> None:
    cloud.registry.record(HELD_AGAIN)
    assert HELD_AGAIN.next_evaluation == NOW + 5 * MINUTE + 285 * MILLISECOND
    assert due(cloud, Due.LOOK, HELD_AGAIN.next_evaluation - MILLISECOND) == []
    assert due(cloud, Due.LOOK, HELD_AGAIN.next_evaluation) == [ID]
    assert due(cloud, Due.RETIRE) == due(cloud, Due.DENIED) == []


@pytest.mark.parametrize("decision", [REJECTION, replace(ACTIVATION, outcome=Outcome.REPLACED)])
def test_what_is_ended_is_not_due_any_more(cloud: Cloud, decision: Decision) -> None:
    cloud.registry.record(MOST)
    cloud.registry.record(decision)
    assert due(cloud, Due.LOOK) == []
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
    assert (due(cloud, what), due(cloud, Due.DENIED)) == ([], [ID])


def test_what_an_operator_holds_is_looked_at_when_an_operator_speaks_and_not_before(cloud: Cloud) -> None:
    held = replace(MOST, reason=Reason.OPERATOR_VERDICT)
    deny(cloud)
    cloud.registry.record(held)
    assert due(cloud, Due.LOOK) == []
    assert due(cloud, Due.DENIED) == [ID]
    deny(cloud, word=OperatorAction.RELEASED)
    assert due(cloud, Due.LOOK, NOW) == [ID]
    assert due(cloud, Due.DENIED) == []


@pytest.mark.parametrize("word", OperatorAction)
def test_a_verdict_says_what_is_due(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert due(cloud, Due.LOOK, NOW) == ([ID] if word.allows_activation else [])
    assert due(cloud, Due.DENIED, NOW) == ([] if word.allows_activation else [ID])


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
    cloud.registry.record(decision, seen=recalled(cloud))
    assert due(cloud, Due.DENIED) == [ID]


def test_what_is_due_comes_longest_overdue_first_and_no_more_than_asked_for(cloud: Cloud) -> None:
    for number in (3, 1, 4, 0, 2):
        cloud.registry.record(replace(HELD_AGAIN, certificate_id=f"{number}", decided_at=NOW + number * SECOND))
    assert due(cloud, Due.LOOK) == ["0", "1", "2", "3", "4"]
    assert due(cloud, Due.LOOK, most=2) == ["0", "1"]


def test_what_is_due_is_read_to_the_end_over_many_pages(cloud: Cloud, wire: Wire) -> None:
    key = {"id": {"S": "x"}, "due": {"S": "denied"}, "due_at": {"N": "1"}}
    wire.answer(
        "Query",
        {"Items": [{"id": {"S": "certificate#a"}}], "LastEvaluatedKey": key},
        {"Items": [], "LastEvaluatedKey": key},
        {"Items": [{"id": {"S": "certificate#b"}}]},
    )
    wire.forget()
    assert due(cloud, Due.DENIED) == ["a", "b"]
    assert [one.get("ExclusiveStartKey") for one in wire.of("Query")] == [None, key, key]


def test_what_is_due_is_found_by_index_and_never_by_a_scan(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    due(cloud, Due.LOOK)
    ((_, operation, parameters),) = wire.calls
    assert (operation, parameters["IndexName"]) == ("Query", "due")


def test_what_was_sent_is_due_later(cloud: Cloud) -> None:
    cloud.registry.record(HELD_AGAIN)
    cloud.registry.note_sweep(ID, NOW, look_again=NOW + HOUR)
    assert due(cloud, Due.LOOK, NOW + HOUR - MILLISECOND) == []
    assert due(cloud, Due.LOOK, NOW + HOUR) == [ID]
    assert recalled(cloud) == Record(decision=HELD_AGAIN, swept_at=NOW)


def test_no_look_due_with_what_is_not_known_is_no_item(cloud: Cloud) -> None:
    cloud.registry.clear_evaluation(ID, Record(due_at=NOW))
    assert cloud.items() == {}


def test_a_verdict_returns_the_record_as_it_stood_and_keeps_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(REJECTION, Record(decision=MOST), run="run")
    before = cloud.registry.give_verdict(ID, said(OperatorAction.REVOKED, note="stolen"), seen=None)
    assert before == Record(decision=MOST, intent=REJECTION, verdict=first(OperatorAction.REVOKED, note="stolen"))
    assert recalled(cloud) == before


def test_a_verdict_on_what_is_not_known_returns_an_empty_record(cloud: Cloud) -> None:
    record = cloud.registry.give_verdict(ID, said(OperatorAction.DENIED), seen=None)
    assert record == Record(verdict=first(OperatorAction.DENIED))


def test_a_verdict_can_make_a_certificate_as_good_as_new(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    cloud.registry.intend(REJECTION, Record(decision=MOST), run="run")
    cloud.registry.note_sweep(ID, NOW)
    cloud.registry.give_verdict(ID, said(OperatorAction.RELEASED), seen=None, forget_decision=True)
    assert recalled(cloud) == Record(verdict=first(OperatorAction.RELEASED))


@pytest.mark.parametrize("earlier", [None, MOST], ids=["nothing", "held"])
def test_what_was_found_is_recorded_over_nothing_and_over_a_hold(cloud: Cloud, earlier: Decision | None) -> None:
    if earlier:
        cloud.registry.record(earlier)
    cloud.registry.record(LEAST, seen=recalled(cloud))
    assert recalled(cloud) == Record(decision=LEAST)


def test_what_was_found_replaces_the_intent_that_was_seen(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    cloud.registry.record(LEAST, seen=recalled(cloud))
    assert recalled(cloud) == Record(decision=LEAST)


def test_what_was_found_never_replaces_an_intent_that_came_meanwhile(cloud: Cloud) -> None:
    cloud.registry.intend(ACTIVATION, Record(), run="run")
    seen = recalled(cloud)
    cloud.registry.intend(replace(ACTIVATION, decided_at=NOW + SECOND), seen, run="run")
    cloud.registry.record(LEAST, seen=seen)
    assert recalled(cloud).decision is None


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
