"""Counts refusals for the brakes of an account's CAs, and reads, engages and ends the brakes, in the registry table.

Cost: a refusal that rests on rules takes two writes. One marks the certificate's item, so that it is counted once; the
other increments the counter and returns the brake's state. All other decisions are summed up in the execution
environment, and written at most once a minute. So many good devices at once cost no write per device, and nothing here
calls AWS IoT.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.aws.calls import batch_get, calling
from jitr.brake import COUNTED_FOR, Acceptance, Brake, Engagement, Tally
from jitr.decisions import Decision, Outcome
from jitr.errors import Basis, Overtaken, Unavailable
from jitr.record import Record
from jitr.rules import CaRules
from jitr.store import brake_items
from jitr.store.brake_items import brake_key, find_outdated, to_brake
from jitr.store.dynamodb import deserialize, key
from jitr.store.registry_items import certificate_key
from jitr.store.registry_writes import STALE_INTENT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

# How often an execution environment writes its sums.
_EVERY = timedelta(minutes=1)
# How long the acceptances that were read are used for held devices.
_READ_HOLDS = timedelta(minutes=1)
# Old counters are removed once there are so many: one write for two hours of counters.
_MANY_OUTDATED = 48


class Brakes:
    """The brakes of one fleet's CAs in one account and Region; may be used by several threads."""

    def __init__(self, client: "DynamoDBClient", table: str, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._lock = threading.Lock()
        # CA certificate id → digest of the CA's rules → decisions that are not written yet
        self._unwritten: dict[str, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
        self._write_at: datetime | None = None
        self._acceptances: dict[str, tuple[datetime, int]] = {}  # when they were read, by CA certificate id

    def read(self, ca_certificate_ids: Iterable[str]) -> dict[str, Brake]:
        """The brake of each of these CAs, by CA certificate id, read consistently; at most 100 (BatchGetItem).

        Raises Unavailable.
        """
        ids = sorted(set(ca_certificate_ids))
        brakes = {one: Brake() for one in ids}
        for item in batch_get(self._client, self._table, [key(brake_key(one)) for one in ids]):
            fields = deserialize(item)
            brakes[fields["id"].removeprefix(brake_key(""))] = to_brake(fields)
        now = self._clock()
        self._acceptances |= {one: (now, brake.acceptances) for one, brake in brakes.items()}
        return brakes

    def count_refusal(
        self, rules: CaRules, certificate_id: str, *, has_begun: bool = False, uncounted_at: datetime | None = None
    ) -> Brake:
        """Count a certificate's refusal for its CA's rules, before it is carried out; returns the CA's brake after it.

        A certificate is counted once per hour, however often its refusal begins. The mark on the certificate is written
        first: if the function dies between the two writes, the device is held, and counted later. `has_begun` says
        that the refusal began after it was counted. `uncounted_at` is when the device was held because counting failed;
        a mark from before then does not prevent counting. The sums that are not written yet are written along.

        Raises Unavailable; Overtaken while another attempt may be about to count it.
        """
        now = self._clock()
        before = max(now - COUNTED_FOR, uncounted_at or now - COUNTED_FOR)
        mark = brake_items.mark_counted(self._table, certificate_id, rules.digest, now, before=before)
        if not self._update(mark):
            return self._recall_counted(rules, certificate_id, has_begun=has_begun)
        counted = self._take_unwritten(rules.certificate_id)
        try:
            return self._count(
                rules.certificate_id, counted | {rules.digest: counted.get(rules.digest, Tally()) + Tally(refused=1)}
            )
        except Unavailable:
            self._put_back(rules.certificate_id, counted)
            raise

    def _recall_counted(self, rules: CaRules, certificate_id: str, *, has_begun: bool) -> Brake:
        """The CA's brake, for a certificate that was already marked as counted.

        Raises Overtaken while the attempt that marked it may still count it, Unavailable when that attempt may have
        died before it counted, or when the table cannot be read.
        """
        keys = [key(brake_key(rules.certificate_id)), key(certificate_key(certificate_id))]
        items = {fields["id"]: fields for fields in map(deserialize, batch_get(self._client, self._table, keys))}
        counted_at = brake_items.counted_at(items.get(certificate_key(certificate_id), {}))
        if not has_begun and counted_at:
            if self._clock() - counted_at <= STALE_INTENT:
                raise Overtaken("another attempt is counting the refusal")
            raise Unavailable("an attempt that died may not have counted the refusal")
        return to_brake(items.get(brake_key(rules.certificate_id), {}))

    def note(self, rules: CaRules | None, decision: Decision) -> None:
        """Add a recorded decision to the sums, except a refusal that rests on rules: `count_refusal` counted it."""
        is_counted = decision.outcome is Outcome.REJECTED and decision.rests_on is Basis.RULES
        if rules is None or rules.brake is None or is_counted:
            return
        if decision.outcome in (Outcome.ACTIVATED, Outcome.REJECTED):
            self._put_back(rules.certificate_id, {rules.digest: Tally(others=1)})

    def write(self) -> None:
        """Write the sums, at most once a minute.

        A new environment waits one minute too: otherwise each would add a write with its first decision.

        Raises Unavailable; the sums are kept and written later.
        """
        now = self._clock()
        if not self._unwritten:
            return
        if self._write_at is None:
            self._write_at = now + _EVERY
        if now < self._write_at:
            return
        self._write_at = now + _EVERY
        for ca_certificate_id in list(self._unwritten):
            counted = self._take_unwritten(ca_certificate_id)
            try:
                self._count(ca_certificate_id, counted)
            except Unavailable:
                self._put_back(ca_certificate_id, counted)
                raise

    def engage(self, rules: CaRules, engaged: Engagement, *, acceptances: int) -> bool:
        """Engage the brake; False if it was engaged, or an operator accepted rejections, meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.engage(self._table, rules.certificate_id, engaged, acceptances=acceptances))

    def note_announced(self, ca_certificate_id: str, engaged: Engagement) -> None:
        """Mark an engaged brake as announced.

        Raises Unavailable.
        """
        self._update(brake_items.note_announced(self._table, ca_certificate_id, engaged))

    def disengage(self, ca_certificate_id: str, engaged: Engagement) -> bool:
        """End the brake because the CA's rules changed; False if it was changed meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.disengage(self._table, ca_certificate_id, engaged))

    def accept(self, ca_certificate_id: str, engaged: Engagement, accepted: Acceptance) -> bool:
        """End the brake that an operator saw, and record the acceptance; False if it was changed meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.accept(self._table, ca_certificate_id, engaged, accepted))

    def find_accepted(self, records: Mapping[str, Record], swept: Mapping[str, datetime] | None = None) -> set[str]:
        """The certificate ids that the brake holds, and whose CA's rejections an operator has accepted since.

        What was read within the last minute holds, unless it was read before the sweep sent one of them (`swept`: when,
        by certificate id): an acceptance may be why it did. What cannot be read is taken as unchanged: they stay held,
        and are evaluated again as others are.
        """
        held = {
            one: record.decision for one, record in records.items() if record.decision and record.decision.is_braked
        }
        now = self._clock()
        not_before: dict[str, datetime] = {}  # by CA certificate id
        for one, decision in held.items():
            if ca := decision.ca_certificate_id:
                wanted = max(now - _READ_HOLDS, (swept or {}).get(one, now - _READ_HOLDS))
                not_before[ca] = max(not_before.get(ca, wanted), wanted)
        unread = {
            ca for ca, wanted in not_before.items() if ca not in self._acceptances or self._acceptances[ca][0] <= wanted
        }
        if unread:
            with suppress(Unavailable):
                self.read(unread)
        known = {one: number for one, (_, number) in self._acceptances.items() if number}
        return {
            certificate_id
            for certificate_id, decision in held.items()
            if max(decision.brake or 0, 0) < known.get(decision.ca_certificate_id or "", 0)
        }

    def _take_unwritten(self, ca_certificate_id: str) -> dict[str, Tally]:
        """Remove a CA's sums from those that are not written yet, and return them."""
        with self._lock:
            return defaultdict(Tally, self._unwritten.pop(ca_certificate_id, {}))

    def _put_back(self, ca_certificate_id: str, counted: Mapping[str, Tally]) -> None:
        with self._lock:
            for rules, tally in counted.items():
                self._unwritten[ca_certificate_id][rules] += tally

    def _count(self, ca_certificate_id: str, counted: Mapping[str, Tally]) -> Brake:
        now = self._clock()
        update = brake_items.count_decisions(self._table, ca_certificate_id, counted, now)
        with calling("UpdateItem"):
            answer = self._client.update_item(**update, ReturnValues="ALL_NEW")
        fields = deserialize(answer.get("Attributes", {}))
        old = find_outdated(fields, now)
        if len(old) >= _MANY_OUTDATED:
            self._update(brake_items.forget_counters(self._table, ca_certificate_id, old))
        return to_brake(fields)

    def _update(self, update: "UpdateTypeDef") -> bool:
        """Make one update; False when its condition does not hold."""
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
