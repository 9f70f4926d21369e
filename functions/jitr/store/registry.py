"""Decisions and owners in DynamoDB: what is claimed, begun, decided and given back.

One table, one string key `id`:

    certificate#<certificateId>   decision; the intent before it; an operator's verdict; whether a look, or a check on
                                  the verdict, is due, and when
    retirement#<certificateId>    when the certificate ends, which another one followed
    withdrawal#<certificateId>#…  what attempts may have left behind (withdrawal_marks.py)
    thing#<thingName>             the certificate that owns the name
    sweep#<caCertificateId>       how far the sweep got, and what the last full pass counted (runner.py)
    lease#sweep                   which sweep runs
    pace                          the schedule of calls (schedule.py)
    orders#<certificateId>        operators' orders beside verdicts, about a device or a CA; jitrctl's alone
    orders#brake                  (jitrctl/audit/log.py); the brake's are those of `ca pause | resume`

and two sparse indexes: `due`: (due, due_at), of the items with which something is to be done, and `outcomes`:
(listed_as, listed_at), of the decisions by CA and outcome (outcome_index.py; outcomes.py reads it).

Here is what `register` does with certificates and names. Below it are registry_due.py (what is due, for the sweep),
registry_verdicts.py (what operators write) and registry_table.py (how items are read and written).

Every write that rests on an earlier read says so in its condition: a decision is begun only while the record is still
the one that it was made on. A record never makes a certificate ACTIVE; losing one costs calls and holds, never safety.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from jitr.aws.calls import PASSING, calling
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.owners import NameRollback, Owner
from jitr.record import Record
from jitr.store import registry_writes, withdrawal_marks
from jitr.store.dynamodb import key, values
from jitr.store.registry_due import DUE_INDEX, DueItems
from jitr.store.registry_items import certificate_key
from jitr.store.registry_verdicts import VerdictItems
from jitr.store.withdrawal_marks import Withdrawal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, TransactWriteItemTypeDef

__all__ = ["DUE_INDEX", "Registry"]


class Registry(DueItems, VerdictItems):
    """The registry of one fleet in one account and Region."""

    def claim(
        self,
        intent: Decision,
        record: Record,
        owner: Owner,
        *,
        run: str,
        share: bool,
        earlier: Owner | None,
        retire_at: datetime,
        twin: Record | None = None,
        back: NameRollback | None = None,
        entries: "Sequence[ConditionCheckTypeDef]" = (),
    ) -> None:
        """Right before ACTIVE: write down what is about to be done, and settle the name's owner in the same breath.

        `record` is what the decision was made on, `owner` the one to be, `earlier` the one that the name goes over
        from. With `intent.replaces` that certificate is due to be retired at `retire_at`. With `share` an owner stays.
        The `twin` that `intent.twin_id` names and the enrollment `entries` (EnrollmentTable.unchanged) must still be
        what they were. A name that goes `back` does so in the same breath.

        Raises Rejected (OPERATOR_VERDICT when a verdict stands against it, NOT_A_ROTATION when the name has become
        another certificate's), Overtaken when anything else of this has changed, Unavailable.
        """
        assert intent.thing_name is not None  # noqa: S101 -- only activations are claimed
        updates = [
            registry_writes.begin(self._table, intent, record, run=run),
            registry_writes.own(self._table, intent, owner, share=share, earlier=earlier),
        ]
        if intent.replaces:
            updates += registry_writes.hand_over(self._table, intent.replaces, by=intent, retire_at=retire_at)
        checks = list(entries)
        if intent.twin_id and intent.twin_id != intent.replaces:
            checks.append(
                registry_writes.require_unchanged(self._table, intent.twin_id, twin or Record(), now=intent.decided_at)
            )
        writes: list[TransactWriteItemTypeDef] = [{"Update": update} for update in updates]
        writes += [{"ConditionCheck": check} for check in checks]
        writes += [registry_writes.give_back(self._table, back)] if back else []
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            begun, owned, *others = (reason.get("Code", "None") for reason in error.response["CancellationReasons"])
            if begun == "ConditionalCheckFailed":
                raise self._why_not_begun(intent.certificate_id) from error
            if owned == "ConditionalCheckFailed":
                raise Rejected(
                    Reason.NOT_A_ROTATION, f"thing name {intent.thing_name} has just become another certificate's"
                ) from error
            if "ConditionalCheckFailed" in others:
                raise Overtaken("its enrollment, its twin or its former name was decided on meanwhile") from error
            if {begun, owned, *others} <= PASSING:
                raise Unavailable(f"TransactWriteItems: {', '.join((begun, owned, *others))}") from error
            raise
        if back:
            self._undo_hand_over(back)

    def _why_not_begun(self, certificate_id: str) -> Rejected | Overtaken:
        if self.recall([certificate_id])[certificate_id].is_denied:
            return Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation")
        return Overtaken("another decision on the certificate was made meanwhile")

    def intend(
        self,
        intent: Decision,
        record: Record,
        *,
        run: str,
        takes_back: Sequence[Withdrawal] = (),
        tries: str | None = None,
    ) -> None:
        """Write down a rejection before it is carried out, so that a crash in between loses neither it nor its reason.

        With it go, in one transaction, the marks of what the run takes back. `tries` is the thing name that it is about
        to use after that.

        Raises Overtaken when the record is not the one that it was made on any more, Unavailable.
        """
        update = registry_writes.begin(self._table, intent, record, run=run, whatever_the_verdict=True)
        if tries:
            registry_writes.try_name(update, tries, record)
        if not self._write(update, [withdrawal_marks.note(self._table, one) for one in takes_back]):
            raise Overtaken("another decision on the certificate was made meanwhile")

    def hand_back_intent(self, certificate_id: str, *, run: str, tried: str | None = None) -> bool:
        """Let another attempt begin at once, since this one has ended without an end; whether it had begun.

        The intent stays: what it was about to do may have been done. `tried` is the thing name that was used.

        Raises Unavailable.
        """
        name = {"tried": tried, "true": True} if tried else {}
        leave_name = ", tried_name = :tried, tried_is_open = :true" if tried else ""
        return self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": f"SET intent.run = :nobody{leave_name}",
                "ConditionExpression": "intent.run = :run",
                "ExpressionAttributeValues": values(run=run, nobody="", **name),
            }
        )

    def note_tried(self, certificate_id: str, thing_name: str, record: Record) -> bool:
        """Write down the thing name that an attempt uses; False when the record is not the one seen any more.

        Raises Unavailable.
        """
        return self._update(registry_writes.note_tried(self._table, certificate_id, thing_name, record))

    def note_withdrawals(self, marks: Iterable[Withdrawal]) -> None:
        """Leave to the sweep what attempts may have left behind.

        Raises Unavailable.
        """
        for mark in marks:
            self._update(withdrawal_marks.note(self._table, mark)["Update"])

    def give_back(self, back: NameRollback) -> None:
        """Give a thing name back, if the certificate that claimed it still has it.

        Raises Unavailable.
        """
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            match registry_writes.give_back(self._table, back):
                case {"Update": update}:
                    with calling("UpdateItem"):
                        self._client.update_item(**update)
                case {"Delete": delete}:
                    with calling("DeleteItem"):
                        self._client.delete_item(**delete)
            self._undo_hand_over(back)

    def give_back_if_unchanged(self, back: NameRollback, record: Record, now: datetime) -> None:
        """Give a thing name back as `give_back`, if the record of the certificate that has it is still the one seen.

        So an attempt that claims the name meanwhile keeps it.

        Raises Overtaken when another decision was made or begun meanwhile, Unavailable.
        """
        check = registry_writes.require_unchanged(self._table, back.by, record, now=now)
        writes: list[TransactWriteItemTypeDef] = [
            {"ConditionCheck": check},
            registry_writes.give_back(self._table, back),
        ]
        if not self._transact(writes):
            raise Overtaken("the certificate was decided on, or its name given back, meanwhile")
        self._undo_hand_over(back)

    def _undo_hand_over(self, back: NameRollback) -> None:
        if back.to:
            self._update(registry_writes.undo_hand_over(self._table, back.to.certificate_id, back.thing_name))

    def record(
        self,
        decision: Decision,
        seen: Record | None = None,
        *,
        run: str | None = None,
        tried: str | None = None,
        taken_back: Sequence[Withdrawal] = (),
    ) -> None:
        """Write down a decision; from now on it settles duplicates.

        The `run` that has the certificate writes only while it has it, and gives it free in the same write. Of others:
        what was merely found never replaces what was decided here, save a hold; nor an intent, save the one that was
        `seen`: its run is dead or was overtaken. Nor does a hold replace what another run decided since the record was
        `seen`: it may have been asked later, or answered sooner. `tried` is the thing name that the attempt used.
        The marks of what it has `taken_back` are deleted in the same transaction.

        Raises Unavailable.
        """
        ended = [withdrawal_marks.end(self._table, one) for one in taken_back]
        # What is due follows from the decision, unless an operator's verdict stands: then that is in the index. Each
        # write demands what it assumes. The third is for a verdict that was lifted between the first two.
        for denied in (False, True, False):
            update = registry_writes.record_decision(self._table, decision, denied=denied, run=run, tried=tried)
            if run:
                pass  # having the certificate is the condition
            elif decision.outcome is Outcome.FOUND:
                registry_writes.require_hold(update, seen.intent if seen else None)
            elif decision.outcome is Outcome.HELD and seen is not None:
                registry_writes.require_undecided_since(update, seen.decided_at)
            elif seen is not None and seen.intent is not None:
                registry_writes.require_intent(update, seen.intent)
            if self._write(update, ended):
                return

    def record_found(self, found: Decision, seen: Record) -> bool:
        """Write down a status that was found, over the record that was seen; whether that still is the record.

        Raises Unavailable.
        """
        return self._update(registry_writes.record_found(self._table, found, seen))
