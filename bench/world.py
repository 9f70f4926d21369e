"""Simulates one storm, and collects its figures."""

import gc
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Protocol

from bench.conditions import SECONDS_OF_OTHERS, SPREAD, Conditions
from bench.devices import BenchDevice, ConnectingDevices
from simulation import Authority, Aws, Call, Clock, Fault, Moment, SimulatedAccount
from simulation.clock import START
from simulation.iot.certificates import DeviceCertificate
from simulation.quotas import AUTO_REGISTRATION, CONNECT, TokenBucket

ACCOUNT = "111111111111"


class Registrar(Protocol):
    """A handler of registration events: jitr, or a peer."""

    name: str

    def deploy(self, account: SimulatedAccount, authority: Authority, conditions: Conditions) -> None:
        """Make what exists before the first device; no quota applies yet."""

    def hold(self, certificate: DeviceCertificate, rng: Random) -> None:
        """Record a certificate as held."""

    def start(self) -> None:
        """Start the tasks that process events."""

    @property
    def backlog(self) -> int:
        """Events that wait."""

    @property
    def dead(self) -> int:
        """Events that were given up (dead-lettered)."""

    @property
    def swept(self) -> int:
        """Events that its own sweep added to the queue."""

    @property
    def most_in_flight(self) -> int:
        """The most events at once that were received and not finished."""

    @property
    def lambda_seconds(self) -> float:
        """Seconds of all invocations; each environment's cold start adds one second."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The state at one second."""

    second: float
    active: int
    backlog: int
    events: int
    calls: int
    described: int  # DescribeCertificate alone: each evaluation of a held device makes one
    throttled: int


@dataclass(slots=True, kw_only=True)
class Storm:
    """A storm's figures."""

    registrar: str
    conditions: Conditions
    all_active: float | None = None  # seconds from the first CONNECT until the last new device was ACTIVE
    all_registered: float | None = None  # until AWS IoT had registered the last of them; no handler is faster
    longest_wait: float = 0.0  # seconds from a device's registration until it was ACTIVE
    all_accepted: float | None = None
    drained: float | None = None  # until the last event was off the queue
    lasted: float = 0.0  # until the simulation ended
    active: int = 0
    lost: int = 0  # new devices that were not ACTIVE at the end
    dead: int = 0
    bare: int = 0  # devices that were ACTIVE for a while without policy
    policyless: int = 0  # devices that are ACTIVE without policy at the end
    thingless: int = 0  # devices that are ACTIVE without a thing at the end
    events: int = 0
    swept: int = 0  # events that the handler's own sweep added
    iot_calls: int = 0
    throttled: int = 0
    most_backlog: int = 0
    most_in_flight: int = 0
    lambda_seconds: float = 0.0
    items_read: int = 0  # of DynamoDB, also missing ones: each is billed
    items_in_transactions: int = 0  # of DynamoDB, written or only checked
    calls: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    processor_seconds: float = 0.0

    @property
    def times_the_bound(self) -> float | None:
        return self.all_active / self.conditions.bound if self.all_active is not None else None

    @property
    def seconds_above(self) -> float | None:
        """Seconds beyond the earliest time for the last device: the bound, or its registration."""
        if self.all_active is None or self.all_registered is None:
            return None
        return self.all_active - max(self.conditions.bound, self.all_registered)

    @property
    def dynamodb_calls(self) -> int:
        return sum(count for name, count in self.calls.items() if name.startswith("dynamodb:"))

    @property
    def held_share(self) -> float | None:
        """The share of the turns that new devices left over that went to evaluations of held devices."""
        idle = self.conditions.per_second * self.lasted - self.active
        if not self.conditions.held or idle <= 0:
            return None
        return (self.calls["iot:DescribeCertificate"] - self.active) / idle

    @property
    def throttled_share(self) -> float:
        return self.throttled / self.iot_calls if self.iot_calls else 0.0


