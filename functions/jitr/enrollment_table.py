"""The enrollment table; the only module that reads or writes it.

The functions only read it (BatchGetItem, GetItem). Operators write it, from outside: every write names what it
replaces, so that two of them do not undo each other unseen, and says in the same transaction that the list has changed.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from jitr.decisions import Record
from jitr.edge import batch_get, calling
from jitr.enrollment import Entry, Subject, SubjectKind, digest
from jitr.enrollment_items import SCHEMA, entry_key, from_entry, to_entry, to_subject
from jitr.errors import JitrError, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_VERSION = "version"
# BatchGetItem takes 100 keys; TransactWriteItems 100 writes, one of which is the version's.
MOST_SUBJECTS = 100
MOST_ENTRIES = 99


class EntryChanged(JitrError):
    """Somebody else changed an entry since it was read; read again, and decide again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry as it is to be, and what it replaces, as it was read."""

    entry: Entry
    replaces: Entry | None


class EnrollmentTable:
    """The enrollment of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def entries(self, subjects: Iterable[Subject]) -> dict[Subject, Entry]:
        """The entries that there are for these subjects, read consistently; BatchGetItem for each hundred.

        Raises Unavailable.
        """
        wanted = sorted(set(subjects))
        found: dict[Subject, Entry] = {}
        for start in range(0, len(wanted), MOST_SUBJECTS):
            keys = [_key(entry_key(subject)) for subject in wanted[start : start + MOST_SUBJECTS]]
            for item in batch_get(self._client, self._table, keys):
                entry = to_entry(_plain(item))
                found[entry.subject] = entry
        return found

    def of(self, certificate_id: str, thing_name: str | None) -> tuple[Entry, ...]:
        """The entries of one device, in one call.

        Raises Unavailable.
        """
        return tuple(self.entries(subjects_of(certificate_id, thing_name)).values())

    def changed_since(self, records: Mapping[str, Record]) -> set[str]:
        """The held certificates, of these records by certificate id, whose entries say something else than then.

        Raises Unavailable.
        """
        held = {
            certificate_id: record.decision
            for certificate_id, record in records.items()
            if record.is_held and record.decision and record.decision.enrollment is not None
        }
        subjects = {
            certificate_id: subjects_of(certificate_id, decision.asks_for) for certificate_id, decision in held.items()
        }
        found = self.entries(subject for of_one in subjects.values() for subject in of_one)
        return {
            certificate_id
            for certificate_id, decision in held.items()
            if digest(found[one] for one in subjects[certificate_id] if one in found) != decision.enrollment
        }

    def version(self) -> str | None:
        """Names the last change of the list, whatever it was; None when there never was one.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=_key(_VERSION), ConsistentRead=True)
        return str(_plain(answer["Item"])["version"]) if "Item" in answer else None

    def everything(self) -> Iterator[Entry]:
        """Every entry, also removed ones, in no order; for operators, since it reads the whole table.

        Raises Unavailable.
        """
        start: dict[str, Any] = {}
        while True:
            with calling("Scan"):
                answer = self._client.scan(TableName=self._table, ConsistentRead=True, **start)
            for item in answer["Items"]:
                fields = _plain(item)
                if to_subject(fields["id"]) is not None:
                    yield to_entry(fields)
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def digest(self) -> str:
        """Names what the whole list says: two accounts with the same one let the same devices in.

        Raises Unavailable.
        """
        return digest(self.everything())

    def change(self, changes: Sequence[Change], *, by: str, at: datetime) -> None:
        """Write up to 99 entries and a new version of the list, all or none.

        Raises EntryChanged when one of them is not what it was when it was read, Unavailable.
        """
        writes: list[TransactWriteItemTypeDef] = [self._put(change) for change in changes]
        stamp = {
            "id": _VERSION,
            "schema": SCHEMA,
            "version": uuid.uuid4().hex,
            "by": by,
            "at": round(at.timestamp() * 1000),
        }
        writes.append({"Put": {"TableName": self._table, "Item": _item(stamp)}})
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code", "None") for reason in error.response["CancellationReasons"]}
            if "ConditionalCheckFailed" in codes:
                raise EntryChanged("an entry was changed by somebody else at the same time") from error
            if codes <= {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}:
                raise Unavailable(f"TransactWriteItems: {', '.join(sorted(codes - {'None'}))}") from error
            raise

    def _put(self, change: Change) -> "TransactWriteItemTypeDef":
        before = change.replaces
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": _item(from_entry(change.entry, replaced=before)),
        }
        if before is None:
            put["ConditionExpression"] = "attribute_not_exists(id)"
        elif before.at is None:
            put["ConditionExpression"] = "attribute_not_exists(#at)"
            put["ExpressionAttributeNames"] = {"#at": "at"}
        else:
            put["ConditionExpression"] = "#at = :seen"
            put["ExpressionAttributeNames"] = {"#at": "at"}
            put["ExpressionAttributeValues"] = {":seen": {"N": str(round(before.at.timestamp() * 1000))}}
        return {"Put": put}  # type: ignore[typeddict-item]  # built step by step


def subjects_of(certificate_id: str, thing_name: str | None) -> tuple[Subject, ...]:
    """Whose entries speak of a device: its certificate's, and its thing name's, if its certificate makes one."""
    certificate = Subject(SubjectKind.CERTIFICATE, certificate_id)
    return (certificate, Subject(SubjectKind.THING, thing_name)) if thing_name else (certificate,)


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def _key(of: str) -> dict[str, Any]:
    return {"id": {"S": of}}


def _item(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(value) for name, value in fields.items()}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}
