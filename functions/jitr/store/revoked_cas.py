"""Keeps which CAs an operator has revoked in this account and Region: no device under them is activated.

    cas#revoked    <caCertificateId> → by whom, when and why; one attribute for each revoked CA

`register` reads the item with the records of each batch, in the same call, so the order holds within seconds whatever
AWS IoT shows of the CA. The sweep sets a CA INACTIVE again that somebody or a deployment has activated (ca_guard.py).
Only jitrctl writes the item. Earlier versions ignore it.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.frozen import value
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.registry_items import SCHEMA, milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REVOKED_CAS = "cas#revoked"
_CA_ID = re.compile(r"[0-9a-f]{64}")


@value
class CaRevocation:
    """An operator's order that revoked a CA."""

    by: str  # the caller's ARN
    at: datetime  # by the operator's clock
    note: str = ""

    @property
    def description(self) -> str:
        """The operator, time and note: revoked by arn:…/ann 2026-11-26 10:00Z ('key leaked')."""
        return f"revoked by {self.by} {self.at:%Y-%m-%d %H:%M}Z" + (f" ({self.note!r})" if self.note else "")


def to_revocations(item: Mapping[str, Any]) -> dict[str, CaRevocation]:
    """The revoked CAs that the item names, by certificate id."""
    return {
        name: CaRevocation(by=fields.get("by", ""), at=moment(fields.get("at", 0)), note=fields.get("note", ""))
        for name, fields in item.items()
        if _CA_ID.fullmatch(name)
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
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(REVOKED_CAS), ConsistentRead=True)
        return to_revocations(deserialize(answer.get("Item", {})))

    def revoke(self, ca_certificate_id: str, given: CaRevocation) -> CaRevocation:
        """Revoke a CA, unless it is revoked already; returns the order in force.

        Raises Unavailable.
        """
        fields = {"by": given.by, "at": milliseconds(given.at), "note": given.note}
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=key(REVOKED_CAS),
                    UpdateExpression="SET #ca = :given, #schema = :schema",
                    ConditionExpression="attribute_not_exists(#ca)",
                    ExpressionAttributeNames={"#ca": ca_certificate_id, "#schema": "schema"},
                    ExpressionAttributeValues=values(given=fields, schema=SCHEMA),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return self.read().get(ca_certificate_id, given)
        return given

    def lift(self, ca_certificate_id: str) -> None:
        """Take the revocation of a CA back, if there is one.

        Raises Unavailable.
        """
        with calling("UpdateItem"):
            self._client.update_item(
                TableName=self._table,
                Key=key(REVOKED_CAS),
                UpdateExpression="REMOVE #ca",
                ExpressionAttributeNames={"#ca": ca_certificate_id},
            )
