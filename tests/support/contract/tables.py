"""A table of the contract tests, whose items are plain values."""

from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from jitr.store.registry import DUE_INDEX
from tests.support.contract.places import Place, answer

INVALID = ("ValidationException", 400)
serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def values(**fields: Any) -> dict[str, Any]:
    return {f":{name}": serialize(value) for name, value in fields.items()}


def key(of: str) -> dict[str, Any]:
    return {"id": {"S": of}}


def plain(item: Any) -> dict[str, Any]:
    return {name: deserialize(value) for name, value in item.items()}


class Table:
    """One table at a place."""

    def __init__(self, place: Place) -> None:
        self.client = place.dynamodb
        self.name = place.table()

    def item(self, of: str) -> dict[str, Any] | None:
        answered = self.client.get_item(TableName=self.name, Key=key(of), ConsistentRead=True)
        return plain(answered["Item"]) if "Item" in answered else None

    def put(self, **fields: Any) -> None:
        self.client.put_item(TableName=self.name, Item={name: serialize(value) for name, value in fields.items()})

    def update(self, of: str, expression: str, condition: str | None = None, **fields: Any) -> dict[str, Any]:
        """UpdateItem's parameters; `fields` are the expression attribute values, without their colons."""
        update: dict[str, Any] = {"TableName": self.name, "Key": key(of), "UpdateExpression": expression}
        if condition:
            update["ConditionExpression"] = condition
        if fields:
            update["ExpressionAttributeValues"] = values(**fields)
        return update

    def answered(self, update: dict[str, Any]) -> tuple[str, int]:
        return answer(lambda: self.client.update_item(**update))

    def due(self, what: str, by: int, **more: Any) -> Any:
        return self.client.query(
            TableName=self.name,
            IndexName=DUE_INDEX,
            KeyConditionExpression="due = :due AND due_at <= :by",
            ExpressionAttributeValues=values(due=what, by=by),
            **more,
        )
