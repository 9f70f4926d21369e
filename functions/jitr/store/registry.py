"""Decisions and owners in DynamoDB; the only module that reads or writes the registry table.

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

Every write that rests on an earlier read says so in its condition: a decision is begun only while the record is still
the one that it was made on. A record never makes a certificate ACTIVE; losing one costs calls and holds, never safety.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import PASSING, batch_get, calling
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.owners import NameRollback, Owner
from jitr.record import Record, Standing
from jitr.store import registry_writes, withdrawal_marks
from jitr.store.dynamodb import key, plain, setting, values
from jitr.store.index_pages import Position, page
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.registry_items import (
    SCHEMA,
    certificate_key,
    from_verdict,
    milliseconds,
    moment,
    retirement_key,
    thing_key,
    to_owner,
    to_record,
)
from jitr.store.registry_writes import Due
from jitr.store.withdrawal_marks import Withdrawal
from jitr.verdicts import OperatorVerdict, VerdictConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, TransactWriteItemTypeDef

DUE_INDEX = "due"
_FORGET = f"REMOVE #decision, intent, swept_at, replaced_by, {LISTED_AS}, {LISTED_AT}"


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
        return self.recall_beside(certificate_ids, None)[0]

    def recall_beside(
        self, certificate_ids: Iterable[str], beside: str | None
    ) -> tuple[dict[str, Record], dict[str, Any]]:
        """The same, and the attributes of another item that is read along, by its id; none when there is no such item.

        Raises Unavailable.
        """
        ids = sorted(set(certificate_ids))
        records = {certificate_id: Record() for certificate_id in ids}
        keys = [key(certificate_key(certificate_id)) for certificate_id in ids]
        other: dict[str, Any] = {}
        for item in batch_get(self._client, self._table, keys + ([key(beside)] if beside else [])):
            fields = plain(item)
            if fields["id"] == beside:
                other = fields
            else:
                records[fields["id"].removeprefix("certificate#")] = to_record(fields)
        return records, other

    def owner(self, thing_name: str) -> Owner | None:
        """Who owns a thing name.

        Raises Unavailable.
        """
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(thing_key(thing_name)), ConsistentRead=True)
        return to_owner(plain(answer["Item"])) if "Item" in answer else None

    def owners(self, thing_names: Iterable[str]) -> dict[str, Owner]:
        """Who owns each of these thing names; a name that is free is left out. At most 100 of them (BatchGetItem).

        Raises Unavailable.
        """
        items = batch_get(self._client, self._table, [key(thing_key(name)) for name in sorted(set(thing_names))])
        return {fields["id"].removeprefix("thing#"): to_owner(fields) for fields in map(plain, items)}

    def standing(self, thing_name: str, twin_id: str | None) -> Standing:
        """Who owns a thing name, and what is known of the certificate's twin, in one BatchGetItem.

        Raises Unavailable.
        """
        keys = [key(thing_key(thing_name))]
        if twin_id:
            keys.append(key(certificate_key(twin_id)))
        found = {item["id"]["S"]: plain(item) for item in batch_get(self._client, self._table, keys)}
        owner = found.get(thing_key(thing_name))
        twin = found.get(certificate_key(twin_id), {}) if twin_id else {}
        return Standing(owner=to_owner(owner) if owner else None, twin=to_record(twin))

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
                registry_writes.unchanged(self._table, intent.twin_id, twin or Record(), now=intent.decided_at)
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
            self._follow_no_more(back)

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
        return self._update(registry_writes.tried(self._table, certificate_id, thing_name, record))

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
            self._follow_no_more(back)

    def give_back_if_unchanged(self, back: NameRollback, record: Record, now: datetime) -> None:
        """Give a thing name back as `give_back`, if the record of the certificate that has it is still the one seen.

        So an attempt that claims the name meanwhile keeps it.

        Raises Overtaken when another decision was made or begun meanwhile, Unavailable.
        """
        check = registry_writes.unchanged(self._table, back.by, record, now=now)
        writes: list[TransactWriteItemTypeDef] = [
            {"ConditionCheck": check},
            registry_writes.give_back(self._table, back),
        ]
        if not self._transact(writes):
            raise Overtaken("the certificate was decided on, or its name given back, meanwhile")
        self._follow_no_more(back)

    def _follow_no_more(self, back: NameRollback) -> None:
        if back.to:
            self._update(registry_writes.follow_no_more(self._table, back.to.certificate_id, back.thing_name))

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
            update = registry_writes.decided(self._table, decision, denied=denied, run=run, tried=tried)
            if run:
                pass  # having the certificate is the condition
            elif decision.outcome is Outcome.FOUND:
                registry_writes.only_over_a_hold(update, seen.intent if seen else None)
            elif decision.outcome is Outcome.HELD and seen is not None:
                registry_writes.only_if_undecided_since(update, seen.decided_at)
            elif seen is not None and seen.intent is not None:
                registry_writes.only_over_intent(update, seen.intent)
            if self._write(update, ended):
                return

    def record_found(self, found: Decision, seen: Record) -> bool:
        """Write down a status that was found, over the record that was seen; whether that still is the record.

        Raises Unavailable.
        """
        return self._update(registry_writes.found(self._table, found, seen))

    def note_sweep(self, certificate_id: str, swept_at: datetime, *, look_again: datetime | None = None) -> None:
        """Write down that the sweep sent this certificate to the queue, and when what was due is due again.

        Raises Unavailable.
        """
        due = {"due_at": milliseconds(look_again)} if look_again else {}
        at = certificate_key(certificate_id)
        self._update(setting(self._table, at, swept_at=milliseconds(swept_at), **due, schema=SCHEMA))

    def no_look_due(self, certificate_id: str, record: Record) -> None:
        """Take a certificate out of the index, if the look, the decision and the verdict are still those seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.no_look_due(self._table, certificate_id, record, due_at=record.due_at))

    def no_release_due(self, certificate_id: str, record: Record) -> None:
        """Take a certificate out of the index, if the release order that is due is still the one seen.

        Raises Unavailable.
        """
        if record.due_at is not None:
            self._update(registry_writes.no_release_due(self._table, certificate_id, due_at=record.due_at))

    def leave_unfinished(self, certificate_id: str, at: datetime) -> None:
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

    def leave_look(self, certificate_id: str, at: datetime) -> None:
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
        self._update(registry_writes.retirement(self._table, certificate_id, at=until))
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

    def due(self, what: Due, by: datetime, *, most: int) -> list[str]:
        """The certificate ids with which something is due, the longest overdue first, at most `most`.

        Raises Unavailable.
        """
        ids: list[str] = []
        after: Position | None = None
        while len(ids) < most:
            some, after = self.due_after(after, what, by, most=most - len(ids))
            ids += some
            if after is None:
                break
        return ids

    def due_after(
        self, after: Position | None, what: Due, by: datetime, *, most: int
    ) -> tuple[list[str], Position | None]:
        """A part of what is due, from a position on: the certificate ids, and where the list goes on, if it does.

        Raises Unavailable.
        """
        wanted = values(due=what.value, by=milliseconds(by))
        return page(self._client, self._table, DUE_INDEX, "due = :due AND due_at <= :by", wanted, after, most=most)

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
        registry_writes.only_with_verdict(update, seen)
        try:
            with calling("UpdateItem"):
                answer = self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            record = self.recall([certificate_id])[certificate_id]
            if record.verdict and _is_same(record.verdict, given):
                return record  # botocore tried again, since the first answer was lost
            raise VerdictConflict(certificate_id, record.verdict) from error
        before = plain(answer.get("Attributes", {}))
        if before.get("due") == Due.RETIRE.value:  # version 1 has both in one place
            self._update(registry_writes.retirement(self._table, certificate_id, at=moment(before["due_at"])))
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
        registry_writes.only_with_verdict(update, seen)
        if not self._update(update):
            raise VerdictConflict(certificate_id, self.recall([certificate_id])[certificate_id].verdict)

    def forget(self, certificate_id: str, *, seen: OperatorVerdict | None) -> None:
        """Drop all that is known of a certificate, if this verdict stands; should it come again, it is new.

        Dropped already is dropped.

        Raises VerdictConflict, Unavailable.
        """
        delete: dict[str, Any] = {"TableName": self._table, "Key": key(certificate_key(certificate_id))}
        registry_writes.only_with_verdict(delete, seen)
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

    def _why_not_begun(self, certificate_id: str) -> Rejected | Overtaken:
        if self.recall([certificate_id])[certificate_id].is_denied:
            return Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation")
        return Overtaken("another decision on the certificate was made meanwhile")

    def _write(self, update: Any, also: "Sequence[TransactWriteItemTypeDef]") -> bool:
        """Make one update, and other writes in one transaction with it; False when a condition does not hold."""
        return self._transact([{"Update": update}, *also]) if also else self._update(update)

    def _transact(self, writes: "Sequence[TransactWriteItemTypeDef]") -> bool:
        """Make all of these writes or none; False when a condition does not hold."""
        try:
            with calling("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code", "None") for reason in error.response["CancellationReasons"]}
            if "ConditionalCheckFailed" in codes:
                return False
            if codes <= PASSING:
                raise Unavailable(f"TransactWriteItems: {', '.join(sorted(codes))}") from error
            raise
        return True

    def _update(self, update: Mapping[str, Any]) -> bool:
        """Make one update; False when its condition does not hold."""
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _is_same(stored: OperatorVerdict, given: OperatorVerdict) -> bool:
    """Whether what is stored is what was given; times are stored in milliseconds."""
    return from_verdict(stored) == from_verdict(given)
