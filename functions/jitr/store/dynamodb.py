"""Converts between DynamoDB's attribute values and Python's own values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef


class _Serializer(TypeSerializer):
    """boto3's, which tests a string, most of what there is, for four other types first."""

    def serialize(self, value: Any) -> Any:
        return {"S": value} if type(value) is str else super().serialize(value)


class _Deserializer(TypeDeserializer):
    """boto3's, which looks up a method by its name for each string."""

    def deserialize(self, value: Any) -> Any:
        return value["S"] if "S" in value else super().deserialize(value)


_serialize = _Serializer().serialize
_deserialize = _Deserializer().deserialize


def key(of: str) -> dict[str, Any]:
    """The primary key of the item with this id."""
    return {"id": {"S": of}}


def serialize(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Python values as the attributes of a whole item."""
    return {name: _serialize(value) for name, value in fields.items()}


def values(**fields: Any) -> dict[str, Any]:
    """Expression attribute values: each field under its name with a colon."""
    return {f":{name}": _serialize(value) for name, value in fields.items()}


def deserialize(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An item's attributes as Python's own values; numbers are Decimals."""
    return {name: _deserialize(value) for name, value in attributes.items()}


def set_attributes(table: str, of: str, /, **fields: Any) -> "UpdateTypeDef":
    """The update of one item that sets these attributes; their names may be reserved words of DynamoDB."""
    return {
        "TableName": table,
        "Key": key(of),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in fields),
        "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        "ExpressionAttributeValues": values(**fields),
    }
