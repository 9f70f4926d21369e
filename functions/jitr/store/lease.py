"""Takes and gives back leases in the registry table: one run at a time does a piece of work.

lease#<what>   holder   which run
               until    until when it has the lease; epoch milliseconds. A run that died loses it then
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.aws.calls import calling
from jitr.errors import Unavailable
from jitr.store.dynamodb import key, values
from jitr.store.registry_items import SCHEMA, milliseconds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def take(client: "DynamoDBClient", table: str, what: str, who: str, now: datetime, *, seconds: float) -> bool:
    """Take the lease on `what` for so many seconds; False while another run has it.

    If no answer comes, it may have been taken all the same. So it is given back: otherwise nobody had it until it ends.

    Raises Unavailable.
    """
    try:
        return _take(client, table, what, who, now, seconds)
    except Unavailable:
        with suppress(Unavailable):
            give_back(client, table, what, who)
        raise


def _take(client: "DynamoDBClient", table: str, what: str, who: str, now: datetime, seconds: float) -> bool:
    """Raises Unavailable."""
    try:
        with calling("UpdateItem"):
            client.update_item(
                TableName=table,
                Key=key(f"lease#{what}"),
                UpdateExpression="SET holder = :who, #until = :until, #schema = :schema",
                ConditionExpression="attribute_not_exists(#until) OR #until < :now OR holder = :who",
                ExpressionAttributeNames={"#until": "until", "#schema": "schema"},
                ExpressionAttributeValues=values(
                    who=who,
                    now=milliseconds(now),
                    until=milliseconds(now + timedelta(seconds=seconds)),
                    schema=SCHEMA,
                ),
            )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def give_back(client: "DynamoDBClient", table: str, what: str, who: str) -> None:
    """Give the lease back, so that the next run can begin at once; nothing if another run has it by now.

    Raises Unavailable.
    """
    try:
        with calling("DeleteItem"):
            client.delete_item(
                TableName=table,
                Key=key(f"lease#{what}"),
                ConditionExpression="holder = :who",
                ExpressionAttributeValues=values(who=who),
            )
    except client.exceptions.ConditionalCheckFailedException:
        return
