"""Builds the registry's conditional writes, as data: each has the conditions under which its decision still holds.

`begin` locks the certificate: the record is still the one that the decision was made on, no operator's verdict denies
the activation, and no other run has begun. A claim makes it in one transaction with the lock on the thing name
(name_writes.py), and with checks on all else that it rests on: the certificate's twin is unchanged
(`require_unchanged`), and so are the enrollment entries (enrollment_table.py).
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.decisions import Decision, Outcome
from jitr.import_order import ImportOrder
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import is_source
from jitr.store.dynamodb import key, values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, listing
from jitr.store.registry_items import (
    SCHEMA,
    certificate_key,
    from_decision,
    milliseconds,
)
from jitr.store.serial_index import ISSUED_AS, issued_as_of
from jitr.verdicts import OperatorAction, OperatorVerdict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, UpdateTypeDef

# An intent that is older than this belongs to a dead function: the longest invocation takes 60 s.
STALE_INTENT = timedelta(seconds=90)

# No operator's verdict denies the activation; which verdicts do: verdicts.OperatorAction.
NOT_DENIED = "(attribute_not_exists(verdict) OR verdict.allows = :true)"
_DENIED = "(attribute_exists(verdict) AND NOT verdict.allows = :true)"


class Due(StrEnum):
    """What is to be done with a certificate, the index's partition key."""

    LOOK = "look"  # held: evaluate it again
    RELEASE = "release"  # a release order on a rejection by jitr: evaluate it again
    RETIRE = "retire"  # replaced: deactivate it
    DENIED = "denied"  # an operator's verdict denies it: check that it is not ACTIVE
    TAKE_AWAY = "take-away"  # an operator ordered it away: set its status (take_away_orders.py)
    WITHDRAW = "withdraw"  # an attempt may have left something behind: take it back (withdrawal_marks.py)


def begin(
    table: str, intent: Decision, record: Record, *, run: str, whatever_the_verdict: bool = False
) -> "UpdateTypeDef":
    """Write the intent, if the record is still the one seen and no other run has begun.

    `run` names one attempt, not its message: SQS may deliver a message twice at once. An intent that another attempt
    left is replaced only if it is the one seen: it says what that attempt claimed, and this one goes on from there.
    """
    update: UpdateTypeDef = {
        "TableName": table,
        "Key": key(certificate_key(intent.certificate_id)),
        "UpdateExpression": "SET intent = :intent, #schema = :schema",
        "ExpressionAttributeNames": {"#schema": "schema"},
        "ExpressionAttributeValues": values(intent=from_decision(intent) | {"run": run}, schema=SCHEMA),
    }
    if issued_as := issued_as_of(intent):
        update["UpdateExpression"] += f", {ISSUED_AS} = :issued_as"
        update["ExpressionAttributeValues"] = {**update["ExpressionAttributeValues"], **values(issued_as=issued_as)}
    _require(
        update,
        "(attribute_not_exists(intent) OR intent.run = :run"
        " OR (intent.decided_at = :begun AND (intent.run = :nobody OR intent.decided_at < :stale)))",
        run=run,
        nobody="",  # the attempt has ended (Registry.hand_back_intent)
        begun=milliseconds(record.begun_at) if record.begun_at else 0,
        stale=milliseconds(intent.decided_at - STALE_INTENT),
    )
    require_as_seen(update, record)
    if not whatever_the_verdict:
        _require(update, NOT_DENIED, true=True)
    return update


def is_being_decided(record: Record, now: datetime) -> bool:
    """Whether an attempt has begun that is not known to be dead."""
    return record.intent is not None and record.begun_by is not None and now - record.intent.decided_at <= STALE_INTENT


def require_unchanged(table: str, certificate_id: str, record: Record, *, now: datetime) -> "ConditionCheckTypeDef":
    """Check that a certificate's record is still the one seen, and that no run has begun on it."""
    check: ConditionCheckTypeDef = {"TableName": table, "Key": key(certificate_key(certificate_id))}  # type: ignore[typeddict-item]  # built step by step
    _require(
        check,
        "(attribute_not_exists(intent) OR intent.decided_at < :stale)",
        stale=milliseconds(now - STALE_INTENT),
    )
    require_as_seen(check, record)
    return check


def require_as_seen(write: Any, record: Record) -> None:
    """Add the condition that the decision and the verdict are still those that were seen."""
    decided = "attribute_not_exists(#decision)"
    fields, names = {}, {"#decision": "decision"}
    if record.decided_at:
        decided, fields["seen"] = "#decision.decided_at = :seen", milliseconds(record.decided_at)
    _require(write, decided, **fields)
    write["ExpressionAttributeNames"] = write.get("ExpressionAttributeNames", {}) | names
    require_verdict(write, record.verdict)


