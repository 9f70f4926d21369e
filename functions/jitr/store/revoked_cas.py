"""Keeps which CAs an operator has revoked in this account and Region: no device under them is activated.

    cas#revoked    <caCertificateId> → by whom, when and why; one attribute for each revoked CA
                     devices → the order on its devices, by whom, when and why, if there is one
                   lifted#<caCertificateId> → the same of the order that lifted its last revocation

A batch of `register` that was read before the revocation may activate devices until it ends, and the operator's count
of the CA's devices does not have these. The sweep carries the order on devices out on them (late_devices.py).

A stage in which the revocation was lifted gets no other stage's again by a copy (jitrctl/ca/revoked_elsewhere.py).

`register` reads the item with the records of each batch, in the same call, so the order holds within seconds whatever
AWS IoT shows of the CA. The sweep sets a CA INACTIVE again that somebody or a deployment has activated (ca_guard.py).
Only jitrctl writes the item. Earlier versions ignore it.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.frozen import value
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.registry_items import SCHEMA, from_verdict, milliseconds, moment, to_verdict
from jitr.verdicts import OperatorAction, OperatorVerdict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef

REVOKED_CAS = "cas#revoked"
_CA_ID = re.compile(r"[0-9a-f]{64}")
_LIFTED = "lifted#"


@value
class CaRevocation:
    """An operator's order that revoked a CA."""

    by: str  # the caller's ARN
    at: datetime  # by the operator's clock
    note: str = ""
    devices: OperatorVerdict | None = None  # the verdict on each of its devices: REVOKED or DEACTIVATED

    @property
    def description(self) -> str:
        """The operator, time and note: revoked by arn:…/ann 2026-11-26 10:00Z ('key leaked')."""
        return f"revoked by {self.by} {self.at:%Y-%m-%d %H:%M}Z" + (f" ({self.note!r})" if self.note else "")


@value
class CaRevocations:
    """What one stage knows of revoked CAs, by certificate id."""

    revoked: Mapping[str, CaRevocation] = field(default_factory=dict)
    lifted: Mapping[str, CaRevocation] = field(default_factory=dict)  # whose last revocation was lifted, and by whom


def to_revocations(item: Mapping[str, Any]) -> dict[str, CaRevocation]:
    """The revoked CAs that the item names, by certificate id."""
    return {name: _to_revocation(fields) for name, fields in item.items() if _CA_ID.fullmatch(name)}


def _to_revocation(fields: Mapping[str, Any]) -> CaRevocation:
    devices = fields.get("devices")
    return CaRevocation(
        by=fields.get("by", ""),
        at=moment(fields.get("at", 0)),
        note=fields.get("note", ""),
        devices=to_verdict(devices) if devices else None,
    )


def _from_revocation(given: CaRevocation) -> dict[str, Any]:
    return {"by": given.by, "at": milliseconds(given.at), "note": given.note}


def require_order(table: str, ca_certificate_id: str, order: OperatorVerdict) -> "ConditionCheckTypeDef":
    """The condition that this order on a CA's devices stands, and was not lifted."""
    return {
        "TableName": table,
        "Key": key(REVOKED_CAS),
        "ConditionExpression": "#ca.#devices.#at = :at AND #ca.#devices.#word = :word",
        "ExpressionAttributeNames": {"#ca": ca_certificate_id, "#devices": "devices", "#at": "at", "#word": "word"},
        "ExpressionAttributeValues": values(at=milliseconds(order.at), word=order.action.value),
    }


class RevokedCas:
    """The revoked CAs of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> dict[str, CaRevocation]:
        """The revoked CAs, by certificate id, read consistently.

        Raises Unavailable.
        """
        return to_revocations(self._read())

    def read_all(self) -> CaRevocations:
        """The revoked CAs, and those whose revocation was lifted, read consistently.

        Raises Unavailable.
        """
        item = self._read()
        lifted = {
            name.removeprefix(_LIFTED): _to_revocation(fields)
            for name, fields in item.items()
            if name.startswith(_LIFTED)
        }
        return CaRevocations(revoked=to_revocations(item), lifted=lifted)

    def _read(self) -> dict[str, Any]:
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(REVOKED_CAS), ConsistentRead=True)
        return deserialize(answer.get("Item", {}))

    def revoke(self, ca_certificate_id: str, given: CaRevocation) -> CaRevocation:
        """Revoke a CA, unless it is revoked already; returns the order in force.

        Raises Unavailable.
        """
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=key(REVOKED_CAS),
                    UpdateExpression="SET #ca = :given, #schema = :schema REMOVE #lifted",
                    ConditionExpression="attribute_not_exists(#ca)",
                    ExpressionAttributeNames={
                        "#ca": ca_certificate_id,
                        "#lifted": f"{_LIFTED}{ca_certificate_id}",
                        "#schema": "schema",
                    },
                    ExpressionAttributeValues=values(given=_from_revocation(given), schema=SCHEMA),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return self.read().get(ca_certificate_id, given)
        return given

    def order_devices(self, ca_certificate_id: str, verdict: OperatorVerdict) -> bool:
        """Order each device of a revoked CA away; an equal or stronger order stays. False if the CA is not revoked.

        Raises Unavailable.
        """
        weaker = OperatorAction.DEACTIVATED.value if verdict.action is OperatorAction.REVOKED else ""
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=key(REVOKED_CAS),
                    UpdateExpression="SET #ca.#devices = :given",
                    ConditionExpression="attribute_exists(#ca)"
                    " AND (attribute_not_exists(#ca.#devices) OR #ca.#devices.#word = :weaker)",
                    ExpressionAttributeNames={"#ca": ca_certificate_id, "#devices": "devices", "#word": "word"},
                    ExpressionAttributeValues=values(given=from_verdict(verdict), weaker=weaker),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return ca_certificate_id in self.read()
        return True

    def lift(self, ca_certificate_id: str, given: CaRevocation) -> None:
        """Take the revocation of a CA back, if there is one, with the order on its devices.

        Raises Unavailable.
        """
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=key(REVOKED_CAS),
                    UpdateExpression="SET #lifted = :given REMOVE #ca",
                    ConditionExpression="attribute_exists(#ca)",
                    ExpressionAttributeNames={"#ca": ca_certificate_id, "#lifted": f"{_LIFTED}{ca_certificate_id}"},
                    ExpressionAttributeValues=values(given=_from_revocation(given)),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # it was lifted before
