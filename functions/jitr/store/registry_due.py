"""What is due with certificates, which the sweep finds by index: looks, checks on verdicts, ends of certificates.

An item is in the index `due` while it has (due, due_at): what is to be done, and from when on. Of a certificate's item
that is one thing at a time, and whoever sets it says in the condition what it may replace; the end of a certificate
that another one followed is due in an item of its own (retirement#…).
"""

from datetime import datetime

from jitr.aws.calls import calling
from jitr.record import Record
from jitr.store import registry_writes
from jitr.store.dynamodb import key, set_attributes, values
from jitr.store.index_pages import Position, query_page
from jitr.store.registry_items import SCHEMA, certificate_key, milliseconds, retirement_key
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due

DUE_INDEX = "due"


class DueItems(RegistryTable):
    """What is due, found, written down, put off and taken out again."""

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
        """A part of what is due, from a position on: the certificate ids, and where the list goes on, if it does.

        Raises Unavailable.
        """
        wanted = values(due=what.value, by=milliseconds(by))
        return query_page(
            self._client, self._table, DUE_INDEX, "due = :due AND due_at <= :by", wanted, after, most=most
        )

    def note_sweep(self, certificate_id: str, swept_at: datetime, *, look_again: datetime | None = None) -> None:
        """Write down that the sweep sent this certificate to the queue, and when what was due is due again.

        Raises Unavailable.
        """
        due = {"due_at": milliseconds(look_again)} if look_again else {}
        at = certificate_key(certificate_id)
        self._update(set_attributes(self._table, at, swept_at=milliseconds(swept_at), **due, schema=SCHEMA))

    def clear_evaluation(self, certificate_id: str, record: Record) -> None:
        """Take a certificate out of the index, if the look, the decision and the verdict are still those seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.clear_evaluation(self._table, certificate_id, record, due_at=record.due_at))

    def clear_release(self, certificate_id: str, record: Record) -> None:
        """Take a certificate out of the index, if the release order that is due is still the one seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.clear_release(self._table, certificate_id, due_at=record.due_at))

    def schedule_unfinished(self, certificate_id: str, at: datetime) -> None:
        """Have the sweep look at a certificate on which an attempt began and recorded nothing, unless more is due.

        Without this, the daily pass finds it (resend.py).

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
        """Have the sweep look at a certificate that was decided, unless something is due with it already.

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

    def postpone_retirement(self, certificate_id: str, until: datetime) -> None:
        """Let a certificate's end be due later.

        Raises Unavailable.
        """
        self._update(registry_writes.schedule_retirement(self._table, certificate_id, at=until))
        self._end_first_versions_retirement(certificate_id)

    def end_retirement(self, certificate_id: str, by: datetime) -> None:
        """Nothing is left to be done about a certificate's end, unless it has become due anew after that time.

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
        """Take out of the index that a certificate's end is due, where version 1 has it: in the certificate's item."""
        self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": "REMOVE due, due_at",
                "ConditionExpression": "due = :retire",
                "ExpressionAttributeValues": values(retire=Due.RETIRE.value),
            }
        )
