"""Counts the failures of a message that is received again: one item for each such message in the registry table.

    failures#<messageId>   failures    how often it has failed for a reason of the deployment or of jitr itself
                           begun_at    when its processing began, if it was received often; an attribute that stays
                                       is of a function that died while processing it. Earlier versions ignore it
                           expires_at  when DynamoDB may delete the item (infra/jitr_cdk/registry.py)

Why not in SQS: it counts receives, and a message that waits for AWS is received often. A message's attributes cannot be
changed, and Lambda stops a function that sends a message to its own queue after about 16 times (Lambda guide, "Use
Lambda recursive loop detection"). The item is written only when a message has failed or was received often, never for
an ordinary activation. Its key is the message's id, so a certificate id that AWS IoT does not know gets no item.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.aws.calls import batch_get, calling
from jitr.store.dynamodb import deserialize, key, set_attributes, values
from jitr.store.registry_items import SCHEMA

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EXPIRES_AT = "expires_at"  # epoch seconds, as DynamoDB's time to live demands
_KEPT = timedelta(days=14)  # longer than any message


class FailureCount:
    """The counts of one registrations queue."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, message_id: str, now: datetime) -> int:
        """Count one failure; returns the number of failures so far, this one included.

        Raises Unavailable, NotPermitted.
        """
        with calling("UpdateItem"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=key(f"failures#{message_id}"),
                UpdateExpression="SET #expires = :expires, #schema = :schema ADD failures :one",
                ExpressionAttributeNames={"#expires": EXPIRES_AT, "#schema": "schema"},
                ExpressionAttributeValues=values(expires=round((now + _KEPT).timestamp()), schema=SCHEMA, one=1),
                ReturnValues="ALL_NEW",
            )
        return int(answer["Attributes"]["failures"]["N"])

    def begin(self, message_id: str, now: datetime) -> None:
        """Write down that processing of a message begins.

        Raises Unavailable, NotPermitted.
        """
        seconds = round(now.timestamp())
        noted = {"begun_at": seconds, EXPIRES_AT: seconds + round(_KEPT.total_seconds()), "schema": SCHEMA}
        with calling("UpdateItem"):
            self._client.update_item(**set_attributes(self._table, f"failures#{message_id}", **noted))

    def end(self, message_id: str) -> None:
        """Write down that processing ended, for a message that will be received again.

        Raises Unavailable, NotPermitted.
        """
        with calling("UpdateItem"):
            self._client.update_item(
                TableName=self._table, Key=key(f"failures#{message_id}"), UpdateExpression="REMOVE begun_at"
            )

    def find_begun(self, message_ids: Iterable[str]) -> set[str]:
        """Those of these messages whose processing began and did not end; at most a batch of them.

        Raises Unavailable, NotPermitted.
        """
        keys = [key(f"failures#{one}") for one in dict.fromkeys(message_ids)]
        items = map(deserialize, batch_get(self._client, self._table, keys))
        return {str(item["id"]).partition("#")[2] for item in items if "begun_at" in item}
