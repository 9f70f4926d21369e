"""How fast to go, and how many execution environments that takes.

Reacting to throttles (botocore's adaptive mode) finds the limit only by exceeding it, once for every environment and
again after every cold start. The limit is known, so it is never exceeded: `register` takes its turns from one schedule
(turns.py), and everybody else has a small part of the rate to himself.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol

# How many execution environments reach a rate (docs/decisions/0006-pace.md). A batch's turns follow one another, so an
# environment needs a batch's length of turns and the 1.3 s that an activation takes (ten calls at up to 200 ms). In a
# storm two of three messages need no turn: some 3.5 of a batch of ten do. The constant part is for small rates, where
# Lambda's first five are there at once, and for the next to start while those are busy.
_ENVIRONMENTS, _ENVIRONMENTS_PER_ACTIVATION = 4, 0.36
BATCH_SIZE = 10
# Lambda's least for an SQS event source (ScalingConfig.MaximumConcurrency: 2 to 1,000).
_LEAST_CONCURRENCY, _GREATEST_CONCURRENCY = 2, 1000


def max_concurrency_for(activations_per_second: float) -> int:
    """How many execution environments together reach the rate, with batches of BATCH_SIZE."""
    wanted = math.ceil(_ENVIRONMENTS + _ENVIRONMENTS_PER_ACTIVATION * activations_per_second)
    return min(max(wanted, _LEAST_CONCURRENCY), _GREATEST_CONCURRENCY)


# Throttles are judged over so many seconds, of all environments together.
WINDOW = 10.0
# Calls that take unequally long on their way are throttled now and then, at full rate one in eight where AWS's buckets
# hold a fifth of a second; that is no lower quota. Where another tool takes half of it, every second is. Once the rate
# was set to what was accepted, fewer throttles say that it has grown beyond that again.
_SUSTAINED, _BEYOND, _RARE = 0.2, 0.1, 0.02
FEWEST_CALLS = 20  # that say anything
_RECOVERY = 1.03  # a window; from half of the rate back to all of it in four minutes
_LEAST_PART = 0.05


def adjust_rate(rate: float, *, calls: int, throttles: int, seconds: float, full: float) -> float:
    """The turns a second to take from now on, after a window with so many calls of the scarce APIs (two in a turn).

    Sustained throttling sets the rate to what was accepted; single throttles change nothing; without them it recovers.
    """
    if throttles < _RARE * calls:
        return min(rate * _RECOVERY, full)
    many = _SUSTAINED if rate >= full else _BEYOND
    if throttles > many * calls and seconds < 3 * WINDOW:
        return min(max((calls - throttles) / 2 / seconds, _LEAST_PART * full), rate)
    return rate


class Pace(Protocol):
    """Whatever says when a call may be made."""

    def note(self, attempts: int, throttles: int) -> None:
        """A call of a scarce API took so many attempts, and so many of them were throttled."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made.

        Raises Unavailable when that is too late.
        """


class Pacer:
    """Lets calls of one name through at a steady interval; the first one at once.

    For who has a part of the rate to himself: the sweep, an operator's command. Not for threads.
    """

    def __init__(
        self,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._next: dict[str, float] = {}

    def note(self, attempts: int, throttles: int) -> None:
        """Nothing is learnt from it: whoever has a part of the rate does not use all of it."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made."""
        now = self._clock()
        turn = max(now, self._next.get(name, now))
        self._next[name] = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
