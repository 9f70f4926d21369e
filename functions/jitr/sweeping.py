"""The sweep: what the events did not bring about, on a schedule.

    1 look back     PENDING_ACTIVATION certificates, newest first down to the horizon: those that wait
                    without a decision are sent to the queue again
    2 look again    held devices whose time has come, found by index; all of them when the rules have changed; those
                    whose enrollment entries have changed, when the list has
    3 retire        certificates that another one followed, once the overlap is over and the other one is ACTIVE
    4 count         once a day, every certificate of every CA, resumed across sweeps: counts per status, and ACTIVE
                    certificates against which an operator's verdict stands

Each sweep also tells how many certificates wait, and for how long each CA's own certificate is still valid.

AWS IoT publishes an event only while the device knocks. When an event is lost (the rule was disabled, a queue purged, a
stack broken) and the device has given up, nobody would ever take it up. The sweep decides which certificates were
forgotten; `register` decides on them, as on any other event. It sends nothing while the queue is behind: what is in the
queue is not forgotten.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509

from jitr.claims import Due
from jitr.decisions import Outcome, Record
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import CertificateUnknown, Overtaken, Rejected
from jitr.iot import AwsIot
from jitr.journal import Journal, Pass, Walk
from jitr.messages import Forgotten, SweepQueue
from jitr.provisioning import plan_retirement
from jitr.registrations import DeviceRegistration, ListedCertificate, Status
from jitr.registry import Registry
from jitr.rules import CaRules, Rules
from jitr.telemetry import CA_DAYS_LEFT, DISAGREEMENTS, WAITING, Announcer

# A certificate that was sent and still has no decision is sent again after this long, not at every sweep.
_SENT_RECENTLY = timedelta(hours=1)
_COUNTED_EVERY = timedelta(days=1)
# One sweep's share of what is due; the next one takes the rest.
_MOST_DUE = 500
_MOST_HELD = 20_000
# Held devices that are compared with a changed enrollment list: 2,000 reads, half a minute.
_MOST_COMPARED = 100_000
_RETIRE_LATER = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    looked_at: int = 0  # certificates listed
    sent: int = 0
    retired: int = 0
    disagreements: int = 0  # ACTIVE certificates against which an operator's verdict stands
    queue_is_behind: bool = False  # nothing was sent
    unfinished: list[str] = field(default_factory=list)  # CAs whose list the next sweep goes on with


class Sweep:
    """Sweeps one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        enrollment: EnrollmentTable,
        journal: Journal,
        queue: SweepQueue,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._enrollment = enrollment
        self._journal = journal
        self._queue = queue
        self._announcer = announcer
        self._clock = clock
        self._run = f"sweep {uuid.uuid4()}"

    def run(self, *, time_is_left: Callable[[], bool]) -> Swept:
        """Sweep until everything is done, or time is not left any more; the next sweep goes on from there.

        Raises Unavailable.
        """
        swept = Swept()
        now = self._clock()
        swept.queue_is_behind = self._queue.age_of_oldest(now) > timedelta(seconds=self._rules.pending_after)
        if not swept.queue_is_behind:
            self._look_again(swept, now)
            self._look_where_entries_changed(swept, now, time_is_left)
            for ca in self._rules.cas:
                self._look_back(ca, swept, now, time_is_left)
        self._retire(swept, now, time_is_left)
        for ca in self._rules.cas:
            self._count(ca, swept, now, time_is_left)
            self._announcer.count(CA_DAYS_LEFT, _days_left(ca, now), ca=ca.name)
        return swept

    def _look_back(self, ca: CaRules, swept: Swept, now: datetime, time_is_left: Callable[[], bool]) -> None:
        horizon = now - timedelta(seconds=self._rules.horizon)
        waiting_since = now - timedelta(seconds=self._rules.pending_after)
        marker = self._journal.look_back_marker(ca.certificate_id)
        waiting_in_all = 0
        for page in self._iot.certificates_of(ca.certificate_id, marker):
            recent = [one for one in page.certificates if one.created_at >= horizon]
            waiting = [
                one for one in recent if one.status is Status.PENDING_ACTIVATION and one.created_at < waiting_since
            ]
            waiting_in_all += len(waiting)
            swept.looked_at += len(recent)
            swept.sent += self._send_forgotten(ca, waiting, now)
            if len(recent) < len(page.certificates):
                break
            if page.next_marker and not time_is_left():
                self._journal.keep_look_back_marker(ca.certificate_id, page.next_marker)
                swept.unfinished.append(ca.name)
                return
        if marker:
            self._journal.keep_look_back_marker(ca.certificate_id, None)
        else:  # a part of the list would be told as the whole
            self._announcer.count(WAITING, waiting_in_all, ca=ca.name)

    def _send_forgotten(self, ca: CaRules, waiting: list[ListedCertificate], now: datetime) -> int:
        sent = 0
        for start in range(0, len(waiting), 100):  # BatchGetItem's most
            some = waiting[start : start + 100]
            records = self._registry.recall(one.certificate_id for one in some)
            sent += self._send(
                [
                    Forgotten(
                        certificate_id=one.certificate_id,
                        ca_certificate_id=ca.certificate_id,
                        registered_at=one.created_at,
                    )
                    for one in some
                    if self._is_forgotten(one, records[one.certificate_id], now)
                ],
                now,
            )
        return sent

    def _is_forgotten(self, listed: ListedCertificate, record: Record, now: datetime) -> bool:
        if _was_sent_recently(record, now):
            return False
        decision = record.decision
        # What is decided is not forgotten; held devices are found by their index.
        return decision is None or not decision.is_for(listed.created_at)

    def _look_again(self, swept: Swept, now: datetime) -> None:
        """Send held devices that are due; every one of them after the rules changed."""
        rules_changed = self._journal.rules_digest() != self._rules_digest
        by = now + timedelta(days=2) if rules_changed else now
        due = self._registry.due(Due.LOOK, by, most=_MOST_HELD if rules_changed else _MOST_DUE)
        for start in range(0, len(due), 100):
            records = self._registry.recall(due[start : start + 100])
            swept.sent += self._send(list(self._due_again(records, now)), now)
        if rules_changed:
            self._journal.keep_rules_digest(self._rules_digest)

    def _look_where_entries_changed(self, swept: Swept, now: datetime, time_is_left: Callable[[], bool]) -> None:
        """Send held devices whose enrollment entries say something else than when they were held."""
        version, walk = self._enrollment.version(), self._journal.walk()
        if version is None or (walk and walk.version == version and walk.is_finished):
            return
        if walk is None or walk.version != version:
            walk = Walk(version=version, began_at=now)
            self._journal.keep_walk(walk)
        held = self._registry.due(Due.LOOK, now + timedelta(days=2), most=_MOST_COMPARED)
        for start in range(0, len(held), 100):
            if not time_is_left():
                swept.unfinished.append("enrollment")
                return
            records = self._registry.recall(held[start : start + 100])
            changed = self._enrollment.changed_since(records)
            # What was sent for another cause since the walk began is judged by the list as it is.
            again = [_held(records[one]) for one in sorted(changed) if not _was_sent_after(records[one], walk.began_at)]
            swept.sent += self._send(again, now)
        self._journal.keep_walk(replace(walk, is_finished=True))

    def _due_again(self, records: dict[str, Record], now: datetime) -> Iterable[Forgotten]:
        for certificate_id, record in records.items():
            decision = record.decision
            if decision is None or decision.outcome is not Outcome.HELD or not decision.ca_certificate_id:
                self._registry.nothing_due(certificate_id, Due.LOOK)  # it was decided, or released, since
            elif not _was_sent_recently(record, now):
                # Should it not be looked at, the others still have their turn.
                self._registry.postpone(certificate_id, now + _SENT_RECENTLY)
                yield _held(record)

    def _send(self, forgotten: list[Forgotten], now: datetime) -> int:
        self._queue.send(forgotten, now)
        for one in forgotten:
            self._registry.note_sweep(one.certificate_id, now)
        return len(forgotten)

    def _retire(self, swept: Swept, now: datetime, time_is_left: Callable[[], bool]) -> None:
        due = self._registry.due(Due.RETIRE, now, most=_MOST_DUE)
        for start in range(0, len(due), 100):
            for certificate_id, record in self._registry.recall(due[start : start + 100]).items():
                if not time_is_left():
                    return
                swept.retired += self._retire_one(certificate_id, record, now)

    def _retire_one(self, certificate_id: str, record: Record, now: datetime) -> bool:  # noqa: PLR0911 -- each way out is a case
        """End one replaced certificate, if what replaced it works; whether it is ended."""
        decision = record.decision
        if decision is None and record.intent is not None:
            self._registry.postpone(certificate_id, now + _RETIRE_LATER)  # its decision is still to be recorded
            return False
        if decision is None or decision.thing_name is None:
            self._registry.nothing_due(certificate_id, Due.RETIRE)
            return False
        owner = self._registry.owner(decision.thing_name)
        follower = self._described(owner.certificate_id) if owner else None
        if owner is None or owner.certificate_id == certificate_id:
            self._registry.nothing_due(certificate_id, Due.RETIRE)  # it has the name (again)
            return False
        if follower is None or follower.status is not Status.ACTIVE:
            self._registry.postpone(certificate_id, now + _RETIRE_LATER)
            return False
        device = self._described(certificate_id)
        if device is None:
            self._registry.nothing_due(certificate_id, Due.RETIRE)
            return False
        ca = self._rules.ca(decision.ca_certificate_id or "")
        replaced = replace(
            decision,
            outcome=Outcome.REPLACED,
            status=Status.INACTIVE if device.status is Status.ACTIVE else device.status,
            decided_at=now,
            replaced_by=owner.certificate_id,
            attempts=1,
            after=decision.decided_at,
        )
        try:
            # As for every change of a status, written down first: an operator's word is neither missed nor undone.
            self._registry.intend(replaced, record, run=self._run)
            for step in plan_retirement(decision.thing_name, ca.policy if ca else None, device):
                self._iot.apply(step)
        except (Rejected, Overtaken, CertificateUnknown) as refusal:
            self._announcer.failure("certificate cannot be retired", certificate_id=certificate_id, why=str(refusal))
            self._registry.postpone(certificate_id, now + _RETIRE_LATER)
            return False
        self._announcer.announce(replaced)
        self._registry.record(replaced, record)
        self._announcer.outcome(Outcome.REPLACED, certificate_id, replaced)
        return True

    def _described(self, certificate_id: str) -> DeviceRegistration | None:
        try:
            return self._iot.describe(certificate_id)
        except CertificateUnknown:
            return None

    def _count(self, ca: CaRules, swept: Swept, now: datetime, time_is_left: Callable[[], bool]) -> None:
        """Go on with the day's full pass, or begin it when the last one is a day old."""
        going = self._journal.full_pass(ca.certificate_id)
        if going.finished_at and now - going.finished_at < _COUNTED_EVERY:
            return
        if going.finished_at or going.began_at is None:
            going = Pass(began_at=now)
        denied = set(self._registry.due(Due.DENIED, now, most=10_000))
        counts = Counter(going.counts)
        for page in self._iot.certificates_of(ca.certificate_id, going.marker):
            counts.update(one.status.value for one in page.certificates)
            for one in page.certificates:
                if one.status is Status.ACTIVE and one.certificate_id in denied:
                    swept.disagreements += 1
                    self._announcer.warn(
                        "a certificate is ACTIVE against an operator's verdict",
                        DISAGREEMENTS,
                        certificate_id=one.certificate_id,
                        ca=ca.name,
                    )
            if page.next_marker and not time_is_left():
                self._journal.keep_pass(ca.certificate_id, replace(going, marker=page.next_marker, counts=dict(counts)))
                swept.unfinished.append(ca.name)
                return
        self._journal.keep_pass(
            ca.certificate_id, Pass(began_at=going.began_at, finished_at=self._clock(), counts=dict(counts))
        )


def _was_sent_recently(record: Record, now: datetime) -> bool:
    return record.swept_at is not None and now - record.swept_at < _SENT_RECENTLY


def _days_left(ca: CaRules, now: datetime) -> float:
    """Days until a CA's certificate expires, negative after it."""
    not_after = x509.load_pem_x509_certificate(ca.certificate_pem.encode()).not_valid_after_utc
    return (not_after - now) / timedelta(days=1)


def _was_sent_after(record: Record, moment: datetime) -> bool:
    return record.swept_at is not None and record.swept_at >= moment


def _held(record: Record) -> Forgotten:
    """The message about a held certificate."""
    assert record.decision is not None  # noqa: S101 -- it is held
    return Forgotten(
        certificate_id=record.decision.certificate_id,
        ca_certificate_id=record.decision.ca_certificate_id or "",
        registered_at=record.decision.registered_at,
    )