class _World:
    """One storm under way."""

    def __init__(self, registrar: Registrar, conditions: Conditions) -> None:
        self.conditions = conditions
        self.registrar = registrar
        self.rng = Random(conditions.seed)  # noqa: S311 -- a simulation
        self.clock = Clock()
        self.aws = Aws(self.clock, keep_calls=False)
        self.account = self.aws.account(ACCOUNT)
        self.authority = Authority.new("factory")
        self.storm = Storm(registrar=registrar.name, conditions=conditions)
        self.first_active: dict[str, float] = {}
        self.account.client("iot").register_ca_certificate(
            caCertificate=self.authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
        registrar.deploy(self.account, self.authority, conditions)
        self.devices = [
            BenchDevice(f"sensor-{number:06}", self.authority.issue) for number in range(conditions.devices)
        ]
        self.knocking = ConnectingDevices(self.account, self.clock, conditions.back_off, self.rng)
        for device in self.devices:
            self.knocking.begin(device, after=self.rng.uniform(0, conditions.within))
        for number in range(conditions.held):
            self._hold(f"sensor-9{number:06}")
        self._limit()
        self.aws.latency = self._latency
        self.aws.fault = self._fault

    def run(self, *, patience: float) -> Storm:
        """Let time pass until all is done, at most `patience` times the bound."""
        storm, clock = self.storm, self.clock
        began = time.process_time()
        self.registrar.start()
        if self.conditions.taken:
            self._start_other_tool()
        limit = max(self.conditions.bound * patience, 60.0, self.conditions.lasts)
        while clock.monotonic() < limit:
            clock.advance(1.0)
            self._sample()
            if len(self.first_active) == self.conditions.devices and storm.all_active is None:
                storm.all_active = max(self.first_active.values())
            if self.knocking.accepted == self.conditions.devices and storm.all_accepted is None:
                storm.all_accepted = clock.monotonic()
            if storm.all_accepted is not None and clock.monotonic() >= self.conditions.lasts:
                if self.registrar.backlog == 0:
                    storm.drained = clock.monotonic()
                    break
                if self.conditions.held:
                    break
        clock.close()
        storm.processor_seconds = time.process_time() - began
        self._finish()
        return storm

    def _finish(self) -> None:
        storm, iot = self.storm, self.account.iot
        storm.lasted = self.clock.monotonic()
        storm.active = sum(
            certificate is not None and certificate.status == "ACTIVE"
            for certificate in (
                iot.certificates.by_id.get(device.leaf.certificate_id) for device in self.devices if device.leaf
            )
        )
        storm.lost = self.conditions.devices - storm.active
        storm.dead = self.registrar.dead
        storm.swept = self.registrar.swept
        storm.most_in_flight = self.registrar.most_in_flight
        storm.lambda_seconds = self.registrar.lambda_seconds
        storm.events = iot.broker.published
        storm.calls = {name: count for name, count in self.account.counts.items() if ":" in name}
        storm.iot_calls = self._iot(self.account.counts)
        storm.throttled = self._iot(self.account.throttled)
        registered = self._registered()
        if len(registered) == self.conditions.devices:
            storm.all_registered = max(registered.values())
        storm.longest_wait = max(
            (active - registered[certificate_id] for certificate_id, active in self.first_active.items()), default=0.0
        )
        active = [one for one in iot.certificates.by_id.values() if one.status == "ACTIVE"]
        storm.thingless = sum(not iot.things.of_principal(certificate.arn) for certificate in active)
        storm.policyless = sum(not iot.policies.of_target(certificate.arn) for certificate in active)

    def _registered(self) -> dict[str, float]:
        """When AWS IoT registered each new device's certificate, by its id."""
        certificates = self.account.iot.certificates.by_id
        known = (certificates.get(device.leaf.certificate_id) for device in self.devices if device.leaf)
        return {one.certificate_id: (one.created_at - START).total_seconds() for one in known if one}

    def _sample(self) -> None:
        backlog = self.registrar.backlog
        self.storm.most_backlog = max(self.storm.most_backlog, backlog)
        self.storm.samples.append(
            Sample(
                second=self.clock.monotonic(),
                active=len(self.first_active),
                backlog=backlog,
                events=self.account.iot.broker.published,
                calls=self._iot(self.account.counts),
                described=self.account.counts["iot:DescribeCertificate"],
                throttled=self._iot(self.account.throttled),
            )
        )

    @staticmethod
    def _iot(counts: dict[str, int]) -> int:
        return sum(count for name, count in counts.items() if name.startswith("iot:"))

    def _hold(self, name: str) -> None:
        not_before = self.clock.now() + timedelta(days=30)
        leaf = self.authority.issue(name, not_before=not_before, not_after=not_before + timedelta(days=365))
        certificates = self.account.iot.certificates
        certificate = certificates.register(
            leaf, status="PENDING_ACTIVATION", mode="SNI_ONLY", ca_certificate_id=self.authority.certificate_id
        )
        self.registrar.hold(certificate, self.rng)
        every = self.conditions.held_every
        device = BenchDevice(name, self.authority.issue, leaf, attempts=10, every=every)
        self.knocking.begin(device, after=self.rng.uniform(0, every or 60))

    def _limit(self) -> None:
        self.account.limit(burst=self.conditions.burst, factor=self.conditions.raised)
        self.account.quotas[CONNECT] = TokenBucket(self.clock, self.conditions.connects_per_second, burst=1)
        if not self.conditions.registrations_bound:
            del self.account.quotas[AUTO_REGISTRATION]
        self.account.counts.clear()
        self.account.throttled.clear()

    def _latency(self, call: Call) -> float:
        median = self.conditions.latency if call.service == "iot" else SECONDS_OF_OTHERS[call.service]
        return median * self.rng.lognormvariate(0, SPREAD)

    def _fault(self, call: Call, moment: Moment) -> Fault | None:
        if moment == "after" and call.operation == "UpdateCertificate":
            self._note_activation(call)
        if moment == "after" and call.operation in {"GetItem", "BatchGetItem"}:
            tables = call.parameters.get("RequestItems", {"": {"Keys": [call.parameters.get("Key")]}})
            self.storm.items_read += sum(len(table["Keys"]) for table in tables.values())
        if moment == "after" and call.operation == "TransactWriteItems":
            self.storm.items_in_transactions += len(call.parameters["TransactItems"])
        if self.conditions.errors and self.rng.random() < self.conditions.errors / 2:
            return Fault.SERVER_ERROR
        return None

    def _note_activation(self, call: Call) -> None:
        certificate = self.account.iot.certificates.by_id[call.parameters["certificateId"]]
        if certificate.status != "ACTIVE" or certificate.certificate_id in self.first_active:
            return
        self.first_active[certificate.certificate_id] = self.clock.monotonic()
        if not self.account.iot.policies.of_target(certificate.arn):
            self.storm.bare += 1

    def _start_other_tool(self) -> None:
        """Start another tool's calls of the scarce APIs, evenly spread, which use the quotas first."""
        for operation in ("DescribeCertificate", "UpdateCertificate", "AttachPolicy"):
            bucket = self.account.quotas[f"iot:{operation}"]
            self._take_again(bucket, bucket.per_second * self.conditions.taken, self.rng.random())

    def _take_again(self, bucket: TokenBucket, per_second: float, after: float) -> None:
        def take() -> None:
            self._take_again(bucket, per_second, 1 / per_second if bucket.take() else 0.01)

        self.clock.call_later(after, take)


def simulate(registrar: Registrar, conditions: Conditions, *, patience: float = 4.0) -> Storm:
    """Run one storm, for at most `patience` times the quota bound."""
    random.seed(conditions.seed)  # botocore's and our own random delays
    gc.collect()
    gc.freeze()
    threshold = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)  # there is hardly any garbage in cycles here, and the heap is large
    try:
        return _World(registrar, conditions).run(patience=patience)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
