"""Runs the parts of one sweep: what no event brought about is found on a schedule.

    1 look back     PENDING_ACTIVATION certificates without a decision, newest first down to the horizon, are sent to
                    the queue again: look_back.py
    2 evaluations   certificates that an operator ordered away, also while the queue is behind; released, held and
                    approved devices that are due, and unfinished attempts, are sent to the queue, by index:
                    due_evaluations.py; all held devices when the rules have changed; those whose enrollment entries or
                    CRLs have changed, or from whose CA a provisioning template was taken: held_walks.py; while it is
                    there, none of that CA: template_holds.py
    - brakes        are ended, announced and reported: brake_end.py
    - revoked CAs   are set INACTIVE again, if a deployment or a person has set one ACTIVE: ca_guard.py; their devices
                    that became ACTIVE too late for an order on all of them are ordered away: late_devices.py
    - CRLs          that are not applied to ACTIVE devices yet, are refused or wait, or are late: crl_watch.py
    3 withdraw      what attempts left behind and no run took back, by index: withdrawal_repair.py
    4 retire        replaced certificates, once the overlap is over and the replacing one is ACTIVE: retirement.py
    5 count         once a day, every certificate that AWS lists by CA, resumed across sweeps: daily_count.py
    6 full pass     once a day, every certificate of the account, resumed across sweeps: sends those without a decision
                    that are older than the horizon, records what was revoked or deactivated by others: full_pass.py

The look back and the full pass list all certificates of the account, one call per 250, since AWS may list none of a CA
in SNI_ONLY mode. Only (5) lists by CA.

Each sweep also reports how many certificates wait, how many days each CA's certificate is still valid, and how many
devices' certificates end soon.

Why: AWS IoT publishes an event only when a device connects. If an event is lost (the rule disabled, a queue purged, a
stack broken) and the device does not try again, its certificate would wait for ever. The sweep finds such certificates;
`register` decides on them, as on any event. The sweep sends nothing while the queue is behind, since its certificates
may be in the queue. `register` relies on the sweep: it deletes a message that has waited for AWS too often, and the
sweep finds the certificate (resend.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jitr.aws.ca_status import CaStatus
from jitr.aws.calls import batches
from jitr.aws.crl_bucket import Crls
from jitr.aws.crl_queue import CrlQueue
from jitr.aws.iot import AwsIot
from jitr.aws.queues import MOST_IN_BATCH, EventToSend, SweepQueue
from jitr.errors import NotPermitted, Unavailable
from jitr.frozen import value
from jitr.rules import CaRules, Rules
from jitr.store.brakes import Brakes
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.store.revoked_cas import CaRevocation, RevokedCas
from jitr.store.sweep_state import LastRun, SweepState, count_key
from jitr.store.withdrawal_marks import Withdrawals
from jitr.sweep.brake_end import maintain_brake, read_brakes
from jitr.sweep.budget import PART_OF_LOOKS, Allowance
from jitr.sweep.ca_guard import CaGuard
from jitr.sweep.crl_watch import CrlWatch
from jitr.sweep.daily_count import DailyCount
from jitr.sweep.due_evaluations import DueEvaluations, SendDue
from jitr.sweep.expiring import EXPIRING
from jitr.sweep.full_pass import FullPass
from jitr.sweep.held_walks import HeldWalks
from jitr.sweep.late_devices import LateDevices
from jitr.sweep.look_back import LookBack
from jitr.sweep.retirement import CertificateRetirement
from jitr.sweep.template_holds import TemplateHolds
from jitr.sweep.withdrawal_repair import WithdrawalRepair
from jitr.telemetry import CA_DAYS_LEFT, PUT_OFF, Announcer
from jitr.telemetry import EXPIRING as EXPIRING_METRIC
from jitr.x509.certificate import Certificate

# What one sweep takes of what is due; the next one takes the rest.
_MOST_WITHDRAWN, _MOST_RETIRED = 500, 500
# The share of the calls until the next sweep that forgotten certificates may take: half, so that devices that connect
# now are served at once. Evaluations that are due have another share (budget.py).
_PART_OF_FORGOTTEN = 1 / 2


@dataclass(slots=True, kw_only=True)
class SweepResult:
    """The result of one sweep."""

    looked_at: int = 0  # certificates listed since the horizon
    sent: int = 0
    retired: int = 0
    disagreements: int = 0  # ACTIVE certificates that a verdict or an entry denies
    queue_is_behind: bool = False  # so nothing was sent
    more_is_due: bool = False  # more than one sweep sends
    unfinished: list[str] = field(default_factory=list)  # parts, and CAs, with which the next sweep goes on
    failed: list[str] = field(default_factory=list)  # parts that ended in an error, which the log has


@value
class _Run:
    """One sweep under way."""

    swept: SweepResult
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
        cas: CaStatus,
        revoked_cas: RevokedCas,
        journal: SweepState,
        crl_states: CrlStates,
        queue: SweepQueue,
        crl_queue: CrlQueue,
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
        self._holds = TemplateHolds(rules=rules, iot=iot)
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
            crl_states=crl_states,
            holds=self._holds,
            announcer=announcer,
            clock=clock,
        )
        self._repair = WithdrawalRepair(
            rules=rules, iot=iot, registry=registry, withdrawals=withdrawals, announcer=announcer, clock=clock
        )
        self._due_evaluations = DueEvaluations(
            rules=rules,
            iot=iot,
            registry=registry,
            brakes=brakes,
            holds=self._holds,
        )
        self._held_walks = HeldWalks(
            rules=rules,
            registry=registry,
            crls=crls,
            enrollment=enrollment,
            brakes=brakes,
            holds=self._holds,
            journal=journal,
            due=self._due_evaluations,
        )
        self._revoked_cas = revoked_cas
        self._guard = CaGuard(rules=rules, cas=cas, announcer=announcer)
        self._late = LateDevices(registry=registry, outcomes=outcomes, announcer=announcer)
        self._crl_watch = CrlWatch(crls=crls, states=crl_states, journal=journal, queue=crl_queue, announcer=announcer)
        self._retirement = CertificateRetirement(
            rules=rules, iot=iot, registry=registry, announcer=announcer, clock=clock
        )

    def run(self, *, time_is_left: Callable[[], bool]) -> SweepResult:
        """Sweep until everything is done or no time is left; the next sweep goes on from there.

        A part that fails stops no other part and no other CA; it is logged, counted and named in `failed`.
        """
        swept, now = SweepResult(), self._clock()
        run = _Run(swept=swept, now=now, time_is_left=time_is_left)
        with self._run_part("age of the queue", run):
            swept.queue_is_behind = True  # also if its age cannot be read
            swept.queue_is_behind = self._queue.age_of_oldest(now) > timedelta(seconds=self._rules.pending_after)
        with self._run_part("provisioning templates", run):
            self._holds.read(now)
        revoked: dict[str, CaRevocation] = {}
        with self._run_part("revoked CAs", run):
            revoked = self._revoked_cas.read()
            self._guard.keep_inactive(revoked)
        with self._run_part("devices of revoked CAs", run):
            swept.more_is_due |= not self._late.order_away(revoked, time_is_left=time_is_left)
        allowance = self._allowance(_PART_OF_FORGOTTEN)
        looks = self._allowance(PART_OF_LOOKS)
        # Also while the queue is behind: each is sent once an hour at most, and must not wait for a storm's end.
        self._send_parts(run, looks, (("take away", self._due_evaluations.send_ordered),))
        if not swept.queue_is_behind:
            self._send_due_evaluations(run, looks)
            with self._run_part("look back", run):
                back = self._look_back.go_back(
                    now, time_is_left=time_is_left, send=lambda some: self._send(some, run, allowance)
                )
                swept.looked_at = back.looked_at
                swept.more_is_due |= not back.all_sent
                swept.unfinished += [] if back.is_finished else ["look back"]
        with self._run_part("brakes", run):
            known = read_brakes(self._brakes, self._rules)
            for ca in self._rules.cas:
                maintain_brake(self._brakes, self._announcer, ca, known[ca.certificate_id], now)
        for ca in self._rules.cas:
            with self._run_part(f"CRL, {ca.name}", run):
                self._crl_watch.look(ca, now)
        with self._run_part("withdraw", run):
            self._withdraw(run, allowance)
        with self._run_part("retire", run):
            self._retire(run)
        for ca in self._rules.cas:
            with self._run_part(f"count, {ca.name}", run):
                self._announcer.count(CA_DAYS_LEFT, _days_left(ca, now), ca=ca.name)
                is_finished = self._count.go_on(ca, now, time_is_left=time_is_left)
                swept.unfinished += [] if is_finished else [ca.name]
        with self._run_part("full pass", run):
            passed = self._full_pass.go_on(
                now,
                time_is_left=time_is_left,
                send=None if swept.queue_is_behind else lambda some: self._send(some, run, allowance),
            )
            swept.disagreements += passed.disagreements
            if passed.counts is not None:
                ending = (passed.counts.get(count_key(ca.certificate_id, EXPIRING), 0) for ca in self._rules.origins)
                self._announcer.count(EXPIRING_METRIC, sum(ending))
            swept.unfinished += [] if passed.is_finished else ["full pass"]
        with self._run_part("last run", run):
            self._journal.keep_run(
                LastRun(began_at=now, finished_at=self._clock(), failed=tuple(dict.fromkeys(swept.failed)))
            )
        return swept

    @contextmanager
    def _run_part(self, part: str, run: _Run) -> Iterator[None]:
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

    def _send_due_evaluations(self, run: _Run, allowance: Allowance) -> None:
        parts = (
            ("release", self._due_evaluations.send_released),
            ("look again", self._due_evaluations.send_due),
            ("look again, other rules", self._held_walks.send_where_rules_changed),
            ("enrollment", self._held_walks.send_where_entries_changed),
            ("CRLs", self._held_walks.send_where_crls_changed),
            ("look again, template taken off", self._held_walks.send_where_templates_are_gone),
        )
        self._send_parts(run, allowance, parts)

    def _send_parts(self, run: _Run, allowance: Allowance, parts: Sequence[tuple[str, SendDue]]) -> None:
        def send(some: list[EventToSend], look_again: datetime | None) -> bool:
            return self._send(some, run, allowance, look_again=look_again)

        for name, send_some in parts:
            with self._run_part(name, run):
                if not send_some(run.now, time_is_left=run.time_is_left, send=send):
                    run.swept.more_is_due = True
                    if name in ("enrollment", "CRLs", "look again, template taken off"):
                        run.swept.unfinished.append(name)

    def _send(
        self, forgotten: list[EventToSend], run: _Run, allowance: Allowance, *, look_again: datetime | None = None
    ) -> bool:
        """Send as many as the allowance has, and write each one down; True when those were all.

        With `look_again` they are due again at that time, so that a certificate that `register` does not evaluate does
        not stay first in the index.
        """
        some = [replace(one, delay=delay) for one in forgotten if (delay := allowance.take()) is not None]
        for part in batches(some, MOST_IN_BATCH):
            # Delays count from the beginning of the sweep; the writes between two batches must not add to them.
            gone = int((self._clock() - run.now).total_seconds())
            batch = [replace(one, delay=max(one.delay - gone, 0)) for one in part]
            self._queue.send(batch, run.now)
            for one in batch:
                self._registry.note_sweep(one.certificate_id, run.now, look_again=look_again)
            run.swept.sent += len(batch)
        return len(some) == len(forgotten)

    def _withdraw(self, run: _Run, allowance: Allowance) -> None:
        due = self._registry.list_due(Due.WITHDRAW, run.now, most=_MOST_WITHDRAWN)
        for ids in batches(due):
            marks = self._withdrawals.read(ids)
            records = self._registry.recall(mark.certificate_id for mark in marks)
            for mark in marks:
                if not run.time_is_left():
                    return
                message = self._repair.repair(mark, records[mark.certificate_id], run.now)
                if message and not run.swept.queue_is_behind:
                    self._send([message], run, allowance)

    def _retire(self, run: _Run) -> None:
        due = self._registry.list_due(Due.RETIRE, run.now, most=_MOST_RETIRED)
        for ids in batches(due):
            for certificate_id, record in self._registry.recall(ids).items():
                if not run.time_is_left():
                    return
                run.swept.retired += self._retirement.retire(certificate_id, record, run.now)


def _days_left(ca: CaRules, now: datetime) -> float:
    """Days until a CA's certificate expires, negative after it."""
    return (Certificate.from_pem(ca.certificate_pem).not_after - now) / timedelta(days=1)
