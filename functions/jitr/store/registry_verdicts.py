"""What operators write into the registry: verdicts, and what is to be forgotten or adopted; jitrctl's alone.

Each write demands the verdict that the operator saw. A colleague who was faster is named (VerdictConflict), and nothing
is changed. A verdict puts its certificate into the index: an attempt may be made again, or the denial is checked.
"""

from dataclasses import replace
from typing import Any

from jitr.aws.calls import calling
from jitr.owners import Owner
from jitr.record import Record
from jitr.store import registry_writes
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.registry_items import SCHEMA, certificate_key, from_verdict, moment, to_record
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorVerdict, VerdictConflict

_FORGET = f"REMOVE #decision, intent, swept_at, replaced_by, {LISTED_AS}, {LISTED_AT}"


class VerdictItems(RegistryTable):
    """Verdicts, each over the one that was seen."""

    def give_verdict(
        self,
        certificate_id: str,
        verdict: OperatorVerdict,
        *,
        seen: OperatorVerdict | None,
        forget_decision: bool = False,
    ) -> Record:
        """Write down an operator's word over the verdict that the operator saw, None if there was none.

        The version is counted here. Returned is the record as it stood before, but with the verdict that was written.
        With `forget_decision` the certificate will be judged as if it were new.

        Raises VerdictConflict when another one stands than the one seen; Unavailable.
        """
        given = replace(verdict, version=seen.number + 1 if seen else 1)
        due = Due.LOOK if verdict.action.allows_activation else Due.DENIED
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            "UpdateExpression": "SET verdict = :verdict, #schema = :schema, due = :due, due_at = :due_at",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": values(
                # Due since ever: the operator's clock may be ahead, and the sweep would wait until its own is there.
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
                return record  # botocore tried again, since the first answer was lost
            raise VerdictConflict(certificate_id, record.verdict) from error
        before = deserialize(answer.get("Attributes", {}))
        if before.get("due") == Due.RETIRE.value:  # version 1 has both in one place
            self._update(registry_writes.schedule_retirement(self._table, certificate_id, at=moment(before["due_at"])))
        return replace(to_record(before), verdict=given)

    def forget_decision(self, certificate_id: str, *, seen: OperatorVerdict) -> None:
        """Drop what is known of a certificate but for the operator's verdict, which must be the one seen.

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
        """Drop all that is known of a certificate, if this verdict stands; should it come again, it is new.

        Dropped already is dropped.

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
        """Make a certificate the owner of a thing name that nobody owns; whether it is now.

        Raises Unavailable.
        """
        return self._update(registry_writes.own_if_free(self._table, thing_name, owner))


def _is_same(stored: OperatorVerdict, given: OperatorVerdict) -> bool:
    """Whether what is stored is what was given; times are stored in milliseconds."""
    return from_verdict(stored) == from_verdict(given)
