"""How often a message has failed for a reason of ours: one item for each such message in the registry table.

    failures#<messageId>   failures; expires_at, after which DynamoDB deletes the item (infra/jitr_cdk/registry.py)

SQS counts receives, and a message that waits for AWS is received often. A message's attributes cannot be changed, and a
function that sends a message to its own queue is stopped by Lambda as a recursive loop after about 16 times (Lambda
guide, "Use Lambda recursive loop detection"); so the count is kept here. The item is written only when a message has
failed, never for an ordinary activation, and is keyed by the message: an id that AWS IoT does not know gets no item.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.aws.calls import calling
from jitr.store.dynamodb import key, values
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
        """Count one failure more; the number of failures so far, this one included.

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
