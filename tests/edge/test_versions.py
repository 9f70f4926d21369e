"""Versions: what each version wrote is read by the present code, which writes the last."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jitr.aws.queues import QueueMessage
from jitr.brake import Tally
from jitr.crl_progress import CrlState
from jitr.decisions import Outcome
from jitr.events import RegistrationEvent
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store import brake_items
from jitr.store.crl_state import CrlStates
from jitr.store.outcomes import Outcomes
from jitr.store.registry_items import SCHEMA
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import ACCOUNT
from tests.support.cloud import TABLE, Cloud
from tests.support.edge.records import recall
from tests.support.edge.version_items import (
    ACTIVATED,
    ADOPTED,
    BRAKE,
    BRAKED,
    CA_ID,
    CRL,
    DAY,
    DUE,
    FOUND,
    FULL_PASS,
    HELD_AGAIN,
    ID,
    LIFT,
    ORDER,
    OTHER_ID,
    OWNER,
    RECORDS,
    REJECTED,
    RELEASED,
    REPLACED,
    SECOND,
    SUSPENDED,
    THEN,
    VERDICT,
)

VERSIONS = Path(__file__).parent / "versions"


def handed_over(cloud: Cloud) -> None:
    cloud.registry.record(replace(ACTIVATED, replaces=None))
    cloud.registry.adopt("sensor-0001", OWNER)
    follower = replace(ACTIVATED, certificate_id=OTHER_ID, replaces=ID)
    owner = replace(OWNER, certificate_id=OTHER_ID)
    cloud.registry.claim(follower, Record(), owner, share=False, earlier=OWNER, retire_at=THEN + 7 * DAY, run="run")


def intent(cloud: Cloud) -> None:
    cloud.registry.note_sweep(ID, THEN - SECOND)
    decision = replace(ACTIVATED, replaces=None)
    cloud.registry.claim(decision, Record(), OWNER, share=False, earlier=None, retire_at=THEN + 7 * DAY, run="run")


def verdict(cloud: Cloud) -> None:
    cloud.registry.record(HELD_AGAIN)
    cloud.registry.give_verdict(ID, VERDICT, seen=None)


def release_order(cloud: Cloud) -> None:
    cloud.registry.record(REJECTED)
    Outcomes(cloud.dynamodb, TABLE).order_release(ID, ORDER, seen=Record(decision=REJECTED))


def hold_lifted(cloud: Cloud) -> None:
    cloud.registry.record(SUSPENDED)
    Outcomes(cloud.dynamodb, TABLE).order_lift(ID, LIFT, seen=Record(decision=SUSPENDED))


def crl(cloud: Cloud) -> None:
    parts = {name: getattr(CRL, name) for name in CrlState.__dataclass_fields__}
    CrlStates(cloud.dynamodb, TABLE).keep(CA_ID, **parts)


def brake(cloud: Cloud) -> None:
    client = cloud.dynamodb
    accepted, engaged = BRAKE.accepted, BRAKE.engaged
    assert accepted
    assert engaged
    before = replace(engaged, rules=accepted.rules, at=accepted.at)
    for update in (
        brake_items.engage(TABLE, CA_ID, before, acceptances=0),
        brake_items.accept(TABLE, CA_ID, before, accepted),
        brake_items.count_decisions(TABLE, CA_ID, {engaged.rules: Tally(refused=21, others=2)}, THEN),
        brake_items.engage(TABLE, CA_ID, engaged, acceptances=1),
        brake_items.note_announced(TABLE, CA_ID, engaged),
    ):
        client.update_item(**update)


def full_pass(cloud: Cloud) -> None:
    cloud.journal.keep_pass(CA_ID, FULL_PASS)
    cloud.journal.keep_look_back_marker(CA_ID, "marker")


# How the present code comes to write each item.
WRITE: dict[str, Callable[[Cloud], object]] = {
    "decision-activated": lambda cloud: cloud.registry.record(ACTIVATED),
    "decision-rejected": lambda cloud: cloud.registry.record(REJECTED),
    "decision-held": lambda cloud: cloud.registry.record(HELD_AGAIN),
    "decision-braked": lambda cloud: cloud.registry.record(BRAKED),
    "decision-released": lambda cloud: cloud.registry.record(RELEASED),
    "release-order": release_order,
    "decision-suspended": lambda cloud: cloud.registry.record(SUSPENDED),
    "hold-lifted": hold_lifted,
    "crl": crl,
    "brake": brake,
    "decision-replaced": lambda cloud: cloud.registry.record(REPLACED),
    "decision-found": lambda cloud: cloud.registry.record(FOUND),
    "adopted": lambda cloud: cloud.registry.record_found(ADOPTED, Record(), origin="JITP"),
    "intent": intent,
    "verdict": verdict,
    "handed-over": handed_over,
    "retirement": handed_over,
    "owner": lambda cloud: cloud.registry.adopt("sensor-0001", OWNER),
    "sweep-of-a-ca": full_pass,
    "sweep-rules": lambda cloud: cloud.journal.keep_rules_digest("0123456789abcdef"),
    "lease": lambda cloud: cloud.journal.take_lease("one", THEN, seconds=900),
}
MESSAGES = ["message", "dead-letter"]


def kept(name: str, version: int = SCHEMA) -> dict[str, Any]:
    path = VERSIONS / str(version) / f"{name}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def later(item: dict[str, Any]) -> dict[str, Any]:
    """The item as a later version could have written it: more attributes at every level, another schema."""

    def more(value: dict[str, Any]) -> dict[str, Any]:
        if "M" not in value:
            return value
        inside = {name: more(one) for name, one in value["M"].items()}
        return {"M": {**inside, "newer": {"L": [{"BOOL": True}]}}}

    changed = {name: more(value) for name, value in item.items()}
    # A set of counts by status has no room for attributes, only for statuses.
    if "last_pass" in changed:
        changed["last_pass"]["M"]["counts"] = item["last_pass"]["M"]["counts"]
    return {**changed, "schema": {"N": str(SCHEMA + 1)}, "newer": {"SS": ["a", "b"]}}


VERSIONED = pytest.mark.parametrize(
    "as_of", [dict, later], ids=["as it was written", "with a later version's additions"]
)

OF_EACH = pytest.mark.parametrize("version", RECORDS)


def put(
    cloud: Cloud, name: str, as_of: Callable[[dict[str, Any]], dict[str, Any]] = dict, version: int = SCHEMA
) -> None:
    cloud.dynamodb.put_item(TableName=TABLE, Item=as_of(kept(name, version)))


@VERSIONED
@pytest.mark.parametrize(("version", "name"), [(version, name) for version in RECORDS for name in RECORDS[version]])
def test_a_record_is_read(cloud: Cloud, version: int, name: str, as_of: Callable[..., dict[str, Any]]) -> None:
    put(cloud, name, as_of, version)
    assert recall(cloud) == RECORDS[version][name]


@VERSIONED
@pytest.mark.parametrize("version", [3, 4])
def test_a_brake_is_read(cloud: Cloud, version: int, as_of: Callable[..., dict[str, Any]]) -> None:
    put(cloud, "brake", as_of, version)
    assert cloud.brakes.read([CA_ID]) == {CA_ID: BRAKE}


@VERSIONED
def test_the_state_of_a_crl_is_read(cloud: Cloud, as_of: Callable[..., dict[str, Any]]) -> None:
    put(cloud, "crl", as_of)
    assert CrlStates(cloud.dynamodb, TABLE).read([CA_ID]) == {CA_ID: CRL}


def test_the_version_before_reads_what_a_hold_suspended_as_taken_away(cloud: Cloud) -> None:
    """It does not know why it is INACTIVE, and lifts nothing."""
    item = kept("decision-suspended")
    del item["decision"]["M"]["reason"]
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    assert recall(cloud).was_revoked_or_deactivated
    assert recall(cloud).was_active


def test_the_version_before_reads_what_the_brake_holds_as_held(cloud: Cloud) -> None:
    """Without what it does not know: it then rejects, at the next look, as its rules say."""
    item = kept("decision-braked")
    for name in ("brake", "rests_on"):
        del item["decision"]["M"][name]
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    assert recall(cloud) == Record(decision=replace(BRAKED, brake=None))


@VERSIONED
@OF_EACH
def test_an_owner_is_read(cloud: Cloud, version: int, as_of: Callable[..., dict[str, Any]]) -> None:
    put(cloud, "owner", as_of, version)
    assert cloud.registry.owner("sensor-0001") == OWNER


@VERSIONED
@OF_EACH
def test_the_sweeps_notes_are_read(cloud: Cloud, version: int, as_of: Callable[..., dict[str, Any]]) -> None:
    for name in ("sweep-of-a-ca", "sweep-rules", "lease"):
        put(cloud, name, as_of, version)
    assert cloud.journal.full_pass(CA_ID) == FULL_PASS
    assert cloud.journal.look_back_marker(CA_ID) == "marker"
    assert cloud.journal.rules_digest() == "0123456789abcdef"
    assert not cloud.journal.take_lease("another", THEN + 900 * SECOND, seconds=1)
    assert cloud.journal.take_lease("another", THEN + 901 * SECOND, seconds=1)


@VERSIONED
@pytest.mark.parametrize(
    ("version", "name", "what"), [(version, name, what) for version in DUE for name, what in DUE[version].items()]
)
def test_what_is_due_is_found(
    cloud: Cloud, version: int, name: str, what: Due, as_of: Callable[..., dict[str, Any]]
) -> None:
    put(cloud, name, as_of, version)
    assert cloud.registry.list_due(what, THEN + 30 * DAY, most=9) == [ID]


@pytest.mark.parametrize("name", WRITE)
def test_the_present_code_writes_its_own_version_as_it_always_did(cloud: Cloud, name: str) -> None:
    item = kept(name)
    WRITE[name](cloud)
    assert cloud.items()[item["id"]["S"]] == item


def test_every_kind_of_item_and_message_is_kept() -> None:
    assert {path.stem for path in (VERSIONS / str(SCHEMA)).glob("*.json")} == {*WRITE, *MESSAGES}
    outcomes = {record.decision.outcome for record in RECORDS[SCHEMA].values() if record.decision}
    assert outcomes == set(Outcome) - {Outcome.DUPLICATE, Outcome.GONE}  # which are never recorded


def test_the_version_before_reads_an_adopted_certificate_without_its_origin_and_keeps_it(cloud: Cloud) -> None:
    """Its reader takes the attributes that it knows, and its writes name the attributes that they change."""
    put(cloud, "adopted")
    cloud.registry.record(replace(ADOPTED, status=Status.REVOKED, after=THEN))
    cloud.registry.give_verdict(ID, VERDICT, seen=None)
    assert cloud.items()[f"certificate#{ID}"]["origin"] == {"S": "JITP"}
    item = kept("adopted")
    del item["origin"]
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    assert recall(cloud) == Record(decision=ADOPTED)
    assert recall(cloud).was_active


def test_an_intent_of_the_version_before_is_finished(cloud: Cloud) -> None:
    put(cloud, "intent", version=1)
    cloud.registry.record(ACTIVATED)
    assert recall(cloud) == Record(decision=ACTIVATED, swept_at=THEN - SECOND)


def test_an_end_that_version_1_wrote_down_outlives_a_verdict(cloud: Cloud) -> None:
    put(cloud, "handed-over", version=1)
    cloud.registry.give_verdict(ID, VERDICT, seen=None)
    at = THEN + 7 * DAY
    assert cloud.registry.list_due(Due.DENIED, at, most=9) == [ID]
    assert cloud.registry.list_due(Due.RETIRE, at, most=9) == [ID]
    assert cloud.registry.list_due(Due.RETIRE, at - SECOND, most=9) == []


@OF_EACH
def test_an_end_is_put_off_and_done_with_whichever_version_wrote_it_down(cloud: Cloud, version: int) -> None:
    for name in ("handed-over", "retirement") if version > 1 else ("handed-over",):
        put(cloud, name, version=version)
    cloud.registry.postpone_retirement(ID, THEN + 8 * DAY)
    assert cloud.registry.list_due(Due.RETIRE, THEN + 8 * DAY - SECOND, most=9) == []
    assert cloud.registry.list_due(Due.RETIRE, THEN + 8 * DAY, most=9) == [ID]
    cloud.registry.end_retirement(ID, THEN + 8 * DAY)
    assert cloud.registry.list_due(Due.RETIRE, THEN + 99 * DAY, most=9) == []


def test_an_end_that_version_1_wrote_down_can_be_done_with_at_once(cloud: Cloud) -> None:
    put(cloud, "handed-over", version=1)
    cloud.registry.end_retirement(ID, THEN + 8 * DAY)
    assert cloud.registry.list_due(Due.RETIRE, THEN + 99 * DAY, most=9) == []


def test_what_this_version_writes_leaves_what_a_later_one_added(cloud: Cloud) -> None:
    """A rollback loses nothing."""
    put(cloud, "decision-held", later)
    cloud.registry.note_sweep(ID, THEN, look_again=THEN)
    cloud.registry.give_verdict(ID, VERDICT, seen=None)
    cloud.registry.postpone_retirement(ID, THEN)
    cloud.registry.record(ACTIVATED)
    item = cloud.items()[f"certificate#{ID}"]
    assert item["newer"] == {"SS": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "path", "read"),
    [
        ("decision-held", ("decision", "outcome"), Record()),
        ("decision-held", ("decision", "status"), Record()),
        ("decision-held", ("decision", "reason"), Record(decision=replace(HELD_AGAIN, reason=None))),
        ("intent", ("intent", "outcome"), Record(swept_at=THEN - SECOND)),
        (
            "verdict",
            ("verdict", "word"),
            Record(decision=HELD_AGAIN, verdict=replace(VERDICT, action=OperatorAction.DENIED, version=1)),
        ),
    ],
)
def test_a_later_versions_words_are_read_on_the_safe_side(
    cloud: Cloud, name: str, path: tuple[str, str], read: Record
) -> None:
    item = kept(name)
    item[path[0]]["M"][path[1]] = {"S": "quarantined"}
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    put(cloud, "owner")
    assert recall(cloud) == read
    assert recall(cloud).is_denied is (name == "verdict")


EVENT = RegistrationEvent(
    certificate_id=ID,
    ca_certificate_id=CA_ID,
    account_id=ACCOUNT,
    certificate_status="PENDING_ACTIVATION",
    published_at=THEN,
    registered_at=THEN - SECOND,
)


@pytest.mark.parametrize("more", [{}, {"newer": {"of": ["any", "kind"]}}], ids=["as it was", "with additions"])
def test_a_message_is_read(more: dict[str, Any]) -> None:
    message = QueueMessage.from_record(kept("message") | more)
    assert (message.receives, message.sent_at) == (2, THEN)
    assert RegistrationEvent.parse(json.loads(message.body) | more) == EVENT


@pytest.mark.parametrize("more", [{}, {"newer": {"of": ["any", "kind"]}}], ids=["as it was", "with additions"])
def test_a_dead_letter_is_read(more: dict[str, Any]) -> None:
    letter = kept("dead-letter") | more
    assert letter["MessageAttributes"]["jitr_reason"]["StringValue"].startswith("failed 10 times: ")
    assert RegistrationEvent.parse(letter["Body"]) == EVENT


def test_the_sweep_and_register_write_messages_as_they_always_did(cloud: Cloud) -> None:
    body = json.loads(kept("message")["body"])
    assert list(body) == list(cloud.event(ID))
    message = QueueMessage.from_record(cloud.record(kept("message")["body"]))
    cloud.register._queue.dead_letter(message, kept("dead-letter")["MessageAttributes"]["jitr_reason"]["StringValue"])
    received = cloud.sqs.receive_message(QueueUrl=cloud.settings.dead_letter_queue_url, MessageAttributeNames=["All"])[
        "Messages"
    ][0]
    for name in ("Body", "MessageAttributes"):
        assert received[name] == kept("dead-letter")[name]
