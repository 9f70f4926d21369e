"""Decisions and owners in DynamoDB; the only module that reads or writes the registry table.

One table, one string key `id`:

    certificate#<certificateId>   the decision on one certificate, the intent before it, an operator's verdict
    thing#<thingName>             the certificate that owns the name

Every item carries a schema version. A record never makes a certificate ACTIVE; losing one costs calls, never safety.
Nothing here is secret, and no PEM is kept.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from jitr.decisions import Decision, Outcome, Record
from jitr.edge import calling
from jitr.errors import Reason, Rejected, Unavailable
from jitr.registrations import Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

SCHEMA = 1

_BATCH_GET_TRIES = 4

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Registry:
    """The registry of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def recall(self, certificate_ids: Iterable[str]) -> dict[str, Record]:
        """What is known of each certificate, in one BatchGetItem of distinct keys, read consistently.

        An id without an item has an empty record. At most 100 ids (BatchGetItem).

        Raises Unavailable.
        """
        ids = sorted(set(certificate_ids))
        records = {certificate_id: Record() for certificate_id in ids}
        keys: list[Mapping[str, Any]] = [{"id": {"S": _certificate(certificate_id)}} for certificate_id in ids]
        for _ in range(_BATCH_GET_TRIES):
            if not keys:
                return records
            with calling("BatchGetItem"):
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
            for item in answer["Responses"].get(self._table, []):
                fields = {name: _deserialize(value) for name, value in item.items()}
                records[fields["id"].removeprefix("certificate#")] = _record(fields)
            unprocessed = answer["UnprocessedKeys"]
            keys = list(unprocessed[self._table]["Keys"]) if self._table in unprocessed else []
        raise Unavailable("BatchGetItem: UnprocessedKeys")

    def owner(self, thing_name: str) -> str | None:
        """The id of the certificate that owns a thing name.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": _thing(thing_name)}}, ConsistentRead=True
            )
        item = answer.get("Item")
        return item["certificate_id"]["S"] if item else None

    def claim(self, intent: Decision) -> None:
        """Right before ACTIVE: write down what is about to be done, and settle the name's owner in the same breath.

        Raises Rejected (OPERATOR_VERDICT when a verdict stands against it, THING_TAKEN when the name is another
        certificate's), Unavailable.
        """
        assert intent.thing_name is not None  # noqa: S101 -- only activations are claimed
        claimed = self._intent_update(intent)
        claimed["ConditionExpression"] = "attribute_not_exists(denied_by)"
        owned: UpdateTypeDef = {
            "TableName": self._table,
            "Key": {"id": {"S": _thing(intent.thing_name)}},
            "UpdateExpression": "SET certificate_id = :id, #schema = :schema",
            "ConditionExpression": "attribute_not_exists(certificate_id) OR certificate_id = :id",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": {":id": {"S": intent.certificate_id}, ":schema": _serialize(SCHEMA)},
        }
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=[{"Update": claimed}, {"Update": owned}])
        except self._client.exceptions.TransactionCanceledException as error:
            verdict, taken = (reason.get("Code") for reason in error.response["CancellationReasons"])
            if verdict == "ConditionalCheckFailed":
                raise Rejected(
                    Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation"
                ) from error
            if taken == "ConditionalCheckFailed":
                raise Rejected(
                    Reason.THING_TAKEN, f"thing name {intent.thing_name} belongs to another certificate"
                ) from error
            raise Unavailable(f"TransactWriteItems: {verdict}, {taken}") from error

    def intend(self, intent: Decision) -> None:
        """Write down a rejection before it is carried out, so that a crash in between loses neither it nor its reason.

        Raises Unavailable.
        """
        with calling("UpdateItem"):
            self._client.update_item(**self._intent_update(intent))

    def record(self, decision: Decision) -> None:
        """Write down a decision; from now on it settles duplicates.

        What was merely found never replaces what was decided here.

        Raises Unavailable.
        """
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"id": {"S": _certificate(decision.certificate_id)}},
            "UpdateExpression": "SET #decision = :decision, #schema = :schema REMOVE intent",
            "ExpressionAttributeNames": {"#schema": "schema", "#decision": "decision"},
            "ExpressionAttributeValues": {
                ":decision": _serialize(_to_item(decision)),
                ":schema": _serialize(SCHEMA),
            },
        }
        if decision.outcome is Outcome.FOUND:
            update["ConditionExpression"] = "attribute_not_exists(#decision) AND attribute_not_exists(intent)"
        with calling("UpdateItem"):
            try:
                self._client.update_item(**update)
            except self._client.exceptions.ConditionalCheckFailedException:
                return

    def note_sweep(self, certificate_id: str, swept_at: datetime) -> None:
        """Write down that the sweep sent this certificate to the queue.

        Raises Unavailable.
        """
        with calling("UpdateItem"):
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": _certificate(certificate_id)}},
                UpdateExpression="SET swept_at = :swept_at, #schema = :schema",
                ExpressionAttributeNames={"#schema": "schema"},
                ExpressionAttributeValues={
                    ":swept_at": _serialize(_milliseconds(swept_at)),
                    ":schema": _serialize(SCHEMA),
                },
            )

    def _intent_update(self, intent: Decision) -> "UpdateTypeDef":
        return {
            "TableName": self._table,
            "Key": {"id": {"S": _certificate(intent.certificate_id)}},
            "UpdateExpression": "SET intent = :intent, #schema = :schema",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": {
                ":intent": _serialize(_to_item(intent)),
                ":schema": _serialize(SCHEMA),
            },
        }


def _certificate(certificate_id: str) -> str:
    return f"certificate#{certificate_id}"


def _thing(thing_name: str) -> str:
    return f"thing#{thing_name}"


def _to_item(decision: Decision) -> dict[str, Any]:
    """A decision as plain strings, numbers and lists; what is None is left out."""
    fields = {
        "certificate_id": decision.certificate_id,
        "outcome": decision.outcome.value,
        "status": decision.status.value,
        "registered_at": _milliseconds(decision.registered_at),
        "decided_at": _milliseconds(decision.decided_at),
        "rules_digest": decision.rules_digest,
        "ca_certificate_id": decision.ca_certificate_id,
        "ca": decision.ca,
        "thing_name": decision.thing_name,
        "reason": decision.reason.name if decision.reason else None,
        "detail": decision.detail,
        "would_reject": [reason.name for reason in decision.would_reject] or None,
        "serial": decision.serial,
        "issuer": decision.issuer,
        "subject": decision.subject,
        "attempts": decision.attempts,
        "next_look": _milliseconds(decision.next_look) if decision.next_look else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _from_item(fields: Mapping[str, Any]) -> Decision:
    known = {name: value for name, value in fields.items() if name in Decision.__dataclass_fields__}
    reason = known.get("reason")
    return Decision(
        **known
        | {
            "outcome": Outcome(known["outcome"]),
            "status": Status(known["status"]),
            "registered_at": _moment(known["registered_at"]),
            "decided_at": _moment(known["decided_at"]),
            "reason": Reason[reason] if reason else None,
            "would_reject": tuple(Reason[name] for name in known.get("would_reject", ())),
            "attempts": int(known["attempts"]),
        }
    )


def _record(fields: Mapping[str, Any]) -> Record:
    decision, intent, swept_at = fields.get("decision"), fields.get("intent"), fields.get("swept_at")
    return Record(
        decision=_from_item(decision) if decision else None,
        intent=_from_item(intent) if intent else None,
        denied_by=fields.get("denied_by"),
        swept_at=_moment(swept_at) if swept_at else None,
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
