"""Deploys jitr in a simulated account: what its stack makes, and its functions, built as their handlers' `build` does.

It is the real code; only the clients, the clock, the pacer's sleep, and the place of logs and metrics differ.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jitr.rules
from jitr.aws.ca_status import CaStatus
from jitr.aws.calls import CLIENT_CONFIG
from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import Crls, object_key
from jitr.aws.crl_queue import CrlQueue
from jitr.aws.hook import HOOK_CONFIG, Hook
from jitr.aws.iot import AwsIot
from jitr.aws.queues import RegistrationsQueue, SweepQueue
from jitr.aws.rate_limit import BATCH_SIZE
from jitr.aws.shadows import Shadows
from jitr.handlers.register import DEADLINE_MILLISECONDS, RegisterHandler
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG, Turns
from jitr.registration.procedure import Registration
from jitr.registration.threads import Beside, OneByOne
from jitr.rules import CaRules, CertificateMode, Rules, source_id
from jitr.session_end import SessionEnd
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.failure_count import FailureCount
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX
from jitr.store.outcomes import Outcomes
from jitr.store.registry import DUE_INDEX, Registry
from jitr.store.revoked_cas import RevokedCas
from jitr.store.serial_index import ISSUED_AS, SERIAL_INDEX
from jitr.store.sweep_state import SweepState
from jitr.store.withdrawal_marks import Withdrawals
from jitr.sweep.runner import Sweep, SweepResult
from jitr.telemetry import SCHEDULE_UNAVAILABLE, Announcer, Counts
from jitr_fleet.resources import ResourceNames
from simulation.authority import Authority
from simulation.aws import SimulatedAccount
from simulation.dynamodb import Index
from simulation.lambda_ import EventSourceMapping, Handler
from simulation.revoke_function import revoke_environment
from simulation.threads import Tasks

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

# infra/jitr_cdk/registration.py's figures; importing them from there would load the CDK.
_VISIBILITY = 360.0
_FUNCTION_TIMEOUT = 60.0
_CRL_VISIBILITY, _CRL_TIMEOUT = 5400.0, 900.0  # infra/jitr_cdk/revocation.py's
_RECEIVES = 1000
_DAY = 86_400.0

DEVICE_POLICY = (Path(__file__).parents[1] / "policies" / "device.json").read_text(encoding="utf-8")


class _Rules(Rules):
    """Rules whose digest is computed once: an environment does it at its cold start, and here there are thousands.

    Equal rules, as each world makes them, share it.
    """

    @cached_property
    def digest(self) -> str:
        key = jitr.rules.READERS, repr(self)  # which shows each field
        if key not in _digests:
            _digests[key] = super().digest
        return _digests[key]


_digests: dict[tuple[str, str], str] = {}


def rules(*cas: CaRules, fleet: str = "acme", **settings: Any) -> Rules:
    """Rules of a fleet."""
    return _Rules(fleet=fleet, cas=cas, **settings)


def ca_rules(authority: Authority, *, name: str = "factory", **settings: Any) -> CaRules:
    """Rules that admit every device of a CA whose common name is like `sensor-0001`."""
    defaults: dict[str, Any] = {
        "certificate_mode": CertificateMode.SNI_ONLY,
        "common_name": "sensor-[0-9]+",
        "thing_type": "sensor",
        "policy": "device",
    }
    return CaRules(
        name=name, certificate_id=authority.certificate_id, certificate_pem=authority.pem, **(defaults | settings)
    )


def source_rules(name: str = "maker", **settings: Any) -> CaRules:
    """Rules of a source of certificates registered without a CA, that admit the same devices."""
    defaults: dict[str, Any] = {"common_name": "sensor-[0-9]+", "thing_type": "sensor", "policy": "device"}
    return CaRules(name=name, certificate_id=source_id(name), brake=None, **(defaults | settings))


@dataclass(slots=True)
class LogAndMetrics:
    """Keeps logs and metrics, in place of powertools' Logger and of Counts, which write to stdout."""

    lines: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)
    keep: bool = True  # a storm's lines are too many

    def info(self, text: str, *arguments: object, extra: Mapping[str, Any]) -> None:
        self._write("info", text % arguments, extra)

    def warning(self, text: str, *, extra: Mapping[str, Any]) -> None:
        self._write("warning", text, extra)

    def exception(self, text: str, *, extra: Mapping[str, Any]) -> None:
        self._write("error", text, {**extra, "exception": str(sys.exception())})

    def add(self, metric: str, number: int = 1, *, ca: str = "") -> None:  # noqa: ARG002 -- as Counts
        self.metrics[metric] += number

    def measure(self, metric: str, seconds: float, *, ca: str = "") -> None: ...

    def flush(self) -> None: ...

    def _write(self, level: str, text: str, extra: Mapping[str, Any]) -> None:
        if self.keep:
            self.lines.append((level, text, extra))


