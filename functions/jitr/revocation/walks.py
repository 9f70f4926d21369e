"""Goes through the certificates on which a CRL has something to say: counts them, or carries out what it says.

A CA may have more certificates than one run can read. One rule holds for both walks: a run that has no time left ends
with the place where the next one goes on. What the pages before that place asked for is done then, or counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from jitr.crl_progress import CrlWalk, Place
from jitr.frozen import value
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.registration.threads import Beside
from jitr.revocation.candidates import BEGINNING, Candidate, CandidatePage
from jitr.revocation.enforcement import Enforcement, Order, Result
from jitr.revocation.judgement import ends_a_device
from jitr.telemetry import Announcer

_AT_ONCE = 10  # turns that are reserved with one write
_MOST_UNFINISHED = 4  # groups of certificates under way at once


class Aim(StrEnum):
    """What a walk is for."""

    COUNT = "count"  # how many devices the CRL takes out
    CARRY_OUT = "carry out"


@value
class Carried:
    """What one run has carried out."""

    ended: int
    lifted: int
    later: int  # have to be tried again
    tried: int  # all, also those for which nothing was to be done
    place: Place | None  # where the next run goes on; None: this run came to the end


@dataclass(slots=True)
class _Tally:
    """What one run has done so far; safe for threads."""

    results: list[Result] = field(default_factory=list)
    pages: list[Place] = field(default_factory=list)  # where the pages began, in their order
    left: list[int] = field(default_factory=list)  # numbers of those of which something was left, for want of time

    def carried(self, place: Place | None) -> Carried:
        return Carried(
            ended=self.results.count(Result.ENDED),
            lifted=self.results.count(Result.LIFTED),
            later=self.results.count(Result.LATER),
            tried=len(self.results),
            place=self.pages[min(self.left)] if self.left else place,
        )


class Walks:
    """The walks in one account and Region."""

    def __init__(
        self,
        *,
        enforcement: Enforcement,
        turns: TurnByTurn,
        threads: Callable[[], Beside],
        announcer: Announcer,
    ) -> None:
        self._enforcement = enforcement
        self._turns = turns
        self._threads = threads
        self._announcer = announcer

    def count(
        self,
        walk: CrlWalk,
        pages: Iterator[CandidatePage],
        *,
        time_is_left: Callable[[], bool],
        note: Callable[[Candidate, int], None],
    ) -> tuple[CrlWalk, bool]:
        """Count the devices that the CRL takes out; the walk as it is now, and whether it came to the end.

        `note` is called with each of them, and its number.

        Raises Unavailable.
        """
        for page in pages:
            ended = walk.ended
            for one in page.candidates:
                if ends_a_device(one.record, one.action):
                    ended += 1
                    note(one, ended)
            walk = replace(walk, ended=ended, place=page.after or BEGINNING)
            if page.after is None:
                return walk, True
            if not time_is_left():
                return walk, False
        return walk, True

    def carry_out(
        self, order: Order, walk: CrlWalk, pages: Iterator[CandidatePage], *, time_is_left: Callable[[], bool]
    ) -> Carried:
        """Carry out the actions in the order in which they are found, each in a turn, in several threads.

        Raises Unavailable.
        """
        tally = _Tally()
        place: Place | None = walk.place
        under_way: list[Beside] = []
        try:
            for page in pages:
                tally.pages.append(place or BEGINNING)
                place, waiting = page.after, list(page.candidates)
                while waiting and not tally.left:
                    self._start(waiting, order, tally, under_way, time_is_left)
                if tally.left or not time_is_left():
                    break
            else:
                place = None  # there is no other page
        finally:
            for beside in under_way:
                beside.join()
        return tally.carried(place)

    def _start(
        self,
        waiting: list[Candidate],
        order: Order,
        tally: _Tally,
        under_way: list[Beside],
        time_is_left: Callable[[], bool],
    ) -> None:
        """Start the next candidates of the last page, as many as turns are free; waits until one is."""
        turns = self._turns.take(min(len(waiting), _AT_ONCE)) if time_is_left() else []
        page = len(tally.pages) - 1
        if not turns:
            tally.left.append(page)
            return
        if len(under_way) >= _MOST_UNFINISHED:
            under_way.pop(0).join()
        beside = self._threads()
        under_way.append(beside)
        for turn in turns:
            beside.start(self._act(waiting.pop(0), page, turn, order, tally))

    def _act(self, candidate: Candidate, page: int, turn: float, order: Order, tally: _Tally) -> Callable[[], None]:
        def act() -> None:
            if not self._turns.wait_until(turn):
                tally.left.append(page)
                return
            with self._turns.hold():
                result = Result.LATER
                try:
                    result = self._enforcement.carry_out(candidate.certificate_id, candidate.serial, order)
                except Exception:  # noqa: BLE001 -- the boundary: the other certificates are still to be done
                    self._announcer.log_failure("a CRL cannot be applied", certificate_id=candidate.certificate_id)
                tally.results.append(result)

        return act
