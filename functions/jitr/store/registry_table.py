"""Reads items of the registry table, and makes conditional writes; registry.py lists the items.

A write whose condition does not hold is a result, not an error: the item was changed meanwhile, and the caller decides
what that means.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import PASSING, batch_get, calling
from jitr.errors import Unavailable
from jitr.owners import Owner
from jitr.record import Record, Standing
from jitr.store.dynamodb import deserialize, key
from jitr.store.registry_items import certificate_key, thing_key, to_owner, to_record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class RegistryTable:
    """The registry table of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    @property
    def name(self) -> str:
        """The table's name."""
        return self._table

    def recall(self, certificate_ids: Iterable[str]) -> dict[str, Record]:
        """The record of each certificate, read consistently; one BatchGetItem for each hundred.

        An id without an item has an empty record.

        Raises Unavailable.
        """
        return self.recall_with_items(certificate_ids)[0]

    def recall_with_items(
        self, certificate_ids: Iterable[str], *beside: str
    ) -> tuple[dict[str, Record], list[dict[str, Any]]]:
        """As `recall`, and the attributes of the items with the ids `beside`; empty for one that is not there.

        Raises Unavailable.
        """
        ids = sorted(set(certificate_ids))
        records = dict.fromkeys(ids, Record())
        keys = [key(certificate_key(certificate_id)) for certificate_id in ids]
        others: dict[str, dict[str, Any]] = {one: {} for one in beside}
        for item in batch_get(self._client, self._table, [*keys, *map(key, beside)]):
            fields = deserialize(item)
            if fields["id"] in others:
                others[fields["id"]] = fields
            else:
                records[fields["id"].removeprefix("certificate#")] = to_record(fields)
        return records, [others[one] for one in beside]

    def owner(self, thing_name: str) -> Owner | None:
        """The owner of a thing name; None if it is free.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(thing_key(thing_name)), ConsistentRead=True)
        return to_owner(deserialize(answer["Item"])) if "Item" in answer else None

    def owners(self, thing_names: Iterable[str]) -> dict[str, Owner]:
        """The owner of each of these thing names; free names are left out.

        Raises Unavailable.
        """
        items = batch_get(self._client, self._table, [key(thing_key(name)) for name in sorted(set(thing_names))])
        return {fields["id"].removeprefix("thing#"): to_owner(fields) for fields in map(deserialize, items)}

    def recall_standing(self, thing_name: str, twin_id: str | None) -> Standing:
        """The owner of a thing name, and the record of the certificate's twin, in one BatchGetItem.

        Raises Unavailable.
        """
        return to_standing(batch_get(self._client, self._table, standing_keys(thing_name, twin_id)))

    def _write(self, update: Any, also: "Sequence[TransactWriteItemTypeDef]") -> bool:
        """Make one update, and other writes in one transaction with it; False when a condition does not hold."""
        return self._transact([{"Update": update}, *also]) if also else self._update(update)

    def _transact(self, writes: "Sequence[TransactWriteItemTypeDef]") -> bool:
        """Make all of these writes or none; False when a condition does not hold."""
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code", "None") for reason in error.response["CancellationReasons"]}
            if "ConditionalCheckFailed" in codes:
                return False
            if codes <= PASSING:
                raise Unavailable(f"TransactWriteItems: {', '.join(sorted(codes))}") from error
            raise
        return True

    def _update(self, update: Mapping[str, Any]) -> bool:
        """Make one update; False when its condition does not hold."""
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def standing_keys(thing_name: str, twin_id: str | None) -> list[Mapping[str, Any]]:
    """The keys of a thing name's owner, and of the record of the certificate's twin, if it has one."""
    ids = (thing_key(thing_name), certificate_key(twin_id)) if twin_id else (thing_key(thing_name),)
    return [key(one) for one in ids]


def to_standing(items: Iterable[Mapping[str, Any]]) -> Standing:
    """The standing that the items with these keys hold."""
    standing = Standing()
    for fields in map(deserialize, items):
        if fields["id"].startswith(thing_key("")):
            standing = replace(standing, owner=to_owner(fields))
        else:
            standing = replace(standing, twin=to_record(fields))
    return standing
