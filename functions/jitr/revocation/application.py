"""Applies a CA's CRL to the certificates that are registered: once as a whole, in as many runs as that takes.

    1 read      the published CRL; a CRL that cannot be used, or may not follow the applied one, is refused
    2 find      what it says differently (candidates.py): the smaller side is read
    3 brake     so many devices at once wait for an operator's yes (`jitrctl crl approve`)
    4 carry out each certificate in a turn of the shared schedule, in the class of orders, several at once
                (enforcement.py)
    5 again     ten minutes after the CRL was first seen: a device that came up meanwhile may have been admitted by the
                CRL before. Then the CRL is applied

A run that has no time left ends; its message comes again at once, and the next run finds what is left. With
`revocation_of_active = "observe"` (2) only counts and logs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jitr.aws.crl_bucket import Crls, PublishedCrl
from jitr.errors import Unavailable
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.registration.threads import Beside
from jitr.revocation.candidates import Candidate, Candidates, count_changed, is_smaller_by_serial
from jitr.revocation.enforcement import Enforcement, Order, Result
from jitr.revocation.judgement import MOST_AT_ONCE, ends_a_device, is_too_many
from jitr.revocation.succession import CrlIdentity, is_in_future, why_not_after
from jitr.rules import CaRules, CheckMode, Rules
from jitr.store.crl_state import AppliedCrl, CrlState, CrlStates, CrlWork, RefusedCrl, SeenCrl, WaitingCrl
from jitr.store.sweep_state import ACCOUNT, SweepState
from jitr.telemetry import CRL_REFUSED, CRL_WAITS, LISTED_ACTIVE, Announcer
from jitr.x509.crl import CrlProblem, RevocationList

# An activation that was decided with the CRL before is recorded by then: `register` uses a CRL for a minute, ends after
# another, and a message whose function died comes again after six.
SETTLES_AFTER = timedelta(minutes=10)
_SOON = 30.0  # seconds until certificates are tried again that another attempt holds
_WHILE_IN_FUTURE = 900.0
_AT_ONCE = 10  # turns that are reserved with one write
_MOST_UNFINISHED = 4  # groups of certificates under way at once
_MOST_LOGGED = 100


@dataclass(slots=True)
class _Tally:
    """What one run has done; each thread adds to the list, which is safe."""

    results: list[Result] = field(default_factory=list)
    is_cut_off: bool = False  # no time was left

    def number(self, result: Result) -> int:
        return self.results.count(result)


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
        enforcement: Enforcement,
        turns: TurnByTurn,
        threads: Callable[[], Beside],
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._crls = crls
        self._states = states
        self._journal = journal
        self._candidates = candidates
        self._enforcement = enforcement
        self._turns = turns
        self._threads = threads
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
                self._refuse(ca, published, why, now)
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
        if is_in_future(CrlIdentity.of(crl), now):
            self._refuse(ca, published, f"it is not in force before {crl.this_update:%Y-%m-%dT%H:%M:%SZ}", now)
            return _WHILE_IN_FUTURE
        if why := _why_refused(published.version, crl, state):
            self._refuse(ca, published, why, now)
            return None
        is_complete = self._journal.last_pass(ACCOUNT).has_all
        state = replace(state, refused=None)
        if not state.asks_for(published.version, ca.crl_mode.value, is_complete=is_complete):
            return None
        return self._go_on(ca, published, crl, state, is_complete=is_complete, time_is_left=time_is_left)

    def _go_on(
        self,
        ca: CaRules,
        published: PublishedCrl,
        crl: RevocationList,
        state: CrlState,
        *,
        is_complete: bool,
        time_is_left: Callable[[], bool],
    ) -> float | None:
        mode, began_at = ca.crl_mode, self._clock()
        work = state.work
        if work is None or (work.version, work.mode) != (published.version, mode.value):
            work = CrlWork(
                version=published.version,
                mode=mode.value,
                began_at=began_at,
                at=began_at,
                follows_unfinished=state.work is not None,
            )
        base = self._base(ca, state, mode)
        by_serial = not work.follows_unfinished and self._reads_by_serial(ca, crl, base, state, is_complete=is_complete)

        def pages() -> Iterator[list[Candidate]]:
            return self._candidates.find(ca.certificate_id, crl, base, by_serial=by_serial)

        if mode is CheckMode.OBSERVE:
            work = replace(work, ended=self._observe(ca, pages()))
            self._finish(ca, published, crl, work, is_complete=is_complete, found_at=began_at)
            return None
        if not work.has_passed:
            if not state.is_approved(published.version) and self._brakes(ca, published, pages()):
                return None
            work = replace(work, has_passed=True, at=self._clock())
            self._states.keep(ca.certificate_id, work=work, waits=None, refused=None)
        found_at = self._clock()
        order = Order(ca=ca, crl=crl, version=published.version)
        tally = self._carry_out(order, pages(), time_is_left)
        work = replace(
            work,
            ended=work.ended + tally.number(Result.ENDED),
            lifted=work.lifted + tally.number(Result.LIFTED),
            at=self._clock(),
        )
        left = work.began_at + SETTLES_AFTER - found_at
        if tally.is_cut_off or tally.number(Result.LATER) or left > timedelta(0):
            self._states.keep(ca.certificate_id, work=work)
            if tally.is_cut_off:
                return 0.0
            if later := tally.number(Result.LATER):
                if later == len(tally.results):
                    raise Unavailable(f"none of {later} certificates can be changed now")
                return _SOON
            return max(left.total_seconds(), 0.0) + 1
        self._finish(ca, published, crl, work, is_complete=is_complete, found_at=found_at)
        return None

    def _finish(
        self,
        ca: CaRules,
        published: PublishedCrl,
        crl: RevocationList,
        work: CrlWork,
        *,
        is_complete: bool,
        found_at: datetime,
    ) -> None:
        applied = AppliedCrl(
            version=published.version,
            version_id=published.version_id,
            number=crl.number,
            this_update=crl.this_update,
            mode=work.mode,
            at=self._clock(),
            found_at=found_at,
            is_complete=is_complete,
            ended=work.ended,
            lifted=work.lifted,
        )
        self._states.keep(ca.certificate_id, applied=applied, work=None, waits=None, refused=None)
        self._announcer.note(
            "a CRL was applied", ca=ca.name, number=crl.number, mode=work.mode, ended=work.ended, lifted=work.lifted
        )

    def _refuse(self, ca: CaRules, published: PublishedCrl, why: str, now: datetime) -> None:
        self._states.keep(ca.certificate_id, refused=RefusedCrl(version=published.version, why=why, at=now))
        self._announcer.warn("a CRL is refused", CRL_REFUSED, ca=ca.name, why=why)

    def _base(self, ca: CaRules, state: CrlState, mode: CheckMode) -> RevocationList | None:
        """The CRL from which the published one is compared; None: all that it says counts."""
        applied = state.applied
        if applied is None or applied.mode != mode.value or not state.is_whole or applied.version_id is None:
            return None
        return self._crls.earlier(ca, applied.version_id)

    def _reads_by_serial(
        self, ca: CaRules, crl: RevocationList, base: RevocationList | None, state: CrlState, *, is_complete: bool
    ) -> bool:
        if not is_complete or (base is None and state.applied is not None):
            return False  # a hold that was lifted is in no list: only the records know of it
        counts = self._journal.last_pass(ACCOUNT).counts
        records = sum(number for name, number in counts.items() if name.startswith(f"{ca.certificate_id} "))
        return is_smaller_by_serial(count_changed(crl, base), records)

    def _observe(self, ca: CaRules, pages: Iterator[list[Candidate]]) -> int:
        """Log and count the ACTIVE certificates that the CRL lists."""
        number = 0
        for page in pages:
            for one in page:
                if not ends_a_device(one.record, one.action):
                    continue
                number += 1
                if number <= _MOST_LOGGED:
                    self._announcer.note(
                        "a certificate is ACTIVE against the CRL",
                        certificate_id=one.certificate_id,
                        ca=ca.name,
                        action=one.action.value,
                    )
        self._announcer.count(LISTED_ACTIVE, number)
        return number

    def _brakes(self, ca: CaRules, published: PublishedCrl, pages: Iterator[list[Candidate]]) -> bool:
        """Whether the CRL takes out too many devices at once; then it waits for an operator's yes."""
        ended = sum(ends_a_device(one.record, one.action) for page in pages for one in page)
        if ended <= MOST_AT_ONCE:
            return False
        devices = self._candidates.devices_of(ca.certificate_id)
        if not is_too_many(ended, devices):
            return False
        waits = WaitingCrl(version=published.version, ended=ended, devices=devices, at=self._clock())
        self._states.keep(ca.certificate_id, waits=waits)  # `work` stays: the CRL before may be half applied
        self._announcer.warn("a CRL waits for an operator's yes", CRL_WAITS, ca=ca.name, ended=ended, devices=devices)
        return True

    def _carry_out(self, order: Order, pages: Iterator[list[Candidate]], time_is_left: Callable[[], bool]) -> _Tally:
        """Carry out the actions in the order in which they are found, each in a turn, in several threads."""
        tally = _Tally()
        under_way: list[Beside] = []
        waiting: list[Candidate] = []
        try:
            for page in pages:
                waiting += page
                while len(waiting) >= _AT_ONCE and not tally.is_cut_off:
                    self._start(waiting, order, tally, under_way, time_is_left)
                if tally.is_cut_off or not time_is_left():
                    tally.is_cut_off = True
                    return tally
            while waiting and not tally.is_cut_off:
                self._start(waiting, order, tally, under_way, time_is_left)
        finally:
            for beside in under_way:
                beside.join()
        return tally

    def _start(
        self,
        waiting: list[Candidate],
        order: Order,
        tally: _Tally,
        under_way: list[Beside],
        time_is_left: Callable[[], bool],
    ) -> None:
        """Start the next candidates, as many as turns are free; waits until one is."""
        turns = self._turns.take(min(len(waiting), _AT_ONCE)) if time_is_left() else []
        if not turns:
            tally.is_cut_off = True
            return
        if len(under_way) >= _MOST_UNFINISHED:
            under_way.pop(0).join()
        beside = self._threads()
        under_way.append(beside)
        for turn in turns:
            beside.start(self._act(waiting.pop(0), turn, order, tally))

    def _act(self, candidate: Candidate, turn: float, order: Order, tally: _Tally) -> Callable[[], None]:
        def act() -> None:
            if not self._turns.wait_until(turn):
                tally.is_cut_off = True
                return
            with self._turns.hold():
                result = Result.LATER
                try:
                    result = self._enforcement.carry_out(candidate.certificate_id, candidate.serial, order)
                except Exception:  # noqa: BLE001 -- the boundary: the other certificates are still to be done
                    self._announcer.log_failure("a CRL cannot be applied", certificate_id=candidate.certificate_id)
                tally.results.append(result)

        return act


def _why_refused(version: str, crl: RevocationList, state: CrlState) -> str | None:
    applied = state.applied
    if applied is None or applied.version == version or state.is_approved(version):
        return None
    return why_not_after(CrlIdentity.of(crl), CrlIdentity(number=applied.number, this_update=applied.this_update))
