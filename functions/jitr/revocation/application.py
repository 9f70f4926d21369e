"""Applies a CA's CRL to the certificates that are registered: once as a whole, in as many runs as that takes.

    1 read      the published CRL; a CRL that cannot be used, or may not follow the one before, is refused. One that is
                not in force yet is applied when it is: the sweep asks for it
    2 find      what it says differently (candidates.py): the smaller side is read
    3 brake     so many devices at once wait for an operator's yes (`jitrctl crl approve`)
    4 carry out each certificate in a turn of the shared schedule, in the class of orders, several at once
                (enforcement.py)
    5 again     ten minutes after the CRL was first seen: a device that came up meanwhile may have been admitted by the
                CRL before. Then the CRL is applied

A run that has no time left keeps where its walk is (walks.py) and ends; its message comes again at once, and the next
run goes on there. With `revocation_of_active = "observe"` (2) only counts and logs.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.aws.crl_bucket import Crls, PublishedCrl
from jitr.crl_progress import AppliedCrl, CrlState, CrlWalk, CrlWork, Refusal, RefusedCrl, SeenCrl, WaitingCrl
from jitr.errors import Unavailable
from jitr.frozen import value
from jitr.revocation.candidates import (
    BEGINNING,
    Candidate,
    CandidatePage,
    Candidates,
    count_changed,
    is_smaller_by_serial,
)
from jitr.revocation.enforcement import Order
from jitr.revocation.judgement import MOST_AT_ONCE, is_too_many
from jitr.revocation.succession import refuse_next
from jitr.revocation.walks import Aim, Walks
from jitr.rules import CaRules, CheckMode, Rules
from jitr.store.crl_state import CrlStates
from jitr.store.sweep_state import ACCOUNT, SweepState
from jitr.telemetry import CRL_REFUSED, CRL_WAITS, LISTED_ACTIVE, Announcer
from jitr.x509.crl import CrlProblem, RevocationList

# An activation that was decided with the CRL before is recorded by then: `register` uses a CRL for a minute, ends after
# another, and a message whose function died comes again after six.
SETTLES_AFTER = timedelta(minutes=10)
_SOON = 30.0  # seconds until certificates are tried again that another attempt holds
_MOST_LOGGED = 100


@value
class _Run:
    """One run on a published CRL."""

    ca: CaRules
    published: PublishedCrl
    crl: RevocationList
    state: CrlState
    base: RevocationList | None  # the CRL from which it is compared; None: all that it says counts
    is_complete: bool  # all records of the CA are in the indexes
    began_at: datetime
    time_is_left: Callable[[], bool]

    @property
    def mode(self) -> CheckMode:
        return self.ca.crl_mode

    @property
    def version(self) -> str:
        return self.published.version


class CrlApplication:
    """Applies CRLs in one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        crls: Crls,
        states: CrlStates,
        journal: SweepState,
        candidates: Candidates,
        walks: Walks,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._crls = crls
        self._states = states
        self._journal = journal
        self._candidates = candidates
        self._walks = walks
        self._announcer = announcer
        self._clock = clock

    def apply(self, ca_certificate_id: str, *, time_is_left: Callable[[], bool]) -> float | None:
        """Apply what is published for a CA; the seconds after which to call again, None when nothing is left.

        Raises Unavailable, also where certificates are left and none could be changed; NotPermitted.
        """
        ca, now = self._rules.ca(ca_certificate_id), self._clock()
        if ca is None:
            return None
        published = self._crls.of(ca, not_before=now)
        match published.revocations:
            case RevocationList() as crl:
                return self._apply(ca, published, crl, now, time_is_left)
            case CrlProblem(why):
                self._report_refused(
                    ca, RefusedCrl(version=published.version, why=why, at=now, cause=Refusal.UNUSABLE.value)
                )
        return None

    def _apply(
        self,
        ca: CaRules,
        published: PublishedCrl,
        crl: RevocationList,
        now: datetime,
        time_is_left: Callable[[], bool],
    ) -> float | None:
        state = self._states.read([ca.certificate_id])[ca.certificate_id]
        seen = SeenCrl(version=published.version, this_update=crl.this_update, next_update=crl.next_update, at=now)
        self._states.keep(ca.certificate_id, seen=seen)
        if ca.crl_mode is CheckMode.OFF:
            return None
        if refused := refuse_next(published.version, crl, state, now):
            self._report_refused(ca, refused)
            return None
        is_complete = self._journal.last_pass(ACCOUNT).has_all
        state = replace(state, refused=None)
        if not state.asks_for(published.version, ca.crl_mode.value, is_complete=is_complete, now=now):
            return None
        if state.approved is not None and state.approved.version != published.version:
            # That yes was to follow what was there before this CRL.
            self._states.end_approval(ca.certificate_id, state.approved.version)
        run = _Run(
            ca=ca,
            published=published,
            crl=crl,
            state=state,
            base=self._base(ca, state),
            is_complete=is_complete,
            began_at=now,
            time_is_left=time_is_left,
        )
        return self._go_on(run)

    def _go_on(self, run: _Run) -> float | None:
        """Go on with the CRL, or begin; the seconds after which to go on again, None when nothing is left."""
        state, work, now = run.state, run.state.work, run.began_at
        if work is None or (work.version, work.mode) != (run.version, run.mode.value):
            work = CrlWork(
                version=run.version,
                mode=run.mode.value,
                began_at=now,
                at=now,
                follows_unfinished=state.work is not None,
                number=run.crl.number,
                this_update=run.crl.this_update,
            )
        if run.mode is CheckMode.OBSERVE:
            return self._observe(run, work)
        if not work.has_passed and not state.passes_brake(run.version):
            walk, is_finished = self._count(run, work, note=lambda _one, _number: None)
            if not is_finished:
                return 0.0
            if self._brakes(run, walk.ended):
                return None
        return self._carry_out(run, work)

    def _observe(self, run: _Run, work: CrlWork) -> float | None:
        """Log and count the ACTIVE certificates that the CRL lists."""

        def note(one: Candidate, number: int) -> None:
            if number <= _MOST_LOGGED:
                self._announcer.note(
                    "a certificate is ACTIVE against the CRL",
                    certificate_id=one.certificate_id,
                    ca=run.ca.name,
                    action=one.action.value,
                )

        walk, is_finished = self._count(run, work, note)
        if not is_finished:
            return 0.0
        self._announcer.count(LISTED_ACTIVE, walk.ended)
        self._finish(run, replace(work, ended=walk.ended), found_at=walk.began_at)
        return None

    def _count(self, run: _Run, work: CrlWork, note: Callable[[Candidate, int], None]) -> tuple[CrlWalk, bool]:
        """Count the devices that the CRL takes out; the walk, and whether it came to the end in this run."""
        walk = self._walk(run, work, Aim.COUNT)
        walk, is_finished = self._walks.count(walk, self._pages(run, walk), time_is_left=run.time_is_left, note=note)
        if not is_finished:
            self._states.keep(run.ca.certificate_id, walk=replace(walk, at=self._clock()))
        return walk, is_finished

    def _brakes(self, run: _Run, ended: int) -> bool:
        """Whether the CRL takes out too many devices at once; then it waits for an operator's yes."""
        ca_certificate_id = run.ca.certificate_id
        if ended <= MOST_AT_ONCE:
            return False
        devices = self._candidates.devices_of(ca_certificate_id)
        if not is_too_many(ended, devices):
            return False
        waits = WaitingCrl(version=run.version, ended=ended, devices=devices, at=self._clock())
        # `work` stays: the CRL before may be half applied.
        self._states.keep(ca_certificate_id, waits=waits, walk=None, refused=None)
        self._announcer.warn(
            "a CRL waits for an operator's yes", CRL_WAITS, ca=run.ca.name, ended=ended, devices=devices
        )
        return True

    def _carry_out(self, run: _Run, work: CrlWork) -> float | None:
        """Carry out what the CRL says; the seconds after which to go on, None when it is applied."""
        ca_certificate_id = run.ca.certificate_id
        if not work.has_passed:
            work = replace(work, has_passed=True, at=self._clock())
            self._states.keep(ca_certificate_id, work=work, walk=None, waits=None, refused=None)
        walk = self._walk(run, work, Aim.CARRY_OUT)
        order = Order(ca=run.ca, crl=run.crl, version=run.version)
        carried = self._walks.carry_out(order, walk, self._pages(run, walk), time_is_left=run.time_is_left)
        now, later = self._clock(), walk.later + carried.later
        work = replace(work, ended=work.ended + carried.ended, lifted=work.lifted + carried.lifted, at=now)
        if carried.place is not None:
            walk = replace(walk, place=carried.place, later=later, at=now)
            self._states.keep(ca_certificate_id, work=work, walk=walk)
            return 0.0
        settled_at = work.began_at + SETTLES_AFTER
        if later or walk.began_at < settled_at:
            self._states.keep(ca_certificate_id, work=work, walk=None)
            if carried.later and carried.later == carried.tried:
                raise Unavailable(f"none of {carried.later} certificates can be changed now")
            return _SOON if later else max((settled_at - now).total_seconds(), 0.0) + 1
        self._finish(run, work, found_at=walk.began_at)
        return None

    def _finish(self, run: _Run, work: CrlWork, *, found_at: datetime) -> None:
        applied = AppliedCrl(
            version=run.version,
            version_id=run.published.version_id,
            number=run.crl.number,
            this_update=run.crl.this_update,
            mode=work.mode,
            at=self._clock(),
            found_at=found_at,
            is_complete=run.is_complete,
            ended=work.ended,
            lifted=work.lifted,
        )
        self._states.keep(run.ca.certificate_id, applied=applied, work=None, walk=None, waits=None, refused=None)
        self._announcer.note(
            "a CRL was applied",
            ca=run.ca.name,
            number=run.crl.number,
            mode=work.mode,
            ended=work.ended,
            lifted=work.lifted,
        )

    def _report_refused(self, ca: CaRules, refused: RefusedCrl) -> None:
        self._states.keep(ca.certificate_id, refused=refused)
        self._announcer.warn("a CRL is refused", CRL_REFUSED, ca=ca.name, why=refused.why)

    def _walk(self, run: _Run, work: CrlWork, aim: Aim) -> CrlWalk:
        """The walk with which this run goes on, or a new one."""
        by_serial = not work.follows_unfinished and self._reads_by_serial(run)
        kept, now = run.state.walk, self._clock()
        wanted = (run.version, run.mode.value, aim.value, by_serial)
        if kept is not None and (kept.version, kept.mode, kept.aim, kept.by_serial) == wanted:
            return kept
        return CrlWalk(
            version=run.version,
            mode=run.mode.value,
            aim=aim.value,
            by_serial=by_serial,
            began_at=now,
            at=now,
            place=BEGINNING,
        )

    def _pages(self, run: _Run, walk: CrlWalk) -> Iterator[CandidatePage]:
        return self._candidates.find(
            run.ca.certificate_id, run.crl, run.base, by_serial=walk.by_serial, place=walk.place
        )

    def _base(self, ca: CaRules, state: CrlState) -> RevocationList | None:
        applied = state.applied
        if applied is None or applied.mode != ca.crl_mode.value or not state.is_whole or applied.version_id is None:
            return None
        return self._crls.earlier(ca, applied.version_id)

    def _reads_by_serial(self, run: _Run) -> bool:
        if not run.is_complete or (run.base is None and run.state.applied is not None):
            return False  # a hold that was lifted is in no list: only the records know of it
        counts = self._journal.last_pass(ACCOUNT).counts
        records = sum(number for name, number in counts.items() if name.startswith(f"{run.ca.certificate_id} "))
        return is_smaller_by_serial(count_changed(run.crl, run.base), records)
