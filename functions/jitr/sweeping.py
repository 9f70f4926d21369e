"""The sweep: what the events did not bring about, on a schedule.

    1 look back     PENDING_ACTIVATION certificates, newest first down to the horizon: those that wait
                    without a decision are sent to the queue again: look_back.py
    2 look again    held, released and approved devices whose time has come, and what an attempt left unfinished, found
                    by index; all of them when the rules have changed; those whose enrollment entries have changed,
                    when the list has
    - brakes        those that other rules end, and which are engaged: brake_end.py
    3 withdraw      what attempts left behind and no run took back, found by index (withdrawal_repair.py)
    4 retire        certificates that another one followed, once the overlap is over and the other one is ACTIVE
    5 count         once a day, every certificate that AWS lists by CA, resumed across sweeps: counting.py
    6 full pass     once a day, every certificate of the account, resumed likewise: sends those older than the horizon
                    that wait without a decision, records what others revoked or deactivated: full_pass.py

Nothing rests on AWS saying whose a certificate is: the look back and the full pass go through all certificates of the
account, a call for each 250. Only (5) takes what AWS lists by CA, which may be none that is in SNI_ONLY mode.

Each sweep also tells how many certificates wait, and for how long each CA's own certificate is still valid.

AWS IoT publishes an event only while the device knocks. When an event is lost (the rule was disabled, a queue purged, a
stack broken) and the device has given up, nobody would ever take it up. The sweep decides which certificates were
forgotten; `register` decides on them, as on any other event. It sends nothing while the queue is behind: what is in the
queue is not forgotten. `register` relies on it: a message that waited for AWS too often is deleted, for the sweep finds
its certificate (forgotten.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jitr.allowance import Allowance
from jitr.brake_end import judged_under, look_after, read_brakes
from jitr.brakes import Brakes
from jitr.certificates import Certificate
from jitr.claims import Due
from jitr.counting import Count
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import CertificateUnknown, NotPermitted, Unavailable
from jitr.forgotten import SENT_RECENTLY, is_unfinished, was_sent_recently
from jitr.full_pass import FullPass
from jitr.iot import AwsIot
from jitr.journal import Journal, Walk
from jitr.look_back import LookBack
from jitr.messages import MOST_IN_BATCH, Forgotten, SweepQueue
from jitr.pacing import TURNS_PER_LOOK
from jitr.record import Record
from jitr.registrations import Status
from jitr.registry import Registry
from jitr.retiring import Retirement
from jitr.rules import CaRules, Rules
from jitr.telemetry import CA_DAYS_LEFT, PUT_OFF, Announcer
from jitr.value import value
from jitr.withdrawal_repair import WithdrawalRepair
from jitr.withdrawals import Withdrawals

# What one sweep takes of what is due; the next one takes the rest.
_MOST_DUE = 500
_MOST_HELD = 20_000
# Held devices that are compared with a changed enrollment list: 2,000 reads, half a minute.
_MOST_COMPARED = 100_000
# Of the calls that are allowed until the next sweep, what is sent to the queue may take these parts: held devices no
# more than their looks have anyway, forgotten ones half, so that those that knock now are served at once.
_PART_OF_HELD, _PART_OF_FORGOTTEN = 1 / TURNS_PER_LOOK, 1 / 2


@dataclass(slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    looked_at: int = 0  # certificates listed since the horizon
    sent: int = 0
    retired: int = 0
    disagreements: int = 0  # ACTIVE certificates against which a verdict or an entry stands
    queue_is_behind: bool = False  # nothing was sent
    more_is_due: bool = False  # than one sweep sends
    unfinished: list[str] = field(default_factory=list)  # parts, and CAs whose list, the next sweep goes on with
    failed: list[str] = field(default_factory=list)  # parts that ended in an error; the log says which


@value
class _Run:
    """One sweep under way."""

    swept: Swept
    now: datetime
    time_is_left: Callable[[], bool]


class Sweep:
    """Sweeps one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        withdrawals: Withdrawals,
        enrollment: EnrollmentTable,
        brakes: Brakes,
        journal: Journal,
        queue: SweepQueue,
        announcer: Announcer,
        clock: Callable[[], datetime],
        activations_per_second: float,
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._withdrawals = withdrawals
        self._enrollment = enrollment
        self._brakes = brakes
        self._journal = journal
        self._queue = queue
        self._announcer = announcer
        self._clock = clock
        self._activations_per_second = activations_per_second
        self._look_back = LookBack(rules=rules, iot=iot, registry=registry, journal=journal, announcer=announcer)
        self._count = Count(
            iot=iot,
            registry=registry,
            journal=journal,
            announcer=announcer,
            clock=clock,
            rules_digest=self._rules_digest,
        )
        self._full_pass = FullPass(
            rules=rules,
            iot=iot,
            registry=registry,
            enrollment=enrollment,
            journal=journal,
            announcer=announcer,
            clock=clock,
        )
        self._repair = WithdrawalRepair(
            rules=rules, iot=iot, registry=registry, withdrawals=withdrawals, announcer=announcer, clock=clock
        )
        self._retirement = Retirement(rules=rules, iot=iot, registry=registry, announcer=announcer, clock=clock)

    def run(self, *, time_is_left: Callable[[], bool]) -> Swept:
        """Sweep until everything is done, or time is not left any more; the next sweep goes on from there.

        What fails stops neither the other CAs nor the other parts; it is logged, counted and named in `failed`.
        """
        swept, now = Swept(), self._clock()
        run = _Run(swept=swept, now=now, time_is_left=time_is_left)
        with self._part("age of the queue", run):
            swept.queue_is_behind = True  # if that cannot be known
            swept.queue_is_behind = self._queue.age_of_oldest(now) > timedelta(seconds=self._rules.pending_after)
        allowance = self._allowance(_PART_OF_FORGOTTEN)
        if not swept.queue_is_behind:
            looks = self._allowance(_PART_OF_HELD)
            with self._part("look again", run):
                self._look_again(run, looks)
            with self._part("enrollment", run):
                self._look_where_entries_changed(run, looks)
            with self._part("look back", run):
                back = self._look_back.go_back(
                    now, time_is_left=time_is_left, send=lambda some: self._send(some, run, allowance)
                )
                swept.looked_at = back.looked_at
                swept.more_is_due |= not back.all_sent
                swept.unfinished += [] if back.is_finished else ["look back"]
        with self._part("brakes", run):
            known = read_brakes(self._brakes, self._rules)
            for ca in self._rules.cas:
                look_after(self._brakes, self._announcer, ca, known[ca.certificate_id], now)
        with self._part("withdraw", run):
            self._withdraw(run, allowance)
        with self._part("retire", run):
            self._retire(run)
        for ca in self._rules.cas:
            with self._part(f"count, {ca.name}", run):
                self._announcer.count(CA_DAYS_LEFT, _days_left(ca, now), ca=ca.name)
                is_finished = self._count.go_on(ca, now, time_is_left=time_is_left)
                swept.unfinished += [] if is_finished else [ca.name]
        with self._part("full pass", run):
            passed = self._full_pass.go_on(
                now,
                time_is_left=time_is_left,
                send=None if swept.queue_is_behind else lambda some: self._send(some, run, allowance),
            )
            swept.disagreements += passed.disagreements
            swept.unfinished += [] if passed.is_finished else ["full pass"]
        return swept

    @contextmanager
    def _part(self, part: str, run: _Run) -> Iterator[None]:
        try:
            yield
        except NotPermitted:
            self._announcer.not_permitted("part of the sweep is not permitted", part=part)
            run.swept.failed.append(part)
        except Unavailable as error:
            self._announcer.warn("part of the sweep is put off", PUT_OFF, part=part, why=str(error))
            run.swept.failed.append(part)
        except Exception:  # noqa: BLE001 -- the boundary: the other parts must still be done
            self._announcer.failure("part of the sweep failed", part=part)
            run.swept.failed.append(part)

    def _allowance(self, part: float) -> Allowance:
        return Allowance.of(
            part * self._activations_per_second, every=self._rules.every, pending_after=self._rules.pending_after
        )

    def _look_again(self, run: _Run, allowance: Allowance) -> None:
        """Send what is due; all that are held, released or approved after the rules changed.

        An operator who accepts the rejections that a brake holds changes what devices are judged under, too.
        """
        under = judged_under(self._rules, read_brakes(self._brakes, self._rules))
        rules_changed = self._journal.rules_digest() != under
        by = run.now + timedelta(days=2) if rules_changed else run.now
        due = self._registry.due(Due.LOOK, by, most=_MOST_HELD if rules_changed else _MOST_DUE)
        for start in range(0, len(due), 100):
            records = self._registry.recall(due[start : start + 100])
            again, all_seen = self._due_again(records, run)
            sent = self._send(again, run, allowance, look_again=run.now + SENT_RECENTLY)
            if not sent or not all_seen or (start + 100 < len(due) and not run.time_is_left()):
                run.swept.more_is_due = True
                return
        if rules_changed:
            self._journal.keep_rules_digest(under)

    def _look_where_entries_changed(self, run: _Run, allowance: Allowance) -> None:
        """Send held devices whose enrollment entries say something else than when they were held."""
        version, walk = self._enrollment.version(), self._journal.walk()
        if version is None or (walk and walk.version == version and walk.is_finished):
            return
        if walk is None or walk.version != version:
            walk = Walk(version=version, began_at=run.now)
            self._journal.keep_walk(walk)
        held = self._registry.due(Due.LOOK, run.now + timedelta(days=2), most=_MOST_COMPARED)
        for start in range(0, len(held), 100):
            if not run.time_is_left():
                run.swept.unfinished.append("enrollment")
                return
            records = self._registry.recall(held[start : start + 100])
            changed = self._enrollment.changed_since(records)
            # What was sent for another cause since the walk began is judged by the list as it is.
            again = [_held(records[one]) for one in sorted(changed) if not _was_sent_after(records[one], walk.began_at)]
            if not self._send(again, run, allowance):
                run.swept.more_is_due = True
                run.swept.unfinished.append("enrollment")
                return
        self._journal.keep_walk(replace(walk, is_finished=True))

    def _due_again(self, records: dict[str, Record], run: _Run) -> tuple[list[Forgotten], bool]:
        """Those of these records that are to be sent, and whether there was time for all; what is settled is not due.

        A record without a decision (released, approved before its device came, written by a later version) names no
        registration: it costs one DescribeCertificate.
        """
        again = []
        accepted = self._brakes.accepted_since(records)
        for certificate_id, recalled in records.items():
            record = replace(recalled, brake_changed=certificate_id in accepted)
            waits = record.is_held or record.is_approved_since
            if record.decision is not None and not waits and not is_unfinished(record):
                self._registry.nothing_due(certificate_id, Due.LOOK)  # it was decided since
            elif was_sent_recently(record, run.now) or record.rests(run.now, rules_digest=self._rules_digest):
                continue
            elif waits:
                again.append(_held(record))
            elif not run.time_is_left():
                return again, False
            elif registered := self._registered(certificate_id, record):
                again.append(registered)
            else:
                self._registry.nothing_due(certificate_id, Due.LOOK)  # its first event takes it up, should it come
        return again, True

    def _registered(self, certificate_id: str, record: Record) -> Forgotten | None:
        """The message about a certificate that waits here, or on which an attempt is unfinished; None if it is neither.

        Raises Unavailable.
        """
        try:
            device = self._iot.describe(certificate_id)
        except CertificateUnknown:
            return None
        if device.status is not Status.PENDING_ACTIVATION and not is_unfinished(record, device.created_at):
            return None
        return Forgotten(
            certificate_id=certificate_id,
            ca_certificate_id=device.ca_certificate_id,
            registered_at=device.created_at,
        )

    def _send(
        self, forgotten: list[Forgotten], run: _Run, allowance: Allowance, *, look_again: datetime | None = None
    ) -> bool:
        """Send as many as may be sent, and note each one; whether those were all.

        With `look_again` what was due with them is due then: should `register` not look, others still have their turn.
        """
        some = [replace(one, delay=delay) for one in forgotten if (delay := allowance.take()) is not None]
        for start in range(0, len(some), MOST_IN_BATCH):
            batch = some[start : start + MOST_IN_BATCH]
            self._queue.send(batch, run.now)
            for one in batch:
                self._registry.note_sweep(one.certificate_id, run.now, look_again=look_again)
            run.swept.sent += len(batch)
        return len(some) == len(forgotten)

    def _withdraw(self, run: _Run, allowance: Allowance) -> None:
        due = self._registry.due(Due.WITHDRAW, run.now, most=_MOST_DUE)
        for start in range(0, len(due), 100):
            marks = self._withdrawals.read(due[start : start + 100])
            records = self._registry.recall(mark.certificate_id for mark in marks)
            for mark in marks:
                if not run.time_is_left():
                    return
                message = self._repair.repair(mark, records[mark.certificate_id], run.now)
                if message and not run.swept.queue_is_behind:
                    self._send([message], run, allowance)

    def _retire(self, run: _Run) -> None:
        due = self._registry.due(Due.RETIRE, run.now, most=_MOST_DUE)
        for start in range(0, len(due), 100):
            for certificate_id, record in self._registry.recall(due[start : start + 100]).items():
                if not run.time_is_left():
                    return
                run.swept.retired += self._retirement.retire(certificate_id, record, run.now)


def _days_left(ca: CaRules, now: datetime) -> float:
    """Days until a CA's certificate expires, negative after it."""
    return (Certificate.from_pem(ca.certificate_pem).not_after - now) / timedelta(days=1)


def _was_sent_after(record: Record, moment: datetime) -> bool:
    return record.swept_at is not None and record.swept_at >= moment


def _held(record: Record) -> Forgotten:
    """The message about a held certificate."""
    assert record.decision is not None  # noqa: S101 -- it is held
    return Forgotten(
        certificate_id=record.decision.certificate_id,
        ca_certificate_id=record.decision.ca_certificate_id,
        registered_at=record.decision.registered_at,
    )
