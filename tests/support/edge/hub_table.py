"""The hub's table, as the hub's stack makes it."""

from typing import Any

from jitr.hub.table import OUT_OF_PLACE_INDEX

TABLE = "jitr-acme-hub"


def create_hub_table(dynamodb: Any) -> None:
    """Create the hub's table with a boto3 client of DynamoDB."""
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "place", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "place", "AttributeType": "S"},
            {"AttributeName": "out_of_place", "AttributeType": "S"},
            {"AttributeName": "since", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": OUT_OF_PLACE_INDEX,
                "KeySchema": [
                    {"AttributeName": "out_of_place", "KeyType": "HASH"},
                    {"AttributeName": "since", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
