"""The pace of work outside of batches: it makes one call after the other, and waits for a turn before each.

The sweep and operators' commands over many devices call AWS IoT through this; nothing else paces. As in a batch, one
turn is one call of each scarce API (turns.py). A page of a list is such a call too, for 250 certificates at once.

    idle        it takes the turns that nobody else wants, up to the whole rate
    a storm     its guaranteed share (schedule.TERMS). Such a turn comes at once, and moves the schedule's end on like
                any other. Work that waited for the end, ten seconds for each call, would never get its share
    no answer   of DynamoDB, or a caller who may not write the schedule: the guaranteed share of the rate
    no table    an operator looks at an account without a stack: the whole rate, since nobody else is there
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.errors import Unavailable
from jitr.pacing.schedule import TERMS, Need, read_schedule
from jitr.pacing.turns import Turns

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SHARE = TERMS[Need.OTHER].share


class TurnByTurn(Turns):
    """Takes a turn for each call, one after the other; for one thread."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        per_second: float,
        when_unavailable: Callable[[], None] = lambda: None,
        judges: bool = True,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`judges`: whether it may set the rate; only who knows the deployed one may."""
        self._judges = judges
        super().__init__(
            client,
            table,
            per_second=per_second,
            environments=round(1 / _SHARE),
            when_unavailable=when_unavailable,
            clock=clock,
            sleep=sleep,
        )

    @property
    def longest_wait(self) -> float:
        """Seconds that a turn takes to come while others take all but the guaranteed ones."""
        return self._interval / _SHARE

    def _take_turn(self) -> bool:
        while (turn := self._next_turn()) is None:
            if not self.wait_until(self._free_at()):
                return False
        return self.wait_until(turn)

    def _next_turn(self) -> float | None:
        """When the turn is that was reserved; None when none is free yet."""
        try:
            self._seen = read_schedule(self._client, self._table)
            now = self._clock()
            granted, lanes = self._granted({Need.OTHER: 1}, now)
            if not granted:
                return None
            self._judge(now)
            first = self._reserved(1, lanes, now, self._interval)
        except (Unavailable, ClientError) as error:
            self._when_unavailable()
            return self._next_of_own(self._interval if _is_without_table(error) else self.longest_wait)
        return now if lanes else first

    def _free_at(self) -> float:
        """When a turn may be free, as far as is known; others may take it first."""
        seen = self._seen
        at = min(seen.guaranteed_at.get(Need.OTHER, 0), seen.next_at - TERMS[Need.OTHER].reach)
        return max(at, self._clock() + self._interval)

    def _next_of_own(self, interval: float) -> float:
        turn = max(self._clock(), self._share_at)
        self._share_at = turn + interval
        return turn

    def _judge(self, now: float) -> None:
        if self._judges:
            super()._judge(now)


def _is_without_table(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException"
