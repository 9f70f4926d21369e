"""Under what a storm happens: how many devices, how patient, how slow and how limited AWS is, and who else is there."""

from dataclasses import dataclass

from bench.devices import BackOff
from simulation.quotas import AUTO_REGISTRATIONS_PER_SECOND, CONNECTS_PER_SECOND, IOT_CALLS_PER_SECOND

# Medians in seconds; IoT's is a condition. They hold the function's own work on a call (some milliseconds of a third of
# a processor, as Lambda gives with 512 MB) and the way there and back.
SECONDS_OF_OTHERS = {"dynamodb": 0.012, "sqs": 0.015, "events": 0.02, "cloudwatch": 0.05}
# log-normal: 1 call in 100 takes 2.5 times as long as the median.
SPREAD = 0.4
# Between two batches of one environment: Lambda's poller deletes, receives, and invokes.
SECONDS_BETWEEN_BATCHES = 0.03
COLD_START = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One storm's conditions; times in seconds."""

    devices: int = 10_000
    within: float = 60.0  # of which they connect for the first time
    back_off: BackOff = BackOff.FULL_JITTER
    latency: float = 0.1  # an IoT call's median
    errors: float = 0.0  # the share of all calls that fail with 5xx, half of them after they were carried out
    burst: float = 1.0  # seconds' worth of calls that a quota's bucket holds, one call at least
    raised: float = 1.0  # the control plane's quotas against AWS's defaults
    connects_per_second: float = CONNECTS_PER_SECOND  # every CONNECT counts, knocks too
    registrations_bound: bool = True  # whether automatic registrations are limited to 15/s as well
    taken: float = 0.0  # the share of the quotas that another tool uses up
    held: int = 0  # devices that wait for something else, and knock too
    held_every: float | None = None  # how often each of those knocks; by the back-off, if not given
    rules_changed: bool = False  # since those were held, so that all of them are due at once
    lasts: float = 0.0  # at least so long, even if all new devices are in
    environments: int | None = None  # execution environments at most; as many as deployed, if not given
    shuffled: bool = False  # the queue gives out at random what it has, instead of the oldest first
    seed: int = 1

    @property
    def per_second(self) -> float:
        """What AWS allows at most: activations, and registrations before them."""
        rate = IOT_CALLS_PER_SECOND["UpdateCertificate"] * self.raised * (1 - self.taken)
        rates = [rate, self.connects_per_second]
        if self.registrations_bound:
            rates.append(AUTO_REGISTRATIONS_PER_SECOND * self.raised)
        return min(rates)

    @property
    def bound(self) -> float:
        """Seconds that activating all devices takes at least."""
        return self.devices / self.per_second
