"""Runs a storm's devices: each connects, is refused, backs off, and connects again until it is accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from simulation import Clock, Leaf, SimulatedAccount


class BackOff(StrEnum):
    """How long a device waits before it connects again."""

    FULL_JITTER = "full-jitter"  # as the AWS IoT device SDKs: at random up to 1 s, 2 s, 4 s … 60 s, and never under 1 s
    IMPATIENT = "impatient"  # every 5 s, as firmware that was never tested with a refusal
    PATIENT = "patient"  # every quarter of an hour, as firmware that expects to wait for an operator

    def delay(self, attempt: int, rng: Random) -> float:
        """Seconds to wait after the attempt of that number, counted from 1."""
        if self is BackOff.IMPATIENT:
            return rng.uniform(4.5, 5.5)
        if self is BackOff.PATIENT:
            return rng.uniform(600, 1200)
        return max(rng.uniform(0, min(60.0, 2.0**attempt)), 1.0)


@dataclass(slots=True, eq=False)
class BenchDevice:
    """One device; `make` issues its certificate only when it first connects, so a hundred thousand cost little."""

    name: str
    make: Callable[[str], Leaf]
    leaf: Leaf | None = None
    attempts: int = 0
    accepted_at: float | None = None
    every: float | None = None  # seconds between two attempts; by the back-off, if not given


class ConnectingDevices:
    """Devices that connect to one account."""

    def __init__(self, account: SimulatedAccount, clock: Clock, back_off: BackOff, rng: Random) -> None:
        self._account = account
        self._clock = clock
        self._back_off = back_off
        self._rng = rng
        self.accepted = 0

    def begin(self, device: BenchDevice, *, after: float) -> None:
        """Have a device connect `after` seconds from now, and again until it is accepted."""
        self._clock.call_later(after, lambda: self._connect(device))

    def _connect(self, device: BenchDevice) -> None:
        device.attempts += 1
        device.leaf = device.leaf or device.make(device.name)
        if self._account.connect(device.leaf, client_id=device.name) == "accepted":
            device.accepted_at = self._clock.monotonic()
            self.accepted += 1
            return
        after = device.every or self._back_off.delay(device.attempts, self._rng)
        self.begin(device, after=after)
