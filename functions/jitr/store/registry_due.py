"""Writes and lists what is due with certificates: evaluations, checks on verdicts, retirements. The sweep reads it.

An item is in the index `due` while it has (due, due_at): what is to be done, and from when on. A certificate's item has
one of them at a time, and a write that sets it has a condition on what it replaces. The retirement of a replaced
certificate is due in a separate item (retirement#…).
"""

from datetime import datetime

from jitr.aws.calls import calling
from jitr.record import Record
from jitr.store import name_writes, registry_writes
from jitr.store.dynamodb import key, set_attributes, values
from jitr.store.index_pages import Position, query_page
from jitr.store.registry_items import SCHEMA, certificate_key, milliseconds, retirement_key
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due

DUE_INDEX = "due"


class DueItems(RegistryTable):
    """The items with something due: listed, scheduled, postponed and cleared."""

    def list_due(self, what: Due, by: datetime, *, most: int) -> list[str]:
        """The certificate ids with which something is due, the longest overdue first, at most `most`.

        Raises Unavailable.
        """
        ids: list[str] = []
        after: Position | None = None
        while len(ids) < most:
            some, after = self.list_due_after(after, what, by, most=most - len(ids))
            ids += some
            if after is None:
                break
        return ids

    def list_due_after(
        self, after: Position | None, what: Due, by: datetime, *, most: int
    ) -> tuple[list[str], Position | None]:
        """A page of what is due, after a position: the certificate ids, and the position of the next page, if any.

        Raises Unavailable.
        """
        wanted = values(due=what.value, by=milliseconds(by))
        return query_page(
            self._client, self._table, DUE_INDEX, "due = :due AND due_at <= :by", wanted, after, most=most
        )

    def note_sweep(self, certificate_id: str, swept_at: datetime, *, look_again: datetime | None = None) -> None:
        """Write down that the sweep sent this certificate to the queue, and when it is due again.

        Raises Unavailable.
        """
        due = {"due_at": milliseconds(look_again)} if look_again else {}
        at = certificate_key(certificate_id)
        self._update(set_attributes(self._table, at, swept_at=milliseconds(swept_at), **due, schema=SCHEMA))

    def clear_evaluation(self, certificate_id: str, record: Record) -> None:
        """Remove a certificate from the index, if what is due, the decision and the verdict are still those seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.clear_evaluation(self._table, certificate_id, record, due_at=record.due_at))

    def postpone_evaluation(self, certificate_id: str, record: Record, until: datetime) -> None:
        """Let an evaluation be due later, if what is due, the decision and the verdict are still those seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(
                registry_writes.postpone_evaluation(
                    self._table, certificate_id, record, due_at=record.due_at, until=until
                )
            )

    def clear_release(self, certificate_id: str, record: Record) -> None:
        """Remove a certificate from the index, if the release order that is due is still the one seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.clear_release(self._table, certificate_id, due_at=record.due_at))

    def schedule_unfinished(self, certificate_id: str, at: datetime) -> None:
        """Have the sweep evaluate a certificate whose attempt recorded no decision, unless something is due already.

        If this write is lost, the daily pass finds the certificate (resend.py).

        Raises Unavailable.
        """
        self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": "SET due = :due, due_at = :at",
                "ConditionExpression": "attribute_exists(intent) AND attribute_not_exists(due)",
                "ExpressionAttributeValues": values(due=Due.LOOK.value, at=milliseconds(at)),
            }
        )

    def schedule_evaluation(self, certificate_id: str, at: datetime) -> None:
        """Have the sweep evaluate a certificate that was decided, unless something is due with it already.

        Raises Unavailable.
        """
        self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": "SET due = :due, due_at = :at",
                "ConditionExpression": "attribute_exists(#decision) AND attribute_not_exists(due)",
                "ExpressionAttributeNames": {"#decision": "decision"},
                "ExpressionAttributeValues": values(due=Due.LOOK.value, at=milliseconds(at)),
            }
        )

    def note_foreign(self, certificate_id: str, among: str) -> None:
        """Note that none of these CAs issued a certificate (identification.py); nothing else of its record changes.

        Raises Unavailable.
        """
        self._update(set_attributes(self._table, certificate_key(certificate_id), foreign_to=among, schema=SCHEMA))

    def postpone_retirement(self, certificate_id: str, until: datetime) -> None:
        """Postpone the retirement of a certificate.

        Raises Unavailable.
        """
        self._update(name_writes.schedule_retirement(self._table, certificate_id, at=until))
        self._end_first_versions_retirement(certificate_id)

    def end_retirement(self, certificate_id: str, by: datetime) -> None:
        """Remove the retirement of a certificate, unless it has become due again after that time.

        Raises Unavailable.
        """
        try:
            with calling("DeleteItem"):
                self._client.delete_item(
                    TableName=self._table,
                    Key=key(retirement_key(certificate_id)),
                    ConditionExpression="due_at <= :by",
                    ExpressionAttributeValues=values(by=milliseconds(by)),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            self._end_first_versions_retirement(certificate_id)

    def _end_first_versions_retirement(self, certificate_id: str) -> None:
        """Remove a retirement that version 1 wrote into the certificate's item."""
        self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": "REMOVE due, due_at",
                "ConditionExpression": "due = :retire",
                "ExpressionAttributeValues": values(retire=Due.RETIRE.value),
            }
        )
