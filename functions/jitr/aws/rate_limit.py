"""Computes the rate of calls and the concurrency that it needs, and paces callers with a fixed share of the rate.

botocore's adaptive mode finds a limit by exceeding it, once per environment and again after every cold start. Here the
limit is known, so it is not exceeded: `register` takes turns from one schedule (turns.py), and every other caller has a
small fixed share of the rate.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol

# The execution environments that a rate needs (docs/decisions/0006-pace.md). The turns of a batch follow one another,
# so a batch takes the time of its turns and the 1.3 s of an activation (ten calls at up to 200 ms). In a storm two of
# three messages need no turn; about 3.5 of a batch of ten do. The constant is for small rates: Lambda starts with five
# environments, and the next ones start while those are busy.
_ENVIRONMENTS, _ENVIRONMENTS_PER_ACTIVATION = 4, 0.36
BATCH_SIZE = 10
# Lambda's limits for an SQS event source (ScalingConfig.MaximumConcurrency: 2 to 1,000).
_LEAST_CONCURRENCY, _GREATEST_CONCURRENCY = 2, 1000


def max_concurrency_for(activations_per_second: float) -> int:
    """The number of execution environments that reach the rate, with batches of BATCH_SIZE."""
    wanted = math.ceil(_ENVIRONMENTS + _ENVIRONMENTS_PER_ACTIVATION * activations_per_second)
    return min(max(wanted, _LEAST_CONCURRENCY), _GREATEST_CONCURRENCY)


# Seconds over which throttles are counted, of all environments together.
WINDOW = 10.0
# Some throttles are normal, since calls differ in latency: at full rate one in eight, if AWS's token bucket holds a
# fifth of a second. If another tool uses half of the quota, every second call is throttled. Once the rate was reduced
# to what was accepted, a smaller share means that it has grown too far again.
_SUSTAINED, _BEYOND, _RARE = 0.2, 0.1, 0.02
FEWEST_CALLS = 20  # below which throttles are not significant
_RECOVERY = 1.03  # per window: from half of the rate to all of it in four minutes
_LEAST_PART = 0.05


def adjust_rate(rate: float, *, calls: int, throttles: int, seconds: float, full: float) -> float:
    """The rate in turns per second after a window with these calls of the scarce APIs (two per turn).

    Sustained throttling reduces the rate to what was accepted, single throttles change nothing, and without throttles
    the rate recovers up to `full`.
    """
    if throttles < _RARE * calls:
        return min(rate * _RECOVERY, full)
    many = _SUSTAINED if rate >= full else _BEYOND
    if throttles > many * calls and seconds < 3 * WINDOW:
        return min(max((calls - throttles) / 2 / seconds, _LEAST_PART * full), rate)
    return rate


class Pace(Protocol):
    """Decides when a call may be made."""

    def note(self, attempts: int, throttles: int) -> None:
        """Record the attempts of one call of a scarce API, and how many were throttled."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made.

        Raises Unavailable when that would be too late.
        """


class Pacer:
    """Spaces calls of the same name by a fixed interval; the first one is made at once.

    For callers with a fixed share of the rate: the sweep, an operator's command. Not safe for threads.
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
        """Ignore it: the interval is fixed."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made."""
        now = self._clock()
        turn = max(now, self._next.get(name, now))
        self._next[name] = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
