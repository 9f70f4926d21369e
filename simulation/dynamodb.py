"""DynamoDB: tables with a partition key and an optional sort key, sparse global indexes, conditions, transactions.

Unlike AWS's, every read is consistent and every index is up to date at once. Items are never changed in place, so what
was read does not change. Capacity, streams, scans, TTL and size limits are not modelled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import gt, lt
from typing import Any

from simulation import expressions
from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.place import Place
from simulation.update_item import apply_update
from simulation.values import ExpressionScope, Item, PathParts, Value, invalid, order

_MOST_IN_BATCH_GET = _MOST_IN_TRANSACTION = 100
# TransactWriteItems with the same ClientRequestToken is carried out once within ten minutes (API reference); botocore
# makes one for each call and keeps it in retries, so a transaction whose answer was lost succeeds the second time.
_TOKEN_SECONDS = 600

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index; an item without the index's key attributes is not in it."""

    partition: str
    sort: str | None = None


class Table:
    """One table; partition keys are strings, other keys strings or numbers."""

    def __init__(
        self, name: str, *, partition: str, sort: str | None = None, indexes: Mapping[str, Index] | None = None
    ) -> None:
        self.name = name
        self.partition = partition
        self.sort = sort
        self.key_names = (partition, sort) if sort else (partition,)
        self._key_set = frozenset(self.key_names)
        self.indexes = indexes or {}
        self.items: dict[Key, Item] = {}
        # index name → partition value → keys; in order of writing, sorted when asked for.
        self._indexed: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in self.indexes}

    def key(self, given: Item) -> Key:
        """An item's key as one value.

        Raises ServiceError when a key attribute is missing, or the partition key is not a string.
        """
        parts = []
        for name in self.key_names:
            part = next(iter(given[name].values())) if name in given else None
            if not part:
                raise invalid("The provided key element does not match the schema")
            parts.append(part)
        if "S" not in given[self.partition]:
            raise invalid("The provided key element does not match the schema")
        return tuple(parts)

    def exact_key(self, given: Item) -> Key:
        """A call's key parameter as one value.

        Raises ServiceError when it does not have exactly the key's attributes.
        """
        if given.keys() != self._key_set:
            raise invalid("The provided key element does not match the schema")
        return self.key(given)

    def put(self, key: Key, item: Item | None) -> None:
        """Replace an item, or remove it."""
        for name, index in self.indexes.items():
            for one, add in ((self.items.get(key), False), (item, True)):
                if one is None or index.partition not in one or (index.sort and index.sort not in one):
                    continue
                keys = self._indexed[name].setdefault(next(iter(one[index.partition].values())), {})
                keys[key] = None
                if not add:
                    del keys[key]
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item

    def of_partition(self, index_name: str | None, value: str) -> list[Item]:
        """The items of one partition of the table or an index, by their sort key, ascending."""
        if index_name is None:
            found = [item for key, item in self.items.items() if key[0] == value] if self.sort else []
            if not self.sort and (value,) in self.items:
                found = [self.items[(value,)]]
        else:
            found = [self.items[key] for key in self._indexed[index_name].get(value, {})]
        return sorted(found, key=lambda item: self.position(index_name, item))

    def position(self, index_name: str | None, item: Item) -> tuple[Any, Key]:
        """The order of an item in its partition, even of a deleted one, after which a page may begin.

        Items with the same sort key are ordered by their keys.
        """
        sort = self.indexes[index_name].sort if index_name else self.sort
        return order(item[sort]) if sort else None, self.key(item)


