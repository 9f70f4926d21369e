"""Paces work outside of batches, which makes one call after the other: it waits for a turn before each call.

The sweep, `revoke` and operators' commands over many devices call AWS IoT at this pace. As in a batch, one turn is one
call of each scarce API (turns.py). A page of a list is such a call too, for 250 certificates at once.

    idle        it takes the turns that no one else wants, up to the whole rate
    a storm     its guaranteed share (schedule.TERMS). A guaranteed turn is now, and moves the end of the schedule like
                any other turn. If each call waited for the end, twelve seconds away, it would never get its share
    no answer   of DynamoDB, or the caller may not write the schedule: the guaranteed share of the rate
    no table    the account has no stack: the whole rate, since no one else calls
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.errors import Unavailable
from jitr.pacing.schedule import TERMS, Need, Seen, read_schedule
from jitr.pacing.turns import Turns

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class _OfOneThread(threading.local):
    """What one thread has read."""

    seen: Seen = Seen()


class TurnByTurn(Turns):
    """Takes a turn for each call, one after the other, or some at once (`take`); safe for threads.

    Each thread reserves by the schedule as it has read it itself, as each process does: no lock is held during a call.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        per_second: float,
        when_unavailable: Callable[[], None] = lambda: None,
        judges: bool = True,
        need: Need = Need.OTHER,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`judges`: whether it may adjust the stored rate; only a caller that knows the deployed rate may.

        `need` is the class of the work, which has a guaranteed share (schedule.TERMS).
        """
        self._own = _OfOneThread()
        self._judges = judges
        self._need = need
        self._part = TERMS[need].share
        super().__init__(
            client,
            table,
            per_second=per_second,
            environments=round(1 / self._part),
            when_unavailable=when_unavailable,
            clock=clock,
            sleep=sleep,
        )

    @property
    def _seen(self) -> Seen:  # the base class has it once for all threads
        return self._own.seen

    @_seen.setter
    def _seen(self, seen: Seen) -> None:
        self._own.seen = seen

    @property
    def longest_wait(self) -> float:
        """Seconds between two turns while others take all but the guaranteed ones."""
        return self._interval / self._part

    def take(self, most: int) -> list[float]:
        """Reserve turns for work in several threads, at least one; waits until one is free.

        Returns their times, none when that would be too late.
        """
        while not (turns := self._reserve_some(most)):
            if not self.wait_until(self._free_at()):
                return []
        return turns

    def _take_turn(self) -> bool:
        turns = self.take(1)
        return bool(turns) and self.wait_until(turns[0])

    def _reserve_some(self, most: int) -> list[float]:
        """Reserve at most so many turns and return their times; none when none is free yet."""
        try:
            self._seen = read_schedule(self._client, self._table)
            now = self._clock()
            granted, lanes = self._grant({self._need: most}, now)
            if not granted:
                return []
            self._adjust(now)
            interval = self._interval
            first = self._reserve(granted, lanes, now, interval)
        except (Unavailable, ClientError) as error:
            self._when_unavailable()
            return [self._take_from_share(self._interval if _is_without_table(error) else self.longest_wait)]
        turns = [first + number * interval for number in range(granted)]
        return [now, *turns[:-1]] if lanes else turns  # a guaranteed turn is now

    def _free_at(self) -> float:
        """When a turn may become free, by the schedule as it was read; others may take it first."""
        seen = self._seen
        at = min(seen.guaranteed_at.get(self._need, 0), seen.next_at - TERMS[self._need].reach)
        return max(at, self._clock() + self._interval)

    def _take_from_share(self, interval: float) -> float:
        """Take the next turn of this process's own share, one in so many seconds, without the schedule."""
        with self._lock:
            turn = max(self._clock(), self._share_at)
            self._share_at = turn + interval
        return turn

    def _adjust(self, now: float) -> None:
        if self._judges:
            super()._adjust(now)


def _is_without_table(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException"
