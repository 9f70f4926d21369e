"""The hub's table: one item for each certificate and place, with the content of the latest event.

id                certificate id
place             <account id>/<Region>
at, event_id      the time of the latest statement, epoch milliseconds, and its event
status, since     the certificate's status there; since when it has been ACTIVE, only while it is
thing_name, ca    as last reported; a later event without them leaves them
out_of_place      only while it is ACTIVE where it does not belong; the key of a sparse index
schema            version of the item; unknown attributes are ignored
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.frozen import value
from jitr.hub.locations import Statement
from jitr.store.dynamodb import deserialize, values
from jitr.store.registry_items import milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OUT_OF_PLACE_INDEX = "out-of-place"
_SCHEMA = 1
_OUT = "yes"  # the index's only partition, since few devices are out of place


@value
class DeviceLocation:
    """The status of a certificate in a place."""

    certificate_id: str
    account_id: str
    region: str
    status: str
    at: datetime
    since: datetime | None = None  # None: it is not ACTIVE there
    thing_name: str | None = None
    ca: str | None = None
    is_out_of_place: bool = False


class HubTable:
    """The table of one fleet, in its hub's account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of(self, certificate_id: str, place: str) -> DeviceLocation | None:
        """The status of a certificate in a place, read consistently; None if none is recorded.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=_key(certificate_id, place), ConsistentRead=True)
        return _to_location(deserialize(answer["Item"])) if "Item" in answer else None

    def record(self, statement: Statement, *, out_of_place: bool) -> bool:
        """Write a statement, unless the same or a later one is recorded; return whether it was written.

        Raises Unavailable.
        """
        written = {"status": statement.status, "event_id": statement.event_id, "schema": _SCHEMA}
        written |= {"thing_name": statement.thing_name} if statement.thing_name else {}
        written |= {"ca": statement.ca} if statement.ca else {}
        written |= {"out_of_place": _OUT} if out_of_place else {}
        removed = [
            name for name, stays in (("since", statement.is_active), ("out_of_place", out_of_place)) if not stays
        ]
        setting = ["#at = :at", *(f"#{name} = :{name}" for name in written)]
        if statement.is_active:
            setting.append("#since = if_not_exists(#since, :at)")
        expression = "SET " + ", ".join(setting)
        if removed:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        named = {*written, *removed, "at", *(["since"] if statement.is_active else [])}
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(statement.certificate_id, statement.place),
                    UpdateExpression=expression,
                    ConditionExpression="attribute_not_exists(#at) OR #at < :at",
                    ExpressionAttributeNames={f"#{name}": name for name in sorted(named)},
                    ExpressionAttributeValues=values(at=milliseconds(statement.at), **written),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def restart_stay(self, statement: Statement) -> None:
        """Set `since` to the time of the latest statement: this earlier one says that the certificate was not ACTIVE.

        Raises Unavailable.
        """
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(statement.certificate_id, statement.place),
                    UpdateExpression="SET since = #at",
                    ConditionExpression="since < :left AND #at > :left",
                    ExpressionAttributeNames={"#at": "at"},
                    ExpressionAttributeValues=values(left=milliseconds(statement.at)),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def scan(self) -> Iterator[DeviceLocation]:
        """All items, in no order; it reads the whole table, so it is for operators only.

        Raises Unavailable.
        """
        yield from self._pages("scan")

    def out_of_place(self) -> Iterator[DeviceLocation]:
        """The items that are out of place, the longest first; eventually consistent, since it reads an index.

        Raises Unavailable.
        """
        yield from self._pages(
            "query",
            IndexName=OUT_OF_PLACE_INDEX,
            KeyConditionExpression="out_of_place = :out",
            ExpressionAttributeValues=values(out=_OUT),
        )

    def _pages(self, operation: str, **parameters: Any) -> Iterator[DeviceLocation]:
        start: dict[str, Any] = {}
        while True:
            with calling(operation.capitalize()):
                answer = getattr(self._client, operation)(TableName=self._table, **parameters, **start)
            yield from (_to_location(deserialize(item)) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _key(certificate_id: str, place: str) -> dict[str, Any]:
    return {"id": {"S": certificate_id}, "place": {"S": place}}


def _to_location(fields: Mapping[str, Any]) -> DeviceLocation:
    account_id, _, region = str(fields["place"]).partition("/")
    return DeviceLocation(
        certificate_id=fields["id"],
        account_id=account_id,
        region=region,
        status=fields.get("status", ""),
        at=moment(fields["at"]),
        since=moment(fields["since"]) if "since" in fields else None,
        thing_name=fields.get("thing_name"),
        ca=fields.get("ca"),
        is_out_of_place="out_of_place" in fields,
    )