class Deployment:
    """One stage: queues, table, rules, policy, types and groups; not its CAs, which the test registers.

    `rules` may be replaced at any time: environments that start afterwards use the new ones, as after a deployment.
    """

    def __init__(
        self,
        account: SimulatedAccount,
        rules: Rules,
        *,
        activations_per_second: float = 10,
        max_concurrency: int = 8,
        with_threads: bool = True,
    ) -> None:
        """`with_threads`: whether an environment decides several messages of a batch at once, as when deployed."""
        self.account = account
        self.rules = rules
        self.journal = LogAndMetrics()
        self.with_threads = with_threads
        self.threads: Callable[[], Tasks] = lambda: Tasks(account.aws.clock)
        names = ResourceNames(rules.fleet)
        sqs = account.sqs
        self.dead_letters = sqs.create(names.dead_letter_queue, retention=14 * _DAY)
        self.registrations = sqs.create(
            names.registrations_queue,
            retention=4 * _DAY,
            visibility=_VISIBILITY,
            dead_letters=self.dead_letters,
            max_receives=_RECEIVES,
        )
        self.crl_arrivals = sqs.create(names.crl_queue, retention=14 * _DAY, visibility=_CRL_VISIBILITY)
        self.registry = account.dynamodb.create(
            names.registry_table,
            partition="id",
            indexes={
                DUE_INDEX: Index("due", "due_at"),
                OUTCOME_INDEX: Index(LISTED_AS, LISTED_AT),
                SERIAL_INDEX: Index(ISSUED_AS),
            },
        )
        self.enrollment = account.dynamodb.create(names.enrollment_table, partition="id")
        self.settings = Settings(
            fleet=rules.fleet,
            account_id=account.id,
            region=account.region,
            registry_table=names.registry_table,
            crl_bucket=names.crl_bucket(account.id, account.region),
            enrollment_table=names.enrollment_table,
            registrations_queue_url=self.registrations.url,
            dead_letter_queue_url=self.dead_letters.url,
            crl_queue_url=self.crl_arrivals.url,
            event_bus="default",
            activations_per_second=activations_per_second,
            max_concurrency=max_concurrency,
        )
        account.s3.create(self.settings.crl_bucket)
        for origin in rules.origins:
            self._prepare(origin)

    def environment(self, *, caller: str = "register") -> Handler:
        """An execution environment of `register`, as after a cold start: its handler."""
        client, clock = self.clients(caller), self.account.aws.clock
        announcer = Announcer(
            client("events"), self.settings, cast("Logger", self.journal), cast("Counts", self.journal)
        )
        turns = Turns(
            self.account.client("dynamodb", caller=caller, config=TURNS_CONFIG),
            self.settings.registry_table,
            per_second=self.settings.activations_per_second,
            environments=self.settings.max_concurrency,
            when_unavailable=lambda: self.journal.add(SCHEDULE_UNAVAILABLE),
            clock=lambda: clock.now().timestamp(),
            sleep=clock.sleep,
        )
        threads: list[Tasks] = []
        make_threads, with_threads = self.threads, self.with_threads

        def beside() -> Beside:
            if not with_threads:
                return OneByOne()
            threads[:] = [make_threads()]
            return threads[0]

        aws_iot = AwsIot(
            client("iot"),
            turns,
            clock=clock.now,
            rules=self.rules,
            shadows=lambda: Shadows(client("iot-data")),
        )
        registration = Registration(
            settings=self.settings,
            rules=self.rules,
            iot=aws_iot,
            registry=Registry(client("dynamodb"), self.settings.registry_table),
            crls=Crls(lambda: client("s3"), self.settings.crl_bucket, self.account.id, clock=clock.now),
            enrollment=EnrollmentTable(client("dynamodb"), self.settings.enrollment_table),
            brakes=Brakes(client("dynamodb"), self.settings.registry_table, clock=clock.now),
            hook=Hook(lambda _: self.account.client("lambda", caller=caller, config=HOOK_CONFIG)),
            announcer=announcer,
            turns=turns,
            sessions=lambda: SessionEnd(aws_iot, Connections(client("iot-data"))),
            clock=clock.now,
        )
        queue = RegistrationsQueue(client("sqs"), self.settings)
        failures = FailureCount(client("dynamodb"), self.settings.registry_table)
        register = RegisterHandler(
            registration, queue, announcer, failures=failures, turns=turns, threads=beside, clock=clock.now
        )

        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            """As jitr.handlers.register.handler."""

            def time_is_left() -> bool:
                return bool(context.get_remaining_time_in_millis() > DEADLINE_MILLISECONDS)

            register.limit_waits(context.get_remaining_time_in_millis())
            try:
                if "Records" in event:
                    return register.handle_batch(event["Records"], time_is_left)
                return register.handle_event(event, time_is_left)
            except BaseException as death:
                if not isinstance(death, Exception):
                    for one in threads:
                        one.kill()
                raise
            finally:
                announcer.flush()

        return handler

    def mapping(self, *, batch_size: int = BATCH_SIZE, caller: str = "register") -> EventSourceMapping:
        """The registrations queue before `register`, one environment at a time."""
        return EventSourceMapping(
            self.registrations,
            self.account.sqs,
            lambda: self.environment(caller=caller),
            batch_size=batch_size,
            timeout=_FUNCTION_TIMEOUT,
            loop_stops_whole_batch=self.account.aws.undocumented.loop_stops_whole_batch,
        )

    def sweep(self, *, caller: str = "sweep", time_is_left: Callable[[], bool] = lambda: True) -> SweepResult:
        """Run the sweep once, in a fresh environment."""
        client, clock = self.clients(caller), self.account.aws.clock
        dynamodb = client("dynamodb")
        turns = TurnByTurn(
            self.account.client("dynamodb", caller=caller, config=TURNS_CONFIG),
            self.settings.registry_table,
            per_second=self.settings.activations_per_second,
            when_unavailable=lambda: self.journal.add(SCHEDULE_UNAVAILABLE),
            clock=lambda: clock.now().timestamp(),
            sleep=clock.sleep,
        )
        return Sweep(
            rules=self.rules,
            iot=AwsIot(client("iot"), turns, clock=clock.now, rules=self.rules),
            registry=Registry(dynamodb, self.settings.registry_table),
            outcomes=Outcomes(dynamodb, self.settings.registry_table),
            withdrawals=Withdrawals(dynamodb, self.settings.registry_table),
            crls=Crls(lambda: client("s3"), self.settings.crl_bucket, self.account.id, clock=clock.now),
            enrollment=EnrollmentTable(dynamodb, self.settings.enrollment_table),
            brakes=Brakes(dynamodb, self.settings.registry_table, clock=clock.now),
            cas=CaStatus(client("iot")),
            revoked_cas=RevokedCas(dynamodb, self.settings.registry_table),
            journal=SweepState(dynamodb, self.settings.registry_table),
            crl_states=CrlStates(dynamodb, self.settings.registry_table),
            crl_queue=CrlQueue(client("sqs"), self.settings.crl_queue_url),
            queue=SweepQueue(client("sqs"), client("cloudwatch"), self.settings),
            announcer=Announcer(
                client("events"), self.settings, cast("Logger", self.journal), cast("Counts", self.journal)
            ),
            clock=clock.now,
            activations_per_second=self.settings.activations_per_second,
        ).run(time_is_left=time_is_left)

    def publish_crl(self, ca_certificate_id: str, crl: bytes) -> None:
        """Put a CRL into the bucket; EventBridge sends S3's event to the queue of `revoke`."""
        key = object_key(ca_certificate_id)
        self.account.s3.put(self.settings.crl_bucket, key, crl)
        event = {"detail-type": "Object Created", "detail": {"object": {"key": key}}}
        self.account.sqs.send_message({"QueueUrl": self.crl_arrivals.url, "MessageBody": json.dumps(event)})

    def revoke_mapping(self, *, caller: str = "revoke", timeout: float = _CRL_TIMEOUT) -> EventSourceMapping:
        """The queue of arrived CRLs before `revoke`, one environment at a time; `timeout` in seconds."""
        return EventSourceMapping(
            self.crl_arrivals,
            self.account.sqs,
            lambda: revoke_environment(self, caller=caller),
            batch_size=1,
            timeout=timeout,
            loop_stops_whole_batch=self.account.aws.undocumented.loop_stops_whole_batch,
        )

    def clients(self, caller: str) -> Callable[[Any], Any]:
        return lambda service: self.account.client(service, caller=caller, config=CLIENT_CONFIG)

    def _prepare(self, ca: CaRules) -> None:
        """Make what must exist before a device of a CA or source connects; without calls: `calls` stays empty."""
        iot = self.account.iot
        if ca.policy not in iot.policies.by_name:
            iot.policies.create_policy({"policyName": ca.policy, "policyDocument": DEVICE_POLICY})
        if ca.thing_type:
            iot.things.types.add(ca.thing_type)
        iot.things.groups |= set(ca.thing_groups)
        iot.things.billing_groups |= {ca.billing_group} if ca.billing_group else set()
        if not ca.is_source:
            name = ResourceNames(self.rules.fleet).rule(ca.name)
            self.account.add_rule(ca.certificate_id, self.registrations.url, name=name, enabled=not ca.jitp)
