"""Writes what operators order: verdicts, forgotten decisions and records, adopted names. Only jitrctl calls it.

Each write is conditional on the verdict that the operator saw. If another operator was faster, nothing changes, and
VerdictConflict has the other verdict. A verdict puts its certificate into the index `due`: it is evaluated again, or
the sweep checks that it is not ACTIVE.
"""

from dataclasses import replace
from typing import Any

from jitr.aws.calls import calling
from jitr.owners import Owner
from jitr.record import Record
from jitr.store import name_writes, registry_writes
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.registry_items import SCHEMA, certificate_key, from_verdict, moment, to_record
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due
from jitr.store.serial_index import ISSUED_AS
from jitr.verdicts import OperatorVerdict, VerdictConflict

_FORGET = f"REMOVE #decision, intent, import_order, swept_at, replaced_by, {LISTED_AS}, {LISTED_AT}, {ISSUED_AS}"


class VerdictItems(RegistryTable):
    """The operators' verdicts; each replaces the one that its operator saw."""

    def give_verdict(
        self,
        certificate_id: str,
        verdict: OperatorVerdict,
        *,
        seen: OperatorVerdict | None,
        forget_decision: bool = False,
    ) -> Record:
        """Write a verdict over the one that the operator saw, None if there was none.

        The verdict's version is set here. Returns the record as it was before, with the verdict that was written.
        With `forget_decision` the certificate will be evaluated as if it were new.

        Raises VerdictConflict when the verdict is not the one seen, Unavailable.
        """
        given = replace(verdict, version=seen.number + 1 if seen else 1)
        due = Due.LOOK if verdict.action.allows_activation else Due.DENIED
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            "UpdateExpression": "SET verdict = :verdict, #schema = :schema, due = :due, due_at = :due_at",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": values(
                # due_at 0, due at once: the operator's clock may be ahead of the sweep's.
                verdict=from_verdict(given),
                schema=SCHEMA,
                due=due.value,
                due_at=0,
            ),
            "ReturnValues": "ALL_OLD",
        }
        if forget_decision:
            update["UpdateExpression"] += f" {_FORGET}"
            update["ExpressionAttributeNames"]["#decision"] = "decision"
        registry_writes.require_verdict(update, seen)
        try:
            with calling("UpdateItem"):
                answer = self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            record = self.recall([certificate_id])[certificate_id]
            if record.verdict and _is_same(record.verdict, given):
                return record  # botocore retried, since the first answer was lost
            raise VerdictConflict(certificate_id, record.verdict) from error
        before = deserialize(answer.get("Attributes", {}))
        if before.get("due") == Due.RETIRE.value:  # version 1 has retirements in this item
            self._update(name_writes.schedule_retirement(self._table, certificate_id, at=moment(before["due_at"])))
        return replace(to_record(before), verdict=given)

    def forget_decision(self, certificate_id: str, *, seen: OperatorVerdict) -> None:
        """Delete the decision and intent of a certificate, but not the operator's verdict, which must be the one seen.

        Raises VerdictConflict, Unavailable.
        """
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            "UpdateExpression": _FORGET,
            "ExpressionAttributeNames": {"#decision": "decision"},
        }
        registry_writes.require_verdict(update, seen)
        if not self._update(update):
            raise VerdictConflict(certificate_id, self.recall([certificate_id])[certificate_id].verdict)

    def forget(self, certificate_id: str, *, seen: OperatorVerdict | None) -> None:
        """Delete the record of a certificate, if its verdict is the one seen; if it comes again, it is new.

        A record that is deleted already is no error.

        Raises VerdictConflict, Unavailable.
        """
        delete: dict[str, Any] = {"TableName": self._table, "Key": key(certificate_key(certificate_id))}
        registry_writes.require_verdict(delete, seen)
        try:
            with calling("DeleteItem"):
                self._client.delete_item(**delete)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            record = self.recall([certificate_id])[certificate_id]
            if record != Record():
                raise VerdictConflict(certificate_id, record.verdict) from error

    def adopt(self, thing_name: str, owner: Owner) -> bool:
        """Make a certificate the owner of a free thing name; True if it is the owner now.

        Raises Unavailable.
        """
        return self._update(name_writes.own_if_free(self._table, thing_name, owner))


def _is_same(stored: OperatorVerdict, given: OperatorVerdict) -> bool:
    """Whether the stored verdict is the given one; times are stored in milliseconds."""
    return from_verdict(stored) == from_verdict(given)
