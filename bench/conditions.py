"""Defines a storm's conditions: its devices and their back-off, AWS's latency, quotas and errors, and other load."""

from dataclasses import dataclass

from bench.devices import BackOff
from simulation.quotas import AUTO_REGISTRATIONS_PER_SECOND, CONNECTS_PER_SECOND, IOT_CALLS_PER_SECOND

# Medians in seconds; IoT's is a condition. They include the function's own work on a call (some milliseconds on a third
# of a processor, which Lambda gives for 512 MB) and the network.
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
    within: float = 60.0  # in which all devices connect for the first time
    back_off: BackOff = BackOff.FULL_JITTER
    latency: float = 0.1  # an IoT call's median
    errors: float = 0.0  # the share of all calls that fail with 5xx, half of them after they were carried out
    burst: float = 1.0  # seconds' worth of calls that a quota's bucket holds, one call at least
    raised: float = 1.0  # the control plane's quotas against AWS's defaults
    connects_per_second: float = CONNECTS_PER_SECOND  # every CONNECT counts, refused ones too
    registrations_bound: bool = True  # whether automatic registrations are limited to 15/s as well
    taken: float = 0.0  # the share of the quotas that another tool uses
    held: int = 0  # held devices, which also connect
    held_every: float | None = None  # seconds between two CONNECTs of a held device; None: by the back-off
    rules_changed: bool = False  # since devices were held, so that all of them are due at once
    lasts: float = 0.0  # the least duration, even if all new devices are accepted before
    environments: int | None = None  # execution environments at most; as many as deployed, if not given
    shuffled: bool = False  # the queue delivers at random, instead of the oldest first
    seed: int = 1

    @property
    def per_second(self) -> float:
        """The most activations a second that AWS allows, registrations included."""
        rate = IOT_CALLS_PER_SECOND["UpdateCertificate"] * self.raised * (1 - self.taken)
        rates = [rate, self.connects_per_second]
        if self.registrations_bound:
            rates.append(AUTO_REGISTRATIONS_PER_SECOND * self.raised)
        return min(rates)

    @property
    def bound(self) -> float:
        """The least seconds in which all devices can be activated."""
        return self.devices / self.per_second
