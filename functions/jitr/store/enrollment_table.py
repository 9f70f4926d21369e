"""Reads and writes the enrollment table; the only module that does.

The functions only read it (BatchGetItem, GetItem). Operators write it with jitrctl: every write is conditional on the
entry that the operator saw, so that two operators do not overwrite each other unnoticed, and sets a new version of the
list in the same transaction.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.admission.enrollment import Entry, Subject, SubjectKind, digest
from jitr.aws.calls import PASSING, batch_get, batch_get_of_tables, calling
from jitr.errors import JitrError, Unavailable
from jitr.frozen import value
from jitr.record import Record, Standing
from jitr.store.dynamodb import deserialize, key, serialize, values
from jitr.store.enrollment_items import SCHEMA, entry_key, from_entry, to_entry, to_subject
from jitr.store.registry_items import milliseconds
from jitr.store.registry_table import RegistryTable, standing_keys, to_standing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, TransactWriteItemTypeDef

_VERSION = "version"
MOST_ENTRIES = 99  # TransactWriteItems takes 100 writes, one of which is the version's


class EntryChanged(JitrError):
    """An entry changed since it was read: read it again, and decide again."""


@value
class EntryChange:
    """One entry to write, and the entry that it replaces, as it was read."""

    entry: Entry
    replaces: Entry | None


class EnrollmentTable:
    """The enrollment of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def entries(self, subjects: Iterable[Subject]) -> dict[Subject, Entry]:
        """The entries of these subjects that exist, read consistently; one BatchGetItem per hundred subjects.

        Raises Unavailable.
        """
        return _to_entries(batch_get(self._client, self._table, _keys(subjects)))

    def entries_and_standing(
        self, subjects: Iterable[Subject], registry: RegistryTable, thing_name: str, twin_id: str | None
    ) -> tuple[dict[Subject, Entry], Standing]:
        """As `entries`, and what `registry.recall_standing` reads, in one BatchGetItem of both tables.

        At most 98 subjects.

        Raises Unavailable; also when one of the tables fails and the other does not.
        """
        items = batch_get_of_tables(
            self._client, {self._table: _keys(subjects), registry.name: standing_keys(thing_name, twin_id)}
        )
        return _to_entries(items[self._table]), to_standing(items[registry.name])

    def require_unchanged(self, subjects: Iterable[Subject], entries: Iterable[Entry]) -> "list[ConditionCheckTypeDef]":
        """Condition checks for a transaction: these subjects still have exactly the entries that were read."""
        read = {entry.subject: entry for entry in entries}
        return [
            {"TableName": self._table, "Key": key(entry_key(one)), **_require_as_read(read.get(one))}  # type: ignore[typeddict-item]  # mypy sees no keys in _as_read
            for one in sorted(set(subjects))
        ]

    def find_changed(self, records: Mapping[str, Record]) -> set[str]:
        """The held certificates, of these records by certificate id, whose entries changed since they were held.

        Raises Unavailable.
        """
        held = {
            certificate_id: record.decision
            for certificate_id, record in records.items()
            if record.is_held and record.decision and record.decision.enrollment is not None
        }
        subjects = {
            certificate_id: subjects_of(certificate_id, decision.requested_name, decision.twin_id)
            for certificate_id, decision in held.items()
        }
        found = self.entries(subject for of_one in subjects.values() for subject in of_one)
        return {
            certificate_id
            for certificate_id, decision in held.items()
            if digest(found[one] for one in subjects[certificate_id] if one in found) != decision.enrollment
        }

    def version(self) -> str | None:
        """The version of the list, new with each change; None when it was never changed.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(_VERSION), ConsistentRead=True)
        return str(deserialize(answer["Item"])["version"]) if "Item" in answer else None

    def scan_entries(self) -> Iterator[Entry]:
        """Every entry, removed ones included, in no order; for operators only, since it scans the whole table.

        Raises Unavailable.
        """
        start: dict[str, Any] = {}
        while True:
            with calling("Scan"):
                answer = self._client.scan(TableName=self._table, ConsistentRead=True, **start)
            for item in answer["Items"]:
                fields = deserialize(item)
                if to_subject(fields["id"]) is not None:
                    yield to_entry(fields)
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def digest(self) -> str:
        """A digest of the whole list: two accounts with equal digests admit the same devices.

        Raises Unavailable.
        """
        return digest(self.scan_entries())

    def change(self, changes: Sequence[EntryChange], *, by: str, at: datetime) -> None:
        """Write up to 99 entries and a new version of the list, all or none.

        Raises EntryChanged when one of them is not what it was when it was read, Unavailable.
        """
        writes: list[TransactWriteItemTypeDef] = [self._put(change) for change in changes]
        stamp = {
            "id": _VERSION,
            "schema": SCHEMA,
            "version": uuid.uuid4().hex,
            "by": by,
            "at": milliseconds(at),
        }
        writes.append({"Put": {"TableName": self._table, "Item": serialize(stamp)}})
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code", "None") for reason in error.response["CancellationReasons"]}
            if "ConditionalCheckFailed" in codes:
                raise EntryChanged("another operator changed an entry at the same time") from error
            if codes <= PASSING:
                raise Unavailable(f"TransactWriteItems: {', '.join(sorted(codes - {'None'}))}") from error
            raise

    def _put(self, change: EntryChange) -> "TransactWriteItemTypeDef":
        return {
            "Put": {
                "TableName": self._table,
                "Item": serialize(from_entry(change.entry, replaced=change.replaces)),
                **_require_as_read(change.replaces),  # type: ignore[typeddict-item]  # as above
            }
        }


def _keys(subjects: Iterable[Subject]) -> list[Mapping[str, Any]]:
    return [key(entry_key(subject)) for subject in sorted(set(subjects))]


def _to_entries(items: Iterable[Mapping[str, Any]]) -> dict[Subject, Entry]:
    found = (to_entry(deserialize(item)) for item in items)
    return {entry.subject: entry for entry in found}


def _require_as_read(entry: Entry | None) -> Any:
    """The condition that an entry is still the one that was read; for None, that there is no entry.

    An entry that was written by hand may have no readable time: then only its rule is compared.
    """
    if entry is None:
        return {"ConditionExpression": "attribute_not_exists(id)"}
    conditions = ["attribute_exists(id)"]
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    if entry.at is not None:
        conditions.append("#at = :seen")
        names["#at"], fields["seen"] = "at", milliseconds(entry.at)
    if entry.problem is None:
        conditions.append("#rule = :rule")
        names["#rule"], fields["rule"] = "rule", entry.rule.value
    return {
        "ConditionExpression": " AND ".join(conditions),
        **({"ExpressionAttributeNames": names, "ExpressionAttributeValues": values(**fields)} if fields else {}),
    }


def subjects_of(certificate_id: str, thing_name: str | None, twin_id: str | None = None) -> tuple[Subject, ...]:
    """The subjects whose entries apply to a device: its certificate, its twin, and its thing name, if there is one."""
    ids = (certificate_id, twin_id) if twin_id else (certificate_id,)
    certificates = tuple(Subject(SubjectKind.CERTIFICATE, one) for one in ids)
    return (*certificates, Subject(SubjectKind.THING, thing_name)) if thing_name else certificates
