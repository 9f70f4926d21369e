"""The sweep: PENDING_ACTIVATION certificates that the queue has forgotten are sent to it again.

AWS IoT publishes an event only while the device knocks. When an event is lost (the rule was disabled, a queue purged, a
stack broken) and the device has given up, nobody would ever take it up. The sweep decides which certificates have
waited without a decision; `register` decides on them, as on any other event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jitr.decisions import Outcome, Record
from jitr.iot import AwsIot
from jitr.messages import SweepQueue
from jitr.registrations import ListedCertificate, Status
from jitr.registry import Registry
from jitr.rules import Rules

# A certificate that was sent and still has no decision is sent again after this long, not at every sweep.
_SENT_RECENTLY = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    looked_at: int  # certificates listed
    pending: int  # of those, PENDING_ACTIVATION for longer than pending_after
    sent: int
    queue_is_behind: bool = False  # nothing was done: the queue still holds what it has not forgotten


class Sweep:
    """Sweeps one account and Region."""

    def __init__(
        self, *, rules: Rules, iot: AwsIot, registry: Registry, queue: SweepQueue, clock: Callable[[], datetime]
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._queue = queue
        self._clock = clock

    def run(self) -> Swept:
        """Look at every CA's certificates, newest first, back to the horizon.

        Raises Unavailable.
        """
        now = self._clock()
        pending_after = timedelta(seconds=self._rules.pending_after)
        if self._queue.age_of_oldest(now) > pending_after:
            return Swept(looked_at=0, pending=0, sent=0, queue_is_behind=True)
        looked_at = pending = sent = 0
        for ca in self._rules.cas:
            for page in self._iot.certificates_of(ca.certificate_id):
                recent = [one for one in page if now - one.created_at <= timedelta(seconds=self._rules.horizon)]
                waiting = [
                    one
                    for one in recent
                    if one.status is Status.PENDING_ACTIVATION and now - one.created_at > pending_after
                ]
                looked_at += len(recent)
                pending += len(waiting)
                sent += self._send(waiting, ca.certificate_id, now)
                if len(recent) < len(page):
                    break
        return Swept(looked_at=looked_at, pending=pending, sent=sent)

    def _send(self, waiting: list[ListedCertificate], ca_certificate_id: str, now: datetime) -> int:
        """Send those without a decision, or held and due; how many."""
        sent = 0
        for start in range(0, len(waiting), 100):  # BatchGetItem's most
            some = waiting[start : start + 100]
            records = self._registry.recall(one.certificate_id for one in some)
            forgotten = [one for one in some if self._is_forgotten(one, records[one.certificate_id], now)]
            self._queue.send(forgotten, ca_certificate_id, now)
            for one in forgotten:
                self._registry.note_sweep(one.certificate_id, now)
            sent += len(forgotten)
        return sent

    def _is_forgotten(self, listed: ListedCertificate, record: Record, now: datetime) -> bool:
        if record.swept_at and now - record.swept_at < _SENT_RECENTLY:
            return False
        decision = record.decision
        if decision is None or not decision.is_for(listed.created_at):
            return True
        if decision.outcome is Outcome.HELD:
            return not decision.is_held(now, rules_digest=self._rules_digest)
        return False
