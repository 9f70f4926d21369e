"""Lists decisions by CA and outcome, finds certificates by serial number, and writes release orders.

A release order is an operator's verdict that takes back one rejection by jitr. It is conditional on the record that the
operator saw. With it `register` evaluates the certificate again although it is INACTIVE (record.py says when). The
registration in AWS IoT stays. The end of a hold by a CRL is written in the same form, by the function `revoke`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import batch_get, calling
from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store import registry_writes
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.index_pages import Position, query_page
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX, listing, partition
from jitr.store.registry_items import SCHEMA, certificate_key, from_verdict, milliseconds, to_record
from jitr.store.registry_writes import Due
from jitr.store.serial_index import ISSUED_AS, SERIAL_INDEX, issued_as, issued_as_of
from jitr.verdicts import OperatorAction, OperatorVerdict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PAGE = 1000
# A CA gives each serial number once (RFC 5280 §4.1.2.2); more than these have a CA that does not.
_MOST_OF_A_SERIAL = 100


def may_be_released(record: Record) -> bool:
    """Whether a release order may be given: the last decision is a rejection that left the certificate INACTIVE."""
    if record.decision is None or record.was_revoked_or_deactivated or record.is_denied or record.begun_at is not None:
        return False
    return record.decision.outcome is Outcome.REJECTED and record.decision.status is Status.INACTIVE


class Outcomes:
    """The decisions of one fleet in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def list_decided(self, outcome: Outcome, ca_certificate_id: str, *, since: datetime) -> Iterator[str]:
        """The ids of the CA's certificates with this outcome since a time, the earliest decision first.

        The index may lag behind the records; the records are what counts.

        Raises Unavailable.
        """
        after: Position | None = None
        while True:
            ids, after = self.page_decided(outcome, ca_certificate_id, since=since, after=after)
            yield from ids
            if after is None:
                return

    def page_decided(
        self,
        outcome: Outcome,
        ca_certificate_id: str,
        *,
        since: datetime,
        after: Position | None,
        most: int = _PAGE,
    ) -> tuple[list[str], Position | None]:
        """The next of them, so many at most, and the position after them; None: those were the last.

        Raises Unavailable.
        """
        wanted = values(as_=partition(ca_certificate_id, outcome), since=milliseconds(since))
        condition = f"{LISTED_AS} = :as_ AND {LISTED_AT} >= :since"
        return query_page(self._client, self._table, OUTCOME_INDEX, condition, wanted, after, most=most)

    def find_issued(self, ca_certificate_id: str, serial: int) -> list[str]:
        """The ids of the CA's certificates with this serial number: one, or its twin too (signature_twin.py).

        The index may lag behind the records; the records are what counts.

        Raises Unavailable.
        """
        wanted = values(as_=issued_as(ca_certificate_id, f"{serial:x}"))
        return query_page(
            self._client, self._table, SERIAL_INDEX, f"{ISSUED_AS} = :as_", wanted, None, most=_MOST_OF_A_SERIAL
        )[0]

    def count_decided(self, outcome: Outcome, ca_certificate_id: str) -> int:
        """The number of the CA's certificates with this outcome.

        Raises Unavailable.
        """
        number = 0
        start: Any = {}
        while True:
            with calling("Query"):
                answer = self._client.query(
                    TableName=self._table,
                    IndexName=OUTCOME_INDEX,
                    KeyConditionExpression=f"{LISTED_AS} = :as_",
                    ExpressionAttributeValues=values(as_=partition(ca_certificate_id, outcome)),
                    Select="COUNT",
                    **start,
                )
            number += answer["Count"]
            if "LastEvaluatedKey" not in answer:
                return number
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def list_decision(self, decision: Decision) -> None:
        """Put a decision that an earlier version recorded into the indexes, if it is still the latest one.

        Raises Unavailable.
        """
        change, fields = f"REMOVE {LISTED_AS}, {LISTED_AT}", {}
        if listed := listing(decision):
            change, fields = f"SET {LISTED_AS} = :as_, {LISTED_AT} = :at", {"as_": listed[0], "at": listed[1]}
            if issued := issued_as_of(decision):
                change, fields = f"{change}, {ISSUED_AS} = :issued_as", {**fields, "issued_as": issued}
        self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(decision.certificate_id)),
                "UpdateExpression": change,
                "ConditionExpression": "#decision.decided_at = :seen",
                "ExpressionAttributeNames": {"#decision": "decision"},
                "ExpressionAttributeValues": values(seen=milliseconds(decision.decided_at), **fields),
            }
        )

    def order_release(self, certificate_id: str, order: OperatorVerdict, *, seen: Record) -> OperatorVerdict | None:
        """Order that the rejection that was seen is taken back, and the certificate evaluated again.

        Returns the verdict as it was written; None when the record has changed since it was seen, or does not allow a
        release: the certificate was not rejected, or was revoked or deactivated by someone else.

        Raises Unavailable.
        """
        if seen.decision is None or not may_be_released(seen):
            return None
        return self._order(certificate_id, order, seen, Outcome.REJECTED)

    def order_lift(self, certificate_id: str, order: OperatorVerdict, *, seen: Record) -> OperatorVerdict | None:
        """Order that a certificate is evaluated again that a hold in the CA's CRL suspended: the hold was lifted.

        An approval stays one. Returns the verdict as it was written; None when the record has changed since it was
        seen, or no hold of jitr's is in force, or an operator denies the device.

        Raises Unavailable.
        """
        if seen.decision is None or not seen.is_suspended or seen.is_denied or seen.begun_at is not None:
            return None
        action = OperatorAction.APPROVED if seen.is_approved else order.action
        return self._order(certificate_id, replace(order, action=action), seen, Outcome.FOUND)

    def _order(
        self, certificate_id: str, order: OperatorVerdict, seen: Record, outcome: Outcome
    ) -> OperatorVerdict | None:
        """Write an order on the decision that was seen, which has this outcome."""
        assert seen.decision is not None  # noqa: S101 -- both callers have looked
        given = replace(
            order,
            version=seen.verdict.number + 1 if seen.verdict else 1,
            of_registration=seen.decision.registered_at,
            of_status=seen.decision.status,
            of_rejection=seen.decision.decided_at,
        )
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            # due_at 0: due at once, whatever the operator's clock says. swept_at goes: that was another cause.
            "UpdateExpression": "SET verdict = :verdict, #schema = :schema, due = :due, due_at = :due_at"
            " REMOVE swept_at",
            "ConditionExpression": "#decision.outcome = :outcome AND attribute_not_exists(intent)",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": values(
                verdict=from_verdict(given),
                schema=SCHEMA,
                due=Due.RELEASE.value,
                due_at=0,
                outcome=outcome.value,
            ),
        }
        registry_writes.require_as_seen(update, seen)
        if self._update(update):
            return given
        # botocore tries again when an answer is lost.
        stands = self._recall(certificate_id).verdict
        return given if stands and from_verdict(stands) == from_verdict(given) else None

    def _recall(self, certificate_id: str) -> Record:
        items = batch_get(self._client, self._table, [key(certificate_key(certificate_id))])
        return to_record(deserialize(items[0])) if items else Record()

    def _update(self, update: Mapping[str, Any]) -> bool:
        """Make one update; False when its condition does not hold."""
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
