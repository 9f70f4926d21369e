"""Spacing calls, so that all execution environments together stay at the rate that AWS allows.

Reacting to throttles (botocore's adaptive mode) finds the limit only by exceeding it, once for every environment and
again after every cold start. The limit is known; so each environment takes its share and never exceeds it.
"""

import math
import random
import time
from collections.abc import Callable

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


# Looks at held devices take every tenth turn at most, so that new devices are not kept waiting by those that wait; the
# sweep sends no more of them than that.
TURNS_PER_LOOK = 10


class Pacer:
    """Lets calls of one name through at a steady interval; the first one at once.

    The second one waits up to an interval longer, at random, so that environments that began together (as they do in a
    storm) do not go on in step, and meet a quota all at the same moment.

    Not for threads: an execution environment handles one batch at a time.
    """

    def __init__(
        self,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        offset: Callable[[], float] = random.random,
    ) -> None:
        self._interval = interval
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
        if turn > max(now, self._until):
            raise Unavailable(f"{name}: its turn comes after the function's deadline")
        offset = 0.0 if name in self._next else self._offset()
        self._next[name] = turn + self._interval * (1 + offset)
        if turn > now:
            self._sleep(turn - now)
