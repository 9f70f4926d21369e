"""Limits how many messages one sweep sends to the queue, and spreads their arrival by delays."""

from dataclasses import dataclass
from typing import Self

_LONGEST_DELAY = 900  # SQS: DelaySeconds
# The share of the calls until the next sweep that release orders and held devices may take together: nearly all, since
# `register` gives them only what new devices leave (schedule.TERMS). With all calls, the last message would still be in
# the queue at the next sweep, which would find the queue behind and send nothing.
PART_OF_LOOKS = 0.9


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one sweep may send, and how it is spread over the time until the next one."""

    per_second: float
    left: int
    window: float  # seconds; less than `pending_after`, otherwise the queue would count as behind
    _taken: int = 0

    @classmethod
    def of(cls, per_second: float, *, every: float, pending_after: float) -> Self:
        """The messages of `every` seconds at this rate; at least one message."""
        return cls(
            per_second=per_second,
            left=max(1, int(per_second * every)),
            window=max(1, min(every, pending_after / 2, _LONGEST_DELAY)),
        )

    def take(self) -> int | None:
        """One message's delay in seconds; None when no more may be sent."""
        if not self.left:
            return None
        delay = self._taken / self.per_second % self.window
        self.left -= 1
        self._taken += 1
        return int(delay)