def try_name(update: Any, thing_name: str, record: Record) -> None:
    """Add the thing name that an attempt uses to a write, if the last one is still the one seen.

    Until a run that holds the intent records a decision, the attempt is open: what it attached may still be attached.
    """
    update["UpdateExpression"] += ", tried_name = :tried, tried_is_open = :true"
    condition = "tried_name = :tried_before" if record.tried_name else "attribute_not_exists(tried_name)"
    before = {"tried_before": record.tried_name} if record.tried_name else {}
    _require(update, f"({condition} OR tried_name = :tried)", tried=thing_name, true=True, **before)


def note_tried(table: str, certificate_id: str, thing_name: str, record: Record) -> dict[str, Any]:
    """Write down the thing name that an attempt uses, if the record and its intent are still those seen."""
    update: dict[str, Any] = {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "SET #schema = :schema",
        "ExpressionAttributeNames": {"#schema": "schema"},
        "ExpressionAttributeValues": values(schema=SCHEMA),
    }
    try_name(update, thing_name, record)
    begun = "intent.decided_at = :begun" if record.begun_at else "attribute_not_exists(intent)"
    _require(update, begun, **({"begun": milliseconds(record.begun_at)} if record.begun_at else {}))
    require_as_seen(update, record)
    return update


def require_verdict(write: Any, verdict: OperatorVerdict | None) -> None:
    """Add the condition that this is still the operator's verdict; for None, that there is none.

    The version begins anew when a record was forgotten, so the time is compared too. A verdict that an earlier version
    of jitrctl wrote has no version, and is identified by its time alone.
    """
    if verdict is None:
        _require(write, "attribute_not_exists(verdict)")
        return
    version, given = "attribute_not_exists(verdict.#version)", {}
    if verdict.version:
        version, given = "verdict.#version = :version", {"version": verdict.version}
    _require(write, f"verdict.#at = :heard AND {version}", heard=milliseconds(verdict.at), **given)
    names = write.get("ExpressionAttributeNames", {})
    write["ExpressionAttributeNames"] = names | {"#at": "at", "#version": "version"}


def require_import_order(write: Any, order: ImportOrder | None) -> None:
    """Add the condition that this is still the import's order; for None, that there is none."""
    if order is None:
        _require(write, "attribute_not_exists(import_order)")
    else:
        _require(write, "import_order.#at = :ordered_at", ordered_at=milliseconds(order.at))
        write["ExpressionAttributeNames"] = write.get("ExpressionAttributeNames", {}) | {"#at": "at"}


def record_decision(
    table: str, decision: Decision, *, denied: bool, run: str | None = None, tried: str | None = None
) -> dict[str, Any]:
    """Write a decision, and what is due next. Condition: an operator's verdict denies the activation just if `denied`.

    `tried` is the thing name that was used for it, kept for the next attempt unless this one ends in ACTIVE. With
    `run`, the decision is written only while that run holds the intent, and ends the intent in the same write.
    """
    sets, removes = ["#decision = :decision", "#schema = :schema"], []
    more: dict[str, Any] = {}
    next_evaluation = decision.decided_at if denied else decision.next_evaluation
    if next_evaluation is not None:
        sets += ["due = :due", "due_at = :due_at"]
        more = values(due=(Due.DENIED if denied else Due.LOOK).value, due_at=milliseconds(next_evaluation))
    elif _ends_what_is_due(decision):
        removes += ["due", "due_at"]
    if listed := listing(decision):
        sets += [f"{LISTED_AS} = :listed_as", f"{LISTED_AT} = :listed_at"]
        more |= values(listed_as=listed[0], listed_at=listed[1])
    else:
        removes += [LISTED_AS, LISTED_AT]
    if issued_as := issued_as_of(decision):
        sets.append(f"{ISSUED_AS} = :issued_as")
        more |= values(issued_as=issued_as)
    if run or (decision.status is not Status.PENDING_ACTIVATION and decision.outcome is not Outcome.HELD):
        # A hold by a run that does not hold the intent keeps it: another run may be in the middle of a call.
        removes.append("intent")
    if run:
        removes.append("tried_is_open")
    removes += [] if _waits_for_import(decision) else ["import_order"]
    if decision.outcome is Outcome.ACTIVATED:
        removes.append("tried_name")
    elif tried:
        sets.append("tried_name = :tried")
        more |= values(tried=tried)
    update: dict[str, Any] = {
        "TableName": table,
        "Key": key(certificate_key(decision.certificate_id)),
        "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
        "ExpressionAttributeNames": {"#schema": "schema", "#decision": "decision"},
        "ExpressionAttributeValues": values(decision=from_decision(decision), schema=SCHEMA) | more,
    }
    _require(update, _DENIED if denied else NOT_DENIED, true=True)
    if run:
        _require(update, "intent.run = :run", run=run)
    return update


