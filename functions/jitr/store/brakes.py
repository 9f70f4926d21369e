"""The brakes of an account's CAs in the registry table: counted, read, engaged and ended.

What it costs: a refusal that rests on rules counts with two writes, to the certificate's item, so that it is counted
once, and to the counter, whose answer is the state. All other decisions are summed up in the execution environment, and
written once a minute at most. So a storm of good devices costs no write for a device, and no call of AWS IoT ever.
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
from jitr.store.brake_items import brake_key, outdated, to_brake
from jitr.store.dynamodb import key, plain
from jitr.store.registry_items import certificate_key
from jitr.store.registry_writes import STALE_INTENT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

# How often an environment writes what it has counted.
_EVERY = timedelta(minutes=1)
# How long it relies on what it read for devices that are held.
_READ_HOLDS = timedelta(minutes=1)
# So many old counters are removed at once: a write for two hours' worth.
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
        """What is known of each of these CAs, read consistently; at most 100.

        Raises Unavailable.
        """
        ids = sorted(set(ca_certificate_ids))
        brakes = {one: Brake() for one in ids}
        for item in batch_get(self._client, self._table, [key(brake_key(one)) for one in ids]):
            fields = plain(item)
            brakes[fields["id"].removeprefix(brake_key(""))] = to_brake(fields)
        now = self._clock()
        self._acceptances |= {one: (now, brake.acceptances) for one, brake in brakes.items()}
        return brakes

    def count_refusal(
        self, rules: CaRules, certificate_id: str, *, has_begun: bool = False, uncounted_at: datetime | None = None
    ) -> Brake:
        """Count a certificate's refusal for its CA's rules, before it is carried out; what is known of the CA then.

        A certificate is counted once in an hour, however often its refusal is begun. That it is counted is written down
        first: when its function dies in between, the device is held, and counted later. `has_begun` says that its
        refusal was begun after it was counted. `uncounted_at` is when it was held since that failed; what was written
        down before then does not prevent that it is counted. What waits to be written goes with it.

        Raises Unavailable; Overtaken while another attempt may be about to count it.
        """
        now = self._clock()
        before = max(now - COUNTED_FOR, uncounted_at or now - COUNTED_FOR)
        mark = brake_items.mark_counted(self._table, certificate_id, rules.digest, now, before=before)
        if not self._update(mark):
            return self._counted(rules, certificate_id, has_begun=has_begun)
        counted = self._take(rules.certificate_id)
        try:
            return self._count(
                rules.certificate_id, counted | {rules.digest: counted.get(rules.digest, Tally()) + Tally(refused=1)}
            )
        except Unavailable:
            self._put_back(rules.certificate_id, counted)
            raise

    def _counted(self, rules: CaRules, certificate_id: str, *, has_begun: bool) -> Brake:
        """What is known of the CA, where the certificate was marked as counted before.

        Raises Unavailable, Overtaken.
        """
        keys = [key(brake_key(rules.certificate_id)), key(certificate_key(certificate_id))]
        items = {fields["id"]: fields for fields in map(plain, batch_get(self._client, self._table, keys))}
        counted_at = brake_items.counted_at(items.get(certificate_key(certificate_id), {}))
        if not has_begun and counted_at:
            if self._clock() - counted_at <= STALE_INTENT:
                raise Overtaken("another attempt is counting the refusal")
            raise Unavailable("an attempt that died may not have counted the refusal")
        return to_brake(items.get(brake_key(rules.certificate_id), {}))

    def note(self, rules: CaRules | None, decision: Decision) -> None:
        """Sum up a decision that was recorded; a refusal that rests on rules was counted before."""
        is_counted = decision.outcome is Outcome.REJECTED and decision.rests_on is Basis.RULES
        if rules is None or rules.brake is None or is_counted:
            return
        if decision.outcome in (Outcome.ACTIVATED, Outcome.REJECTED):
            self._put_back(rules.certificate_id, {rules.digest: Tally(others=1)})

    def write(self) -> None:
        """Write what was summed up, unless that was done, or began to be summed up, within the last minute.

        A new environment waits for its minute too: one more write would come with the first decision of each.

        Raises Unavailable; it is written another time then.
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
            counted = self._take(ca_certificate_id)
            try:
                self._count(ca_certificate_id, counted)
            except Unavailable:
                self._put_back(ca_certificate_id, counted)
                raise

    def engage(self, rules: CaRules, engaged: Engagement, *, acceptances: int) -> bool:
        """Engage the brake; False where it was meanwhile, or an operator has accepted rejections meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.engage(self._table, rules.certificate_id, engaged, acceptances=acceptances))

    def note_announced(self, ca_certificate_id: str, engaged: Engagement) -> None:
        """Write down that an engaged brake was announced.

        Raises Unavailable.
        """
        self._update(brake_items.announced(self._table, ca_certificate_id, engaged))

    def disengage(self, ca_certificate_id: str, engaged: Engagement) -> bool:
        """End the brake, since the CA's rules are others; False where it has been changed meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.disengage(self._table, ca_certificate_id, engaged))

    def accept(self, ca_certificate_id: str, engaged: Engagement, accepted: Acceptance) -> bool:
        """End the brake as an operator saw it; False where it has been changed meanwhile.

        Raises Unavailable.
        """
        return self._update(brake_items.accept(self._table, ca_certificate_id, engaged, accepted))

    def accepted_since(self, records: Mapping[str, Record], swept: Mapping[str, datetime] | None = None) -> set[str]:
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

    def _take(self, ca_certificate_id: str) -> dict[str, Tally]:
        """What waits to be written about a CA, which it then does not any more."""
        with self._lock:
            return defaultdict(Tally, self._unwritten.pop(ca_certificate_id, {}))

    def _put_back(self, ca_certificate_id: str, counted: Mapping[str, Tally]) -> None:
        with self._lock:
            for rules, tally in counted.items():
                self._unwritten[ca_certificate_id][rules] += tally

    def _count(self, ca_certificate_id: str, counted: Mapping[str, Tally]) -> Brake:
        now = self._clock()
        update = brake_items.count(self._table, ca_certificate_id, counted, now)
        with calling("UpdateItem"):
            answer = self._client.update_item(**update, ReturnValues="ALL_NEW")
        fields = plain(answer.get("Attributes", {}))
        old = outdated(fields, now)
        if len(old) >= _MANY_OUTDATED:
            self._update(brake_items.forget(self._table, ca_certificate_id, old))
        return to_brake(fields)

    def _update(self, update: "UpdateTypeDef") -> bool:
        """Make one update; False when its condition does not hold."""
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
