"""Reads an index of the registry table page by page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.store.dynamodb import deserialize, serialize

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Where the next page begins: the keys, of the table and of the index, of the last item that was read.
Position = Mapping[str, Any]


def query_page(
    client: "DynamoDBClient",
    table: str,
    index: str,
    condition: str,
    wanted: Mapping[str, Any],
    after: Position | None,
    *,
    most: int,
) -> tuple[list[str], Position | None]:
    """Query the certificate ids of the next items that meet the condition, and the position after them, if any follow.

    Raises Unavailable.
    """
    start: Any = {"ExclusiveStartKey": serialize(after)} if after else {}
    with calling("Query"):
        answer = client.query(
            TableName=table,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=wanted,
            Limit=most,
            **start,
        )
    last = answer.get("LastEvaluatedKey")
    return [item["id"]["S"].partition("#")[2] for item in answer["Items"]], deserialize(last) if last else None
