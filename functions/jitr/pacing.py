"""Spacing calls, so that all execution environments together stay at the rate that AWS allows.

Reacting to throttles (botocore's adaptive mode) finds the limit only by exceeding it, once for every environment and
again after every cold start. The limit is known; so each environment takes its share and never exceeds it.
"""

import time
from collections.abc import Callable


class Pacer:
    """Lets calls of one name through at a steady interval; the first one at once.

    Not for threads: an execution environment handles one batch at a time.
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

    def try_turn(self, name: str, *, turns: int = 1) -> bool:
        """Take a turn if it is free now, without waiting; the next one is free after `turns` intervals."""
        now = self._clock()
        if now < self._next.get(name, now):
            return False
        self._next[name] = now + turns * self._interval
        return True

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made."""
        now = self._clock()
        turn = max(now, self._next.get(name, now))
        self._next[name] = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
