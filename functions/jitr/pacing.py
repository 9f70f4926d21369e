"""Spacing calls, so that all execution environments together stay at the rate that AWS allows.

Reacting to throttles (botocore's adaptive mode) finds the limit only by exceeding it, once for every environment and
again after every cold start. The limit is known; so each environment takes its share and never exceeds it.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Protocol

from jitr.errors import Unavailable

# What one execution environment is given for one activation: five IoT calls at up to 200 ms each, and five others, one
# after the other. Fewer environments would be slower than their share; more would cost more, since waiting for a turn
# is paid too (docs/decisions/0006-pace.md).
_SECONDS_PER_ACTIVATION = 1.5
# Lambda's least for an SQS event source (ScalingConfig.MaximumConcurrency: 2 to 1,000).
_LEAST_CONCURRENCY, _GREATEST_CONCURRENCY = 2, 1000


def max_concurrency_for(activations_per_second: float) -> int:
    """How many execution environments together reach the rate, each with its share of it."""
    wanted = math.ceil(activations_per_second * _SECONDS_PER_ACTIVATION)
    return min(max(wanted, _LEAST_CONCURRENCY), _GREATEST_CONCURRENCY)


# Lambda runs five invocations of a queue's function at once, and adds five a second (300 a minute).
_AT_ONCE, _MORE_PER_SECOND = 5, 5
# All of what is missed meanwhile would be too much: the last to come would exceed the rate, with everyone there. With
# this part, one call in fifty is throttled in such a storm.
_PART_OF_MISSED = 0.85
_LONGEST_HEAD_START = 8


def head_start_for(max_concurrency: int) -> int:
    """How many turns a new environment need not wait for, of each API.

    With 150 environments (100/s), Lambda takes half a minute to start them all, and those that are there leave the
    others' share unused; they may take a part of it. With 15, nothing is worth taking.
    """
    seconds_until_all_run = max(max_concurrency - _AT_ONCE, 0) / _MORE_PER_SECOND
    missed = seconds_until_all_run / 2 / _SECONDS_PER_ACTIVATION  # turns of one environment, on average
    return min(int(missed * _PART_OF_MISSED), _LONGEST_HEAD_START)


# Looks at held devices take every twentieth turn at most, so that new devices are not kept waiting by those that wait;
# the sweep sends no more of them than that.
TURNS_PER_LOOK = 20


class Pace(Protocol):
    """Whatever says when a call may be made."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made.

        Raises Unavailable when that is too late.
        """


class Pacer:
    """Lets calls of one name through at a steady interval; the first one, and those of a head start, at once.

    The second one waits up to an interval longer, at random, so that environments that began together (as they do in a
    storm) do not go on in step, and meet a quota all at the same moment.

    Not for threads: an execution environment handles one batch at a time.
    """

    def __init__(
        self,
        interval: float,
        *,
        head_start: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        offset: Callable[[], float] = random.random,
    ) -> None:
        self._interval = interval
        self._head_start = head_start
        self._taken_ahead: dict[str, int] = {}  # turns of the head start, by name
        self._clock = clock
        self._sleep = sleep
        self._offset = offset  # a share of the interval
        self._next: dict[str, float] = {}
        self._until = float("inf")

    def expire_in(self, seconds: float) -> None:
        """From now on let nothing wait for longer than that: what calls would be cut off by its deadline."""
        self._until = self._clock() + seconds

    def try_turn(self, name: str, *, turns: int = 1) -> bool:
        """Take a turn if it is free now, without waiting; the next one is free after `turns` intervals."""
        now = self._clock()
        if now < self._next.get(name, now):
            return False
        self._next[name] = now + turns * self._interval
        return True

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made.

        Raises Unavailable, at once and without taking the turn, when that is too late.
        """
        now = self._clock()
        turn = max(now, self._next.get(name, now))
        ahead = self._taken_ahead.get(name, 0)
        if turn > now and ahead < self._head_start:
            self._taken_ahead[name] = ahead + 1
            return
        if turn > max(now, self._until):
            raise Unavailable(f"{name}: its turn comes after the function's deadline")
        offset = 0.0 if name in self._next else self._offset()
        self._next[name] = turn + self._interval * (1 + offset)
        if turn > now:
            self._sleep(turn - now)