def _waits_for_import(decision: Decision) -> bool:
    """Whether it is a hold of an import: INACTIVE, as no other hold is but that of a release order."""
    is_import = is_source(decision.ca_certificate_id) or decision.status is Status.INACTIVE
    return decision.outcome is Outcome.HELD and decision.release is None and is_import


def _ends_what_is_due(decision: Decision) -> bool:
    """Other decisions keep what is due: in items of version 1 it can be the retirement. The sweep clears old ones."""
    is_ordered = decision.release is not None or is_source(decision.ca_certificate_id)
    return is_ordered or decision.outcome in (Outcome.REJECTED, Outcome.REPLACED)


def record_found(table: str, decision: Decision, record: Record, origin: str | None = None) -> dict[str, Any]:
    """Write a status that was found, if the record, its intent and its import's order are still those seen.

    `origin` is kept for good; None leaves the one that is there.
    """
    update = record_decision(table, decision, denied=record.is_denied)
    if origin:
        update["UpdateExpression"] = update["UpdateExpression"].replace("SET ", "SET origin = :origin, ", 1)
        update["ExpressionAttributeValues"] |= values(origin=origin)
    _require(
        update,
        "(attribute_not_exists(intent) OR intent.decided_at = :begun)",
        begun=milliseconds(record.begun_at) if record.begun_at else 0,
    )
    require_import_order(update, record.import_order)
    require_as_seen(update, record)
    return update


def clear_release(table: str, certificate_id: str, *, due_at: datetime) -> dict[str, Any]:
    """Remove a certificate from the index, if the release that is due is the one seen: a later one has another time."""
    update: dict[str, Any] = {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "REMOVE due, due_at",
    }
    _require(update, "due = :release AND due_at = :due_at", release=Due.RELEASE.value, due_at=milliseconds(due_at))
    return update


def postpone_evaluation(
    table: str, certificate_id: str, record: Record, *, due_at: datetime, until: datetime
) -> dict[str, Any]:
    """Let an evaluation be due later, if the due evaluation, the decision and the verdict are those seen."""
    update: dict[str, Any] = {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "SET due_at = :until",
        "ExpressionAttributeValues": values(until=milliseconds(until)),
    }
    _require(update, "due = :look AND due_at = :due_at", look=Due.LOOK.value, due_at=milliseconds(due_at))
    require_as_seen(update, record)
    return update


def clear_evaluation(table: str, certificate_id: str, record: Record, *, due_at: datetime) -> dict[str, Any]:
    """Remove a certificate from the index, if the due evaluation, the decision and the verdict are those seen."""
    update: dict[str, Any] = {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "REMOVE due, due_at",
    }
    _require(update, "due = :look AND due_at = :due_at", look=Due.LOOK.value, due_at=milliseconds(due_at))
    require_as_seen(update, record)
    return update


def require_hold(update: dict[str, Any], seen: Decision | None) -> None:
    """Add the condition that nothing was decided except a hold, and that there is no intent except the one seen."""
    _require(
        update,
        "(attribute_not_exists(#decision) OR #decision.outcome IN (:held, :found)) "
        "AND (attribute_not_exists(intent) OR intent.decided_at = :seen) "
        # While a release order is carried out, the status that was found is about to change.
        "AND (attribute_not_exists(verdict) OR NOT verdict.#word = :released)",
        held=Outcome.HELD.value,
        found=Outcome.FOUND.value,
        seen=milliseconds(seen.decided_at) if seen else 0,
        released=OperatorAction.RELEASED.value,
    )
    update["ExpressionAttributeNames"]["#word"] = "word"


def require_intent(update: dict[str, Any], seen: Decision) -> None:
    """Add the condition that there is no intent except the one that was seen."""
    _require(
        update,
        "(attribute_not_exists(intent) OR intent.decided_at = :seen)",
        seen=milliseconds(seen.decided_at),
    )


def require_undecided_since(update: dict[str, Any], seen: datetime | None) -> None:
    """Add the condition that no decision was made since the one of this time; for None, that there is none."""
    condition = "attribute_not_exists(#decision)"
    if seen is None:
        _require(update, condition)
    else:
        _require(update, f"({condition} OR #decision.decided_at = :before)", before=milliseconds(seen))


def _require(write: Any, condition: str, **more: Any) -> None:
    """Add a condition to a write."""
    earlier = write.get("ConditionExpression")
    write["ConditionExpression"] = f"{earlier} AND {condition}" if earlier else condition
    if more:  # DynamoDB takes no empty map
        write["ExpressionAttributeValues"] = write.get("ExpressionAttributeValues", {}) | values(**more)
