"""Computes the rate of calls and the concurrency that it needs, and paces callers with a fixed share of the rate.

Reacting to throttles (botocore's adaptive mode) finds the limit only by exceeding it, once for every environment and
again after every cold start. The limit is known, so it is never exceeded: all calls take turns of one schedule
(turns.py; turn_by_turn.py for work outside of batches). Only a person's few calls on one device do not.
"""

import math
from typing import Protocol

# How many execution environments reach a rate (docs/decisions/0006-pace.md). A batch's turns follow one another, so an
# environment needs a batch's length of turns and the 1.3 s that an activation takes (ten calls at up to 200 ms). The
# longer devices wait, the more of the queue are their repeats, and each batch of these takes as long as the one
# activation in it (up to 2 s). So eleven environments are for ten a second. The first batches of a burst want a turn
# for each of their messages: if that is more than the reach of new devices (schedule.TERMS), messages are put off, and
# two environments decide on one device. The constant part is for small rates, where Lambda's first five are there at
# once, and for the next to start while those are busy.
_ENVIRONMENTS, _ENVIRONMENTS_PER_ACTIVATION, _LEAST_PER_ACTIVATION = 5, 0.6, 0.8
BATCH_SIZE = 10
# Lambda's limits for an SQS event source (ScalingConfig.MaximumConcurrency: 2 to 1,000).
_LEAST_CONCURRENCY, _GREATEST_CONCURRENCY = 2, 1000


def max_concurrency_for(activations_per_second: float) -> int:
    """How many execution environments together reach the rate, with batches of BATCH_SIZE."""
    rate = activations_per_second
    wanted = math.ceil(max(_ENVIRONMENTS + _ENVIRONMENTS_PER_ACTIVATION * rate, _LEAST_PER_ACTIVATION * rate))
    return min(max(wanted, _LEAST_CONCURRENCY), _GREATEST_CONCURRENCY)


# Seconds over which throttles are counted, of all environments together.
WINDOW = 10.0
# Some throttles are normal, since calls differ in latency: at full rate one in eight, if AWS's token bucket holds a
# fifth of a second. If another tool uses half of the quota, every second call is throttled. Once the rate was reduced
# to what was accepted, a smaller share means that it has grown too far again.
_SUSTAINED, _BEYOND, _RARE = 0.2, 0.1, 0.02
FEWEST_CALLS = 20  # below which throttles are not significant
_RECOVERY = 1.03  # per window: from half of the rate to all of it in four minutes
LEAST_PART = 0.05


def adjust_rate(rate: float, *, calls: int, throttles: int, seconds: float, full: float) -> float:
    """The rate in turns per second after a window with these calls of the scarce APIs (two per turn).

    Sustained throttling reduces the rate to what was accepted, single throttles change nothing, and without throttles
    the rate recovers up to `full`.
    """
    if throttles < _RARE * calls:
        return min(rate * _RECOVERY, full)
    many = _SUSTAINED if rate >= full else _BEYOND
    if throttles > many * calls and seconds < 3 * WINDOW:
        return min(max((calls - throttles) / 2 / seconds, LEAST_PART * full), rate)
    return rate


class Pace(Protocol):
    """Decides when a call may be made."""

    def note(self, attempts: int, throttles: int) -> None:
        """Record the attempts of one call of a scarce API, and how many were throttled."""

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made.

        Raises Unavailable when that would be too late.
        """


class Unpaced:
    """Lets every call through at once: for a person's few calls on one device."""

    def note(self, attempts: int, throttles: int) -> None: ...

    def wait(self, name: str) -> None: ...
