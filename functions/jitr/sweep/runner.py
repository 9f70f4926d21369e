"""The sweep: what the events did not bring about, on a schedule.

    1 look back     PENDING_ACTIVATION certificates, newest first down to the horizon: those that wait
                    without a decision are sent to the queue again: look_back.py
    2 look again    rejections that an operator takes back; held, released and approved devices whose time has come, and
                    what an attempt left unfinished, found by index; all of them when the rules have changed; those
                    whose enrollment entries or CRLs have changed: due_evaluations.py
    - brakes        those that other rules end, and which are engaged: brake_end.py
    3 withdraw      what attempts left behind and no run took back, found by index (withdrawal_repair.py)
    4 retire        certificates that another one followed, once the overlap is over and the other one is ACTIVE
    5 count         once a day, every certificate that AWS lists by CA, resumed across sweeps: daily_count.py
    6 full pass     once a day, every certificate of the account, resumed likewise: sends those older than the horizon
                    that wait without a decision, records what others revoked or deactivated: full_pass.py

Nothing rests on AWS saying whose a certificate is: the look back and the full pass go through all certificates of the
account, a call for each 250. Only (5) takes what AWS lists by CA, which may be none that is in SNI_ONLY mode.

Each sweep also tells how many certificates wait, and for how long each CA's own certificate is still valid.

AWS IoT publishes an event only while the device knocks. When an event is lost (the rule was disabled, a queue purged, a
stack broken) and the device has given up, nobody would ever take it up. The sweep decides which certificates were
forgotten; `register` decides on them, as on any other event. It sends nothing while the queue is behind: what is in the
queue is not forgotten. `register` relies on it: a message that waited for AWS too often is deleted, for the sweep finds
its certificate (resend.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jitr.aws.crl_bucket import Crls
from jitr.aws.iot import AwsIot
from jitr.aws.queues import MOST_IN_BATCH, EventToSend, SweepQueue
from jitr.errors import NotPermitted, Unavailable
from jitr.frozen import value
from jitr.rules import CaRules, Rules
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.store.sweep_state import LastRun, SweepState
from jitr.store.withdrawal_marks import Withdrawals
from jitr.sweep.brake_end import look_after, read_brakes
from jitr.sweep.budget import PART_OF_LOOKS, Allowance
from jitr.sweep.daily_count import DailyCount
from jitr.sweep.due_evaluations import DueEvaluations
from jitr.sweep.full_pass import FullPass
from jitr.sweep.look_back import LookBack
from jitr.sweep.retirement import CertificateRetirement
from jitr.sweep.withdrawal_repair import WithdrawalRepair
from jitr.telemetry import CA_DAYS_LEFT, PUT_OFF, Announcer
from jitr.x509.certificate import Certificate

# What one sweep takes of what is due; the next one takes the rest.
_MOST_WITHDRAWN, _MOST_RETIRED = 500, 500
# Of the calls that are allowed until the next sweep, forgotten certificates may take half, so that new devices that
# connect now are served at once. What is looked at again has a part of its own (budget.py).
_PART_OF_FORGOTTEN = 1 / 2


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
        outcomes: Outcomes,
        withdrawals: Withdrawals,
        crls: Crls,
        enrollment: EnrollmentTable,
        brakes: Brakes,
        journal: SweepState,
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
        self._count = DailyCount(
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
            outcomes=outcomes,
            enrollment=enrollment,
            journal=journal,
            announcer=announcer,
            clock=clock,
        )
        self._repair = WithdrawalRepair(
            rules=rules, iot=iot, registry=registry, withdrawals=withdrawals, announcer=announcer, clock=clock
        )
        self._looks = DueEvaluations(
            rules=rules,
            iot=iot,
            registry=registry,
            crls=crls,
            enrollment=enrollment,
            brakes=brakes,
            journal=journal,
        )
        self._retirement = CertificateRetirement(
            rules=rules, iot=iot, registry=registry, announcer=announcer, clock=clock
        )

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
            self._look_again(run)
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
        with self._part("last run", run):
            self._journal.keep_run(
                LastRun(began_at=now, finished_at=self._clock(), failed=tuple(dict.fromkeys(swept.failed)))
            )
        return swept

    @contextmanager
    def _part(self, part: str, run: _Run) -> Iterator[None]:
        try:
            yield
        except NotPermitted:
            self._announcer.log_not_permitted("part of the sweep is not permitted", part=part)
            run.swept.failed.append(part)
        except Unavailable as error:
            self._announcer.warn("part of the sweep is put off", PUT_OFF, part=part, why=str(error))
            run.swept.failed.append(part)
        except Exception:  # noqa: BLE001 -- the boundary: the other parts must still be done
            self._announcer.log_failure("part of the sweep failed", part=part)
            run.swept.failed.append(part)

    def _allowance(self, part: float) -> Allowance:
        return Allowance.of(
            part * self._activations_per_second, every=self._rules.every, pending_after=self._rules.pending_after
        )

    def _look_again(self, run: _Run) -> None:
        allowance = self._allowance(PART_OF_LOOKS)
        parts = (
            ("release", self._looks.send_released),
            ("look again", self._looks.send_due),
            ("look again, other rules", self._looks.send_where_rules_changed),
            ("enrollment", self._looks.send_where_entries_changed),
            ("CRLs", self._looks.send_where_crls_changed),
        )

        def send(some: list[EventToSend], look_again: datetime | None) -> bool:
            return self._send(some, run, allowance, look_again=look_again)

        for name, send_some in parts:
            with self._part(name, run):
                if not send_some(run.now, time_is_left=run.time_is_left, send=send):
                    run.swept.more_is_due = True
                    if name in ("enrollment", "CRLs"):
                        run.swept.unfinished.append(name)

    def _send(
        self, forgotten: list[EventToSend], run: _Run, allowance: Allowance, *, look_again: datetime | None = None
    ) -> bool:
        """Send as many as may be sent, and note each one; whether those were all.

        With `look_again` what was due with them is due then: should `register` not look, others still have their turn.
        """
        some = [replace(one, delay=delay) for one in forgotten if (delay := allowance.take()) is not None]
        for start in range(0, len(some), MOST_IN_BATCH):
            # Delays count from the sweep's begin: noting what was sent takes time, and would stretch them.
            gone = int((self._clock() - run.now).total_seconds())
            batch = [replace(one, delay=max(one.delay - gone, 0)) for one in some[start : start + MOST_IN_BATCH]]
            self._queue.send(batch, run.now)
            for one in batch:
                self._registry.note_sweep(one.certificate_id, run.now, look_again=look_again)
            run.swept.sent += len(batch)
        return len(some) == len(forgotten)

    def _withdraw(self, run: _Run, allowance: Allowance) -> None:
        due = self._registry.due(Due.WITHDRAW, run.now, most=_MOST_WITHDRAWN)
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
        due = self._registry.due(Due.RETIRE, run.now, most=_MOST_RETIRED)
        for start in range(0, len(due), 100):
            for certificate_id, record in self._registry.recall(due[start : start + 100]).items():
                if not run.time_is_left():
                    return
                run.swept.retired += self._retirement.retire(certificate_id, record, run.now)


def _days_left(ca: CaRules, now: datetime) -> float:
    """Days until a CA's certificate expires, negative after it."""
    return (Certificate.from_pem(ca.certificate_pem).not_after - now) / timedelta(days=1)
