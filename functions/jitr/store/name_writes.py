"""Builds the conditional writes on who owns a thing name, as data; a claim makes them with those of registry_writes.py.

`own` locks the thing name. In a rotation `hand_over` schedules the retirement of the old certificate in the same
transaction; `give_back` and `undo_hand_over` take both back when the new one is not activated after all.
"""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.decisions import Decision
from jitr.owners import NameRollback, Owner
from jitr.store.dynamodb import key, set_attributes, values
from jitr.store.registry_items import SCHEMA, certificate_key, from_owner, milliseconds, retirement_key, thing_key
from jitr.store.registry_writes import Due

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateTypeDef

_FREE = "attribute_not_exists(certificate_id) OR certificate_id = :certificate_id"


def own(table: str, intent: Decision, owner: Owner, *, share: bool, earlier: Owner | None) -> "UpdateTypeDef":
    """Make the intent's certificate the owner of its thing name.

    Condition: the name is free, it owns it already, or the owner is still the `earlier` one in the same registration.
    With `share` an owner stays, if it is under the same CA.
    """
    assert intent.thing_name is not None  # noqa: S101 -- only activations are claimed
    thing = intent.thing_name
    if share:
        condition = "attribute_not_exists(certificate_id) OR ca_certificate_id = :ca_certificate_id"
        return _own(table, thing, replace(owner, previous_owners=()), condition, keep=True)
    if earlier is None:
        return _own(table, thing, owner, _FREE)
    condition = f"{_FREE} OR (certificate_id = :earlier AND registered_at = :since)"
    return _own(
        table,
        thing,
        owner,
        condition,
        earlier=earlier.certificate_id,
        since=milliseconds(earlier.registered_at),
    )


def _own(
    table: str, thing_name: str, owner: Owner, condition: str, *, keep: bool = False, **more: Any
) -> "UpdateTypeDef":
    fields = from_owner(owner) | {"schema": SCHEMA}
    sets = [f"#{name} = if_not_exists(#{name}, :{name})" if keep else f"#{name} = :{name}" for name in fields]
    drop = "" if keep or owner.previous_owners else " REMOVE formers"
    return {
        "TableName": table,
        "Key": key(thing_key(thing_name)),
        "UpdateExpression": f"SET {', '.join(sets)}{drop}",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        "ExpressionAttributeValues": values(**fields, **more),
    }


def hand_over(table: str, certificate_id: str, *, by: Decision, retire_at: datetime) -> "list[UpdateTypeDef]":
    """Write which certificate replaced this one, and when this one is to be retired."""
    former = {"replaced_by": by.certificate_id, "former_thing_name": by.thing_name}
    return [
        set_attributes(table, certificate_key(certificate_id), **former, schema=SCHEMA),
        schedule_retirement(table, certificate_id, at=retire_at),
    ]


def schedule_retirement(table: str, certificate_id: str, *, at: datetime) -> "UpdateTypeDef":
    """Schedule a retirement, in a separate item, since something else may be due with the certificate's item."""
    due = {"due": Due.RETIRE.value, "due_at": milliseconds(at)}
    return set_attributes(table, retirement_key(certificate_id), **due, schema=SCHEMA)


def give_back(table: str, back: NameRollback) -> "TransactWriteItemTypeDef":
    """Give a thing name back to its previous owner, or make it free, if the certificate that claimed it owns it."""
    if back.to:
        return {"Update": _own(table, back.thing_name, back.to, "certificate_id = :by", by=back.by)}
    return {
        "Delete": {
            "TableName": table,
            "Key": key(thing_key(back.thing_name)),
            "ConditionExpression": "certificate_id = :by",
            "ExpressionAttributeValues": values(by=back.by),
        }
    }


def undo_hand_over(table: str, certificate_id: str, thing_name: str) -> "UpdateTypeDef":
    """Undo `hand_over`: the certificate owns its name again, so it is not replaced any more."""
    return {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "REMOVE replaced_by, former_thing_name",
        "ConditionExpression": "former_thing_name = :thing",
        "ExpressionAttributeValues": values(thing=thing_name),
    }


def own_if_free(table: str, thing_name: str, owner: Owner) -> "UpdateTypeDef":
    """Make a certificate the owner of a thing name that is free, or that it owns already."""
    return _own(table, thing_name, owner, _FREE)
