"""Marks of what attempts to activate a certificate may have left behind: items of the registry's table.

    withdrawal#<certificateId>#<thingName>   the policy; due = "withdraw", and when the sweep looks at it

A mark says that jitr attached the certificate to this thing, or made the thing, and takes that back: the run that wrote
the mark, or else the sweep (withdrawal_repair.py). It is written in one transaction with the intent under which a run
takes something back, and deleted in one with the record of the decision when that run has left nothing. A mark is for
one certificate and one thing name, so runs that use different names never change each other's marks.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import batch_get, calling
from jitr.frozen import value
from jitr.store.dynamodb import key, plain, setting, values
from jitr.store.registry_items import SCHEMA, milliseconds, moment, withdrawal_key
from jitr.store.registry_writes import STALE_INTENT, Due

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


@value
class Withdrawal:
    """One mark."""

    certificate_id: str
    thing_name: str
    policy: str | None  # that an attempt may have attached as well
    due_at: datetime

    @property
    def key(self) -> str:
        return withdrawal_key(self.certificate_id, self.thing_name)


def marks(certificate_id: str, thing_names: Iterable[str], policy: str | None, now: datetime) -> tuple[Withdrawal, ...]:
    """A mark for each of these thing names, due once the run that writes them now is known to be dead."""
    return tuple(
        Withdrawal(certificate_id=certificate_id, thing_name=name, policy=policy, due_at=now + STALE_INTENT)
        for name in sorted(thing_names)
    )


def note(table: str, withdrawal: Withdrawal) -> "TransactWriteItemTypeDef":
    """Write the mark; one that stands is due when this one says."""
    policy = {"policy": withdrawal.policy} if withdrawal.policy else {}
    due = {"due": Due.WITHDRAW.value, "due_at": milliseconds(withdrawal.due_at)}
    return {"Update": setting(table, withdrawal.key, **due, **policy, schema=SCHEMA)}


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
        items = (plain(item) for item in batch_get(self._client, self._table, [key(one) for one in keys]))
        found = {fields["id"]: _withdrawal(fields) for fields in items if "due_at" in fields}
        return [found[one] for one in keys if one in found]

    def postpone(self, withdrawal: Withdrawal, until: datetime) -> None:
        """Let the mark be due later, if it still stands.

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
        """Delete the mark, unless it was written again since it was read.

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
