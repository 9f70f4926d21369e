"""Writes and reads marks of what attempts to activate a certificate may have left behind, in the registry table.

    withdrawal#<certificateId>#<thingName>   the policy; due = "withdraw", and when the sweep repairs it

A mark says that jitr may have attached the certificate to this thing, or made the thing, and is to take that back: the
run that wrote the mark does, or else the sweep (withdrawal_repair.py). It is written in one transaction with the intent
of the run that takes something back, and deleted in one transaction with its decision. A mark is for one certificate
and one thing name, so runs that use different names never change each other's marks.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import batch_get, calling
from jitr.frozen import value
from jitr.store.dynamodb import deserialize, key, set_attributes, values
from jitr.store.registry_items import SCHEMA, milliseconds, moment, withdrawal_key
from jitr.store.registry_writes import STALE_INTENT, Due

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


@value
class Withdrawal:
    """One mark: what an attempt with this thing name may have left behind."""

    certificate_id: str
    thing_name: str
    policy: str | None  # the policy that an attempt may have attached
    due_at: datetime

    @property
    def key(self) -> str:
        return withdrawal_key(self.certificate_id, self.thing_name)


def marks(certificate_id: str, thing_names: Iterable[str], policy: str | None, now: datetime) -> tuple[Withdrawal, ...]:
    """A mark for each of these thing names, due when the run that writes them must have ended."""
    return tuple(
        Withdrawal(certificate_id=certificate_id, thing_name=name, policy=policy, due_at=now + STALE_INTENT)
        for name in sorted(thing_names)
    )


def note(table: str, withdrawal: Withdrawal) -> "TransactWriteItemTypeDef":
    """Write the mark; an existing one gets the new time."""
    policy = {"policy": withdrawal.policy} if withdrawal.policy else {}
    due = {"due": Due.WITHDRAW.value, "due_at": milliseconds(withdrawal.due_at)}
    return {"Update": set_attributes(table, withdrawal.key, **due, **policy, schema=SCHEMA)}


def end(table: str, withdrawal: Withdrawal) -> "TransactWriteItemTypeDef":
    """Delete the mark."""
    return {"Delete": {"TableName": table, "Key": key(withdrawal.key)}}


class Withdrawals:
    """The marks of one fleet in one account and Region, as the sweep reads and ends them."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, ids: Iterable[str]) -> list[Withdrawal]:
        """The marks with these ids, each `<certificateId>#<thingName>`, in this order.

        Raises Unavailable.
        """
        keys = [withdrawal_key(*one.split("#", 1)) for one in ids]
        items = (deserialize(item) for item in batch_get(self._client, self._table, [key(one) for one in keys]))
        found = {fields["id"]: _withdrawal(fields) for fields in items if "due_at" in fields}
        return [found[one] for one in keys if one in found]

    def postpone(self, withdrawal: Withdrawal, until: datetime) -> None:
        """Postpone the mark, if it has not changed since it was read.

        Raises Unavailable.
        """
        update = {
            "TableName": self._table,
            "Key": key(withdrawal.key),
            "UpdateExpression": "SET due_at = :until",
            "ConditionExpression": "due_at = :seen",
            "ExpressionAttributeValues": values(until=milliseconds(until), seen=milliseconds(withdrawal.due_at)),
        }
        self._unless_changed("UpdateItem", update)

    def end(self, withdrawal: Withdrawal) -> None:
        """Delete the mark, if it has not changed since it was read.

        Raises Unavailable.
        """
        delete = {
            "TableName": self._table,
            "Key": key(withdrawal.key),
            "ConditionExpression": "due_at = :seen",
            "ExpressionAttributeValues": values(seen=milliseconds(withdrawal.due_at)),
        }
        self._unless_changed("DeleteItem", delete)

    def _unless_changed(self, operation: str, write: Any) -> None:
        make = self._client.update_item if operation == "UpdateItem" else self._client.delete_item
        try:
            with calling(operation):
                make(**write)
        except self._client.exceptions.ConditionalCheckFailedException:
            return


def _withdrawal(fields: dict[str, Any]) -> Withdrawal:
    _, certificate_id, thing_name = fields["id"].split("#", 2)
    return Withdrawal(
        certificate_id=certificate_id,
        thing_name=thing_name,
        policy=fields.get("policy"),
        due_at=moment(fields["due_at"]),
    )
