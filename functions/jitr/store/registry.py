"""Writes decisions and the owners of thing names to DynamoDB: claims, intents, decisions, names that are given back.

One table, one string key `id`:

    certificate#<certificateId>   decision; the intent before it; an operator's verdict; an import's order; what is due
                                  with the certificate, and when
    retirement#<certificateId>    when a replaced certificate is to be retired
    takeaway#<certificateId>      an operator ordered it away, and the functions are to do it (take_away_orders.py)
    withdrawal#<certificateId>#…  what attempts may have left behind (withdrawal_marks.py)
    thing#<thingName>             the certificate that owns the name
    sweep#<caCertificateId>       how far the sweep got, and what the last full pass counted (sweep_state.py)
    lease#sweep                   which sweep runs
    pace                          the schedule of calls (schedule.py)
    cas#revoked                   CAs that an operator has revoked (revoked_cas.py)
    orders#<certificateId>        operators' orders on a device or a CA, except verdicts; jitrctl alone reads and
    orders#brake                  writes them (jitrctl/audit/log.py). `orders#brake` has those of `ca pause | resume`
    jitp#<caCertificateId>        a provisioning template that was taken off the CA; jitrctl alone reads and writes it
                                  (jitrctl/jitp/kept_template.py)

and two sparse indexes: `due`: (due, due_at), of the items with which something is to be done, and `outcomes`:
(listed_as, listed_at), of the decisions by CA and outcome (outcome_index.py; outcomes.py reads it).

This module has what `register` writes. Its base classes are in registry_due.py (what is due, for the sweep),
registry_verdicts.py, take_away_orders.py and import_orders.py (what operators write), and registry_table.py (how items
are read and written).

Every write that rests on an earlier read has a condition on what was read: a decision begins only while the record is
still the one that it was made on. A record alone never makes a certificate ACTIVE; a lost record costs calls and holds,
never safety.
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
from jitr.store import name_writes, registry_writes, withdrawal_marks
from jitr.store.dynamodb import key, values
from jitr.store.import_orders import ImportOrders
from jitr.store.registry_due import DUE_INDEX, DueItems
from jitr.store.registry_items import certificate_key
from jitr.store.registry_verdicts import VerdictItems
from jitr.store.take_away_orders import TakeAwayOrders
from jitr.store.withdrawal_marks import Withdrawal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, TransactWriteItemTypeDef

__all__ = ["DUE_INDEX", "Registry"]


class Registry(DueItems, VerdictItems, TakeAwayOrders, ImportOrders):
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
        """Write the intent and the owner of the thing name in one transaction, right before the certificate is ACTIVE.

        `record` is the one that the decision was made on, `owner` the new owner, `earlier` the present one. With
        `intent.replaces` that certificate is to be retired at `retire_at`. With `share` an owner that exists stays.
        The `twin` that `intent.twin_id` names and the enrollment `entries` (EnrollmentTable.require_unchanged) must be
        unchanged. A name that is given `back` is given back in the same transaction.

        Raises Rejected (OPERATOR_VERDICT when a verdict denies the activation, NOT_A_ROTATION when another certificate
        owns the name now), Overtaken when anything else has changed, Unavailable.
        """
        assert intent.thing_name is not None  # noqa: S101 -- only activations are claimed
        updates = [
            registry_writes.begin(self._table, intent, record, run=run),
            name_writes.own(self._table, intent, owner, share=share, earlier=earlier),
        ]
        if intent.replaces:
            updates += name_writes.hand_over(self._table, intent.replaces, by=intent, retire_at=retire_at)
        checks = list(entries)
        if intent.twin_id and intent.twin_id != intent.replaces:
            checks.append(
                registry_writes.require_unchanged(self._table, intent.twin_id, twin or Record(), now=intent.decided_at)
            )
        writes: list[TransactWriteItemTypeDef] = [{"Update": update} for update in updates]
        writes += [{"ConditionCheck": check} for check in checks]
        writes += [name_writes.give_back(self._table, back)] if back else []
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
            return Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict denies the activation")
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
        """Write an intent other than a claim before it is carried out, so that a crash loses neither it nor its reason.

        The marks of what the run `takes_back` are written in the same transaction. `tries` is the thing name that the
        run uses after that.

        Raises Overtaken when the record is no longer the one that the decision was made on, Unavailable.
        """
        update = registry_writes.begin(self._table, intent, record, run=run, whatever_the_verdict=True)
        if tries:
            registry_writes.try_name(update, tries, record)
        if not self._write(update, [withdrawal_marks.note(self._table, one) for one in takes_back]):
            raise Overtaken("another decision on the certificate was made meanwhile")

    def hand_back_intent(self, certificate_id: str, *, run: str, tried: str | None = None) -> bool:
        """Let another attempt begin at once, since this one ended without a decision; True if it had begun.

        The intent stays, since a part of it may have been carried out. `tried` is the thing name that was used.

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
        """Write down the thing name that an attempt uses; False when the record is no longer the one seen.

        Raises Unavailable.
        """
        return self._update(registry_writes.note_tried(self._table, certificate_id, thing_name, record))

    def note_withdrawals(self, marks: Iterable[Withdrawal]) -> None:
        """Write marks, so that the sweep takes back what attempts may have left behind.

        Raises Unavailable.
        """
        for mark in marks:
            self._update(withdrawal_marks.note(self._table, mark)["Update"])

    def give_back(self, back: NameRollback) -> None:
        """Give a thing name back to its previous owner, if the certificate that claimed it still owns it.

        Raises Unavailable.
        """
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            match name_writes.give_back(self._table, back):
                case {"Update": update}:
                    with calling("UpdateItem"):
                        self._client.update_item(**update)
                case {"Delete": delete}:
                    with calling("DeleteItem"):
                        self._client.delete_item(**delete)
            self._undo_hand_over(back)

    def give_back_if_unchanged(self, back: NameRollback, record: Record, now: datetime) -> None:
        """Give a thing name back as `give_back` does, if the record of its present owner is still the one seen.

        So an attempt that claims the name meanwhile keeps it.

        Raises Overtaken when another decision was made or begun meanwhile, Unavailable.
        """
        check = registry_writes.require_unchanged(self._table, back.by, record, now=now)
        writes: list[TransactWriteItemTypeDef] = [
            {"ConditionCheck": check},
            name_writes.give_back(self._table, back),
        ]
        if not self._transact(writes):
            raise Overtaken("the certificate was decided on, or its name given back, meanwhile")
        self._undo_hand_over(back)

    def _undo_hand_over(self, back: NameRollback) -> None:
        if back.to:
            self._update(name_writes.undo_hand_over(self._table, back.to.certificate_id, back.thing_name))

    def record(
        self,
        decision: Decision,
        seen: Record | None = None,
        *,
        run: str | None = None,
        tried: str | None = None,
        taken_back: Sequence[Withdrawal] = (),
    ) -> None:
        """Write a decision; from now on it answers repeated messages.

        With `run`, the decision is written only while that run holds the intent, and ends the intent. Without:

        - a status that was found replaces no decision except a hold, and no intent except the one that was `seen`,
          whose run is dead or was overtaken;
        - a hold does not replace a decision made since the record was `seen`.

        `tried` is the thing name that the attempt used. The marks of what it has `taken_back` are deleted in the same
        transaction.

        Raises Unavailable.
        """
        ended = [withdrawal_marks.end(self._table, one) for one in taken_back]
        # What is due follows from the decision, unless a verdict denies the device: then the check on that is due.
        # Each write has the condition for its case. The third is for a verdict that was lifted between the first two.
        for denied in (False, True, False):
            update = registry_writes.record_decision(self._table, decision, denied=denied, run=run, tried=tried)
            if run:
                pass  # the run in the intent is the condition
            elif decision.outcome is Outcome.FOUND:
                registry_writes.require_hold(update, seen.intent if seen else None)
            elif decision.outcome is Outcome.HELD and seen is not None:
                registry_writes.require_undecided_since(update, seen.decided_at)
            elif seen is not None and seen.intent is not None:
                registry_writes.require_intent(update, seen.intent)
            if self._write(update, ended):
                return

    def record_found(self, found: Decision, seen: Record, *, origin: str | None = None) -> bool:
        """Write a status that was found, over the record that was seen; False when the record has changed since.

        `origin` says how an adopted certificate was registered.

        Raises Unavailable.
        """
        return self._update(registry_writes.record_found(self._table, found, seen, origin))
