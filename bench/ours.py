"""Runs jitr in a storm: the deployed code, with as many execution environments as its stack allows."""

from datetime import timedelta
from random import Random
from typing import Any

from bench.conditions import COLD_START, SECONDS_BETWEEN_BATCHES, Conditions
from jitr.aws.rate_limit import BATCH_SIZE, max_concurrency_for
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.store.registry import Registry
from simulation import Authority, Deployment, SimulatedAccount
from simulation.deployment import ca_rules, rules
from simulation.iot.certificates import DeviceCertificate
from simulation.lambda_ import EventSourceMapping, Handler

# Lambda's pollers begin with five invocations at once, and add 300 a minute (aws-facts §9).
_AT_ONCE, _MORE_PER_SECOND = 5, 5
_HELD_FOR = timedelta(minutes=60)


class Jitr:
    """The stack of one account: queue, `register` and `sweep`."""

    name = "jitr"

    def __init__(
        self,
        *,
        activations_per_second: float = 10,
        max_concurrency: int | None = None,
        rules_changed: bool = False,
        sweep_every: float = 900,
        pending_after: float = 600,
    ) -> None:
        """`sweep_every` and `pending_after` are seconds, as the fleet file's `[sweep]`."""
        self._rate = activations_per_second
        self._rules_changed = rules_changed  # since devices were held, so that all of them are due at once
        self._concurrency = max_concurrency or max_concurrency_for(activations_per_second)
        self._sweep_every, self._pending_after = sweep_every, pending_after
        self._swept = 0
        self._lambda_seconds = 0.0

    def deploy(self, account: SimulatedAccount, authority: Authority, conditions: Conditions) -> None:
        self._clock = account.aws.clock
        self._authority = authority
        self._rules = rules(ca_rules(authority), every=int(self._sweep_every), pending_after=int(self._pending_after))
        self.deployment = Deployment(
            account, self._rules, activations_per_second=self._rate, max_concurrency=self._concurrency
        )
        self.deployment.journal.keep = False
        if conditions.shuffled:
            self.deployment.registrations.shuffled = Random(conditions.seed)  # noqa: S311 -- a simulation
        self._registry = Registry(account.client("dynamodb"), self.deployment.settings.registry_table)

    def hold(self, certificate: DeviceCertificate, rng: Random) -> None:
        """Record the certificate as held some time ago, so that at any moment some are due and most are not."""
        self._registry.record(
            Decision(
                certificate_id=certificate.certificate_id,
                outcome=Outcome.HELD,
                status=Status.PENDING_ACTIVATION,
                registered_at=certificate.created_at,
                decided_at=self._clock.now() - rng.random() * _HELD_FOR,
                rules_digest="" if self._rules_changed else self._rules.digest,
                ca_certificate_id=self._authority.certificate_id,
                ca="factory",
                reason=Reason.NOT_YET_VALID,
                attempts=3,
            )
        )

    def start(self) -> None:
        for number in range(self._concurrency):
            after = max(number - _AT_ONCE + 1, 0) / _MORE_PER_SECOND
            self._clock.call_later(after, lambda: self._clock.spawn(self._work))
        self._clock.spawn(self._sweep)

    @property
    def backlog(self) -> int:
        return self.deployment.registrations.depth

    @property
    def dead(self) -> int:
        return self.deployment.dead_letters.depth

    @property
    def swept(self) -> int:
        return self._swept

    @property
    def most_in_flight(self) -> int:
        return self.deployment.registrations.most_in_flight

    @property
    def lambda_seconds(self) -> float:
        return self._lambda_seconds

    def _work(self) -> None:
        mapping = EventSourceMapping(
            self.deployment.registrations,
            self.deployment.account.sqs,
            self._cold_start,
            batch_size=BATCH_SIZE,
        )
        while True:
            # A long poll answers as soon as a message comes; here after at most a fifth of a second.
            self._clock.sleep(0.2 if mapping.poll() is None else SECONDS_BETWEEN_BATCHES)

    def _cold_start(self) -> Handler:
        self._clock.sleep(COLD_START)
        handler = self.deployment.environment()

        def billed(event: dict[str, Any], context: Any) -> Any:
            began = self._clock.monotonic()
            try:
                return handler(event, context)
            finally:
                self._lambda_seconds += self._clock.monotonic() - began

        return billed

    def _sweep(self) -> None:
        while True:
            self._clock.sleep(self._sweep_every)
            self._swept += self.deployment.sweep().sent
