"""How much one sweep may send to the queue, and when each message is to be there."""

from dataclasses import dataclass
from typing import Self

_LONGEST_DELAY = 900  # SQS: DelaySeconds
# Of the calls that are allowed until the next sweep, what release orders and held devices may take together: nearly
# all, since `register` gives them only what new devices leave (schedule.TERMS). With all of them, the last would still
# be in the queue at the next sweep, which would take it for behind and send nothing.
PART_OF_LOOKS = 0.9


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one sweep may send, and how it is spread over the time until the next one."""

    per_second: float
    left: int
    window: float  # seconds; less than `pending_after`, or the queue would look as if it were behind
    _taken: int = 0

    @classmethod
    def of(cls, per_second: float, *, every: float, pending_after: float) -> Self:
        """So many messages per second for sweeps that come `every` so many seconds; at least one."""
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