class DynamoDb:
    """The tables of one account and Region."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.tables: dict[str, Table] = {}
        self._tokens: dict[str, float] = {}

    def create(self, name: str, **settings: Any) -> Table:
        """A new table; the settings are Table's."""
        self.tables[name] = Table(name, **settings)
        return self.tables[name]

    def get_item(self, params: Params) -> Answer:
        _check_placeholders(params, "ProjectionExpression")
        table = self._table(params)
        item = table.items.get(table.exact_key(params["Key"]))
        return {"Item": _projected(item, params)} if item else {}

    def batch_get_item(self, params: Params) -> Answer:
        """Get up to 100 distinct keys; one given twice is a ValidationException (API reference)."""
        if sum(len(request["Keys"]) for request in params["RequestItems"].values()) > _MOST_IN_BATCH_GET:
            raise invalid("Too many items requested for the BatchGetItem call")
        responses: dict[str, list[Item]] = {}
        for name, request in params["RequestItems"].items():
            table = self._table({"TableName": name})
            keys = [table.exact_key(key) for key in request["Keys"]]
            if len(set(keys)) < len(keys):
                raise invalid("Provided list of item keys contains duplicates")
            _check_placeholders(request, "ProjectionExpression")
            found = (table.items[key] for key in keys if key in table.items)
            responses[name] = [_projected(item, request) for item in found]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def put_item(self, params: Params) -> Answer:
        return self._write("Put", params)

    def update_item(self, params: Params) -> Answer:
        return self._write("Update", params)

    def delete_item(self, params: Params) -> Answer:
        return self._write("Delete", params)

    def transact_write_items(self, params: Params) -> Answer:
        """All or nothing: every condition is checked first, and each entry's reason is given when one fails."""
        entries = [next(iter(entry.items())) for entry in params["TransactItems"]]
        now, token = self._place.clock.monotonic(), params.get("ClientRequestToken")
        if token and now - self._tokens.get(token, -_TOKEN_SECONDS) < _TOKEN_SECONDS:
            return {}
        if len(entries) > _MOST_IN_TRANSACTION:
            raise invalid("Member must have length less than or equal to 100")
        targets = [(entry["TableName"], self._key(kind, entry)) for kind, entry in entries]
        if len(set(targets)) < len(targets):
            raise invalid("Transaction request cannot include multiple operations on one item")
        reasons: list[Params] = []
        written: list[tuple[Table, Key, Item | None]] = []
        for kind, entry in entries:
            try:
                written.append(self._outcome(kind, entry))
                reasons.append({"Code": "None"})
            except ServiceError as error:
                if error.code != "ConditionalCheckFailedException":
                    raise
                reasons.append({"Code": "ConditionalCheckFailed", "Message": error.message, **error.fields})
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            raise ServiceError(
                "TransactionCanceledException",
                f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
                CancellationReasons=reasons,
            )
        for table, key, item in written:
            table.put(key, item)
        if token:
            self._tokens[token] = now
        return {}

    def query(self, params: Params) -> Answer:
        """Read one partition of a table or an index, in order of the sort key, by pages of `Limit`."""
        table, index_name = self._table(params), params.get("IndexName")
        if unknown := params.keys() & {"KeyConditions", "QueryFilter", "AttributesToGet"}:
            raise NotModelled(f"Query with {', '.join(unknown)}")
        if index_name and index_name not in table.indexes:
            raise invalid(f"The table does not have the specified index: {index_name}")
        if index_name and params.get("ConsistentRead"):
            raise invalid("Consistent reads are not supported on global secondary indexes")
        _check_placeholders(params, "KeyConditionExpression", "FilterExpression", "ProjectionExpression")
        items = self._matching(table, index_name, params)
        if not params.get("ScanIndexForward", True):
            items.reverse()
        if start := params.get("ExclusiveStartKey"):
            ended, after = table.position(index_name, start), gt if params.get("ScanIndexForward", True) else lt
            items = [item for item in items if after(table.position(index_name, item), ended)]
        read = items[: params.get("Limit", len(items))]
        shown = [item for item in read if self._holds(params.get("FilterExpression"), item, params)]
        answer: Answer = {"Count": len(shown), "ScannedCount": len(read)}
        if len(read) < len(items):
            index = table.indexes.get(index_name or "")
            names = [*table.key_names, *((index.partition, index.sort) if index else ())]
            answer["LastEvaluatedKey"] = {name: read[-1][name] for name in names if name}
        if params.get("Select") != "COUNT":
            answer["Items"] = [_projected(item, params) for item in shown]
        return answer

    def scan(self, params: Params) -> Answer:
        """Read a whole table, or what a filter holds of it, on one page."""
        if unknown := params.keys() & {"ScanFilter", "AttributesToGet", "IndexName", "Segment", "Limit", "Select"}:
            raise NotModelled(f"Scan with {', '.join(unknown)}")
        _check_placeholders(params, "FilterExpression", "ProjectionExpression")
        items = list(self._table(params).items.values())
        found = [item for item in items if self._holds(params.get("FilterExpression"), item, params)]
        return {
            "Items": [_projected(item, params) for item in found],
            "Count": len(found),
            "ScannedCount": len(items),
        }

    def _matching(self, table: Table, index_name: str | None, params: Params) -> list[Item]:
        """The items that match the key condition, which must require one value of the partition key."""
        index = table.indexes.get(index_name or "")
        partition, sort = (index.partition, index.sort) if index else (table.partition, table.sort)
        text, names = params["KeyConditionExpression"], params.get("ExpressionAttributeNames", {})
        paths = {names.get(word, word) for word in expressions.words(text)}
        if not paths <= {partition, sort}:
            raise invalid(f"Query condition missed key schema element, or names another: {paths}")
        for token, name in expressions.equalities(text):
            if names.get(token, token) == partition:
                value = params["ExpressionAttributeValues"][name]
                break
        else:
            raise invalid(f"Query condition missed key schema element: {partition}")
        found = table.of_partition(index_name, next(iter(value.values())))
        return [item for item in found if self._holds(text, item, params)]

    def _write(self, kind: str, params: Params) -> Answer:
        wanted = params.get("ReturnValues", "NONE")
        if wanted not in ("NONE", "ALL_OLD", "ALL_NEW"):
            raise NotModelled(f"ReturnValues {wanted}")
        table, key, item = self._outcome(kind, params)
        before = table.items.get(key)
        table.put(key, item)
        shown = {"NONE": None, "ALL_OLD": before, "ALL_NEW": item}[wanted]
        return {"Attributes": shown} if shown else {}

    def _outcome(self, kind: str, params: Params) -> tuple[Table, Key, Item | None]:
        """A write's table, key and new item (None: deleted), if its condition holds."""
        if unknown := params.keys() & {"Expected", "AttributeUpdates", "ConditionalOperator"}:
            raise NotModelled(f"{kind} with {', '.join(unknown)}")
        _check_placeholders(params, "ConditionExpression", "UpdateExpression")
        table, key = self._table(params), self._key(kind, params)
        before = table.items.get(key)
        if not self._holds(params.get("ConditionExpression"), before or {}, params):
            error = ServiceError("ConditionalCheckFailedException", "The conditional request failed")
            if before and params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
                error.fields["Item"] = before
            raise error
        match kind:
            case "Put":
                return table, key, params["Item"]
            case "Delete":
                return table, key, None
            case "ConditionCheck":
                return table, key, before
            case "Update":
                scope = _scope(before or dict(params["Key"]), params)
                text = params.get("UpdateExpression")
                after = apply_update(expressions.update(text), scope, table.key_names) if text else scope.item
                return table, key, after
        raise NotModelled(kind)

    def _holds(self, text: str | None, item: Item, params: Params) -> bool:
        return text is None or expressions.condition(text)(_scope(item, params))

    def _key(self, kind: str, params: Params) -> Key:
        table = self._table(params)
        if kind == "Put":
            return table.key(params["Item"])
        return table.exact_key(params["Key"])

    def _table(self, params: Params) -> Table:
        name = params["TableName"].rpartition("/")[2]
        if name not in self.tables:
            raise ServiceError("ResourceNotFoundException", "Requested resource not found")
        return self.tables[name]


def _scope(item: Item, params: Params) -> ExpressionScope:
    return ExpressionScope(
        item, params.get("ExpressionAttributeNames", {}), params.get("ExpressionAttributeValues", {})
    )


def _check_placeholders(params: Params, *where: str) -> None:
    """Every placeholder used must be given, and every one given must be used, as in AWS."""
    used: set[str] = set()
    for expression in where:
        if expression in params:
            used |= expressions.placeholders(params[expression])
    given = {*params.get("ExpressionAttributeNames", ()), *params.get("ExpressionAttributeValues", ())}
    if used != given:
        raise invalid(f"Placeholders not defined, or unused in expressions: {', '.join(sorted(used ^ given))}")


def _projected(item: Item, params: Params) -> Item:
    text = params.get("ProjectionExpression")
    if text is None:
        return item
    scope = _scope(item, params)
    return _top_level(scope, expressions.projection(text))


def _top_level(scope: ExpressionScope, paths: Iterable[PathParts]) -> Item:
    projected: dict[str, Value] = {}
    for path in paths:
        (name, *nested) = scope.resolve(path)
        if nested:
            raise NotModelled("a nested path in a ProjectionExpression")
        value = scope.read(path)
        if value is not None:
            projected[str(name)] = value
    return projected
