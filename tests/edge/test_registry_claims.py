"""Claims in the registry: which are written, which are refused or overtaken, and who owns a name after them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.owners import NameRollback
from jitr.record import Record
from jitr.store.registry import Registry
from jitr.store.registry_writes import STALE_INTENT, Due
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.claims import RETIRE_AT, claim
from tests.support.edge.records import deny, due_ids, first_verdict, recall
from tests.support.examples import ACTIVATION, ANOTHER, ID, MILLISECOND, MINUTE, MOST, OTHER_ID, OWNER, REJECTION


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


def test_a_claim_waits_for_what_another_run_is_about_to_do_with_the_twin(cloud: Cloud) -> None:
    assert ACTIVATION.twin_id
    twins = replace(ACTIVATION, certificate_id=ACTIVATION.twin_id, twin_id=None, thing_name="another")
    cloud.registry.intend(twins, Record(), run="another")
    with pytest.raises(Overtaken):
        claim(cloud.registry)
    later = replace(ACTIVATION, decided_at=ACTIVATION.decided_at + 2 * MINUTE)
    claim(cloud.registry, later)  # by then, that run is dead


def test_a_claim_writes_the_intent_and_the_owner_in_one_breath(cloud: Cloud, wire: Wire) -> None:
    wire.forget()
    claim(cloud.registry)
    assert wire.operations("dynamodb") == ["TransactWriteItems"]
    assert recall(cloud) == Record(intent=ACTIVATION)
    assert cloud.registry.owner("sensor-0001") == OWNER


def test_a_claim_can_be_made_again_by_the_same_certificate(cloud: Cloud) -> None:
    claim(cloud.registry)
    claim(cloud.registry, replace(ACTIVATION, decided_at=NOW + SECOND), Record(intent=ACTIVATION))
    assert cloud.registry.owner("sensor-0001") == OWNER


def test_a_claim_leaves_the_decision_before_it(cloud: Cloud) -> None:
    cloud.registry.record(MOST)
    claim(cloud.registry, record=Record(decision=MOST))
    assert recall(cloud) == Record(decision=MOST, intent=ACTIVATION)


@pytest.mark.parametrize("word", [word for word in OperatorAction if not word.allows_activation])
def test_a_claim_against_an_operators_verdict_is_refused_and_writes_nothing(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert refused(cloud).reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("word", [word for word in OperatorAction if not word.allows_activation])
def test_a_claim_against_a_verdict_that_was_seen_is_refused(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    assert refused(cloud, record=recall(cloud)).reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("word", [word for word in OperatorAction if word.allows_activation])
def test_a_claim_that_an_operator_allows_is_made(cloud: Cloud, word: OperatorAction) -> None:
    deny(cloud, word=word)
    claim(cloud.registry, record=Record(verdict=first_verdict(word)))
    assert recall(cloud) == Record(intent=ACTIVATION, verdict=first_verdict(word))


def test_a_claim_against_a_verdict_in_a_newer_versions_words_is_refused(cloud: Cloud) -> None:
    deny(cloud)
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET verdict.word = :newer",
        ExpressionAttributeValues={":newer": {"S": "quarantined"}},
    )
    assert refused(cloud).reason is Reason.OPERATOR_VERDICT


def test_a_rejection_that_was_begun_before_an_operator_spoke_is_overtaken(cloud: Cloud) -> None:
    deny(cloud, word=OperatorAction.REVOKED)
    with pytest.raises(Overtaken):
        cloud.registry.intend(REJECTION, Record(), run="run")
    assert recall(cloud) == Record(verdict=first_verdict(OperatorAction.REVOKED))


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
        overtaken(cloud, intent, recall(cloud))
    else:
        claim(cloud.registry, intent, recall(cloud))
        assert recall(cloud).intent == intent


@pytest.mark.parametrize(("later", "is_overtaken"), [(STALE_INTENT, True), (STALE_INTENT + MILLISECOND, False)])
def test_another_runs_claim_stands_against_a_rejection_until_its_function_must_be_dead(
    cloud: Cloud, later: timedelta, *, is_overtaken: bool
) -> None:
    claim(cloud.registry)
    intent = replace(REJECTION, decided_at=ACTIVATION.decided_at + later)
    if is_overtaken:
        with pytest.raises(Overtaken):
            cloud.registry.intend(intent, recall(cloud), run="another")
        assert recall(cloud).intent == ACTIVATION
    else:
        cloud.registry.intend(intent, recall(cloud), run="another")
        assert recall(cloud).intent == intent


@pytest.mark.parametrize("begin", BEGIN)
def test_an_intent_that_another_run_left_since_is_not_taken_over_unseen(cloud: Cloud, begin: str) -> None:
    seen = recall(cloud)
    cloud.registry.intend(replace(REJECTION, thing_name="another"), seen, run="another")
    cloud.registry.hand_back_intent(ID, run="another")
    with pytest.raises(Overtaken):
        BEGIN[begin](cloud.registry, seen)
    BEGIN[begin](cloud.registry, recall(cloud))


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
    seen = recall(cloud)
    assert seen.intent is None
    BEGIN[begin](cloud.registry, seen)


def test_a_messages_own_redelivery_may_begin_again_at_once(cloud: Cloud) -> None:
    cloud.registry.intend(REJECTION, Record(), run="run")
    cloud.registry.intend(replace(REJECTION, decided_at=NOW + SECOND), Record(), run="run")
    assert recall(cloud).intent == replace(REJECTION, decided_at=NOW + SECOND)


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
    assert recall(cloud, OTHER_ID) == Record(decision=OTHERS, replaced_by=ID, former_thing_name="sensor-0001")
    assert due_ids(cloud, Due.RETIRE, RETIRE_AT) == [OTHER_ID]
    assert due_ids(cloud, Due.RETIRE, RETIRE_AT - MILLISECOND) == []


def test_a_rotation_that_is_claimed_twice_is_one(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    claim(cloud.registry, ROTATION)
    claim(cloud.registry, ROTATION, Record(intent=ROTATION))
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert due_ids(cloud, Due.RETIRE) == [OTHER_ID]


def test_of_two_that_would_follow_the_same_certificate_one_does(cloud: Cloud) -> None:
    claim(cloud.registry, replace(ACTIVATION, certificate_id="old"))
    claim(cloud.registry, replace(OTHERS, replaces="old"), owner=ANOTHER)
    assert refused(cloud, replace(ACTIVATION, replaces="old")).reason is Reason.NOT_A_ROTATION
    assert cloud.registry.owner("sensor-0001") == ANOTHER
    assert recall(cloud, "old").replaced_by == OTHER_ID


def test_of_two_that_claim_a_free_name_one_gets_it(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS, owner=ANOTHER)
    assert refused(cloud).reason is Reason.NOT_A_ROTATION
    assert cloud.registry.owner("sensor-0001") == ANOTHER


def test_the_name_of_a_certificate_that_is_gone_is_taken_over_and_nobody_is_retired(cloud: Cloud) -> None:
    claim(cloud.registry, OTHERS)
    claim(cloud.registry, earlier=replace(OWNER, certificate_id=OTHER_ID))
    assert cloud.registry.owner("sensor-0001") == OWNER
    assert due_ids(cloud, Due.RETIRE) == []
    assert recall(cloud, OTHER_ID).replaced_by is None


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
    assert recall(cloud).intent == ACTIVATION


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


def test_a_thing_cannot_pass_for_a_certificate(cloud: Cloud) -> None:
    claim(cloud.registry, replace(ACTIVATION, thing_name=OTHER_ID))
    assert recall(cloud, OTHER_ID) == Record()


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
    assert recall(cloud) == Record()
