"""The `register` function: handles batches of the registrations queue, and single events of a direct invocation.

What happens to a message (procedure.py decides on the certificate):

    unreadable                          dead-letter queue at once, whole, with the reason
    decided now or before               deleted
    certificate unknown to AWS IoT      put off twice, since AWS IoT is eventually consistent, then dropped
    throttled, unavailable              put off: three times for seconds, then for up to 15 minutes; left to the sweep
                                        at the twelfth receive, an hour after the first
    not permitted (IAM, KMS)            the same, and counted in a metric with an alarm
    overtaken                           put off for seconds
    an early repeat of the first event  put off for seconds, once, unless the first one is decided
    its turn is too far ahead           put off: a new device for seconds, a held one for minutes
    any other failure                   put off for longer; dead-lettered at the tenth failure, with the reason
    not reached before the deadline     put off
    received more than four times,      last, and alone: its neighbours are deleted or put off before it is touched
      and its processing did not end
    put off for the hundredth time      left to the sweep, whatever it waits for
    received more than 500 times        dead-lettered unhandled, with the reason: it may crash the function

The batch's answer names the messages to be received again; Lambda deletes all others (`ReportBatchItemFailures`).
Nothing is sent to the function's own queue, since Lambda stops such loops; failures are counted in the registry table
(failure_count.py). batch.py handles the batch, redelivery.py decides when a message comes again. The function itself
never fails because of a message, since that would fail the whole batch.
"""

import functools
import os
import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr.aws import runtime
from jitr.aws.calls import CLIENT_CONFIG, SECONDS_OF_A_HANGING_CALL
from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import Crls
from jitr.aws.hook import HOOK_CONFIG, Hook
from jitr.aws.iot import AwsIot
from jitr.aws.queues import QueueMessage, RegistrationsQueue
from jitr.decisions import Outcome
from jitr.event_details import decision_fields
from jitr.events import RegistrationEvent
from jitr.handlers import IN_LAMBDA, start
from jitr.pacing.turns import TURNS_CONFIG, Turns
from jitr.registration.batch import Batch
from jitr.registration.procedure import Registration
from jitr.registration.take_away import SecondLookDue
from jitr.registration.threads import Beside, Threads
from jitr.rules import Rules
from jitr.session_end import SessionEnd
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.failure_count import FailureCount
from jitr.store.registry import Registry
from jitr.telemetry import SCHEDULE_UNAVAILABLE, Announcer, Counts

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from jitr.aws.shadows import Shadows

# No call is started with less time left, so that even the slowest one can finish.
DEADLINE_MILLISECONDS = (SECONDS_OF_A_HANGING_CALL + 2) * 1000


class RegisterHandler:
    """Handles batches and single events."""

    def __init__(
        self,
        registration: Registration,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        failures: FailureCount,
        turns: Turns,
        threads: Callable[[], Beside],
        clock: Callable[[], datetime],
    ) -> None:
        self._registration = registration
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._turns = turns
        self._threads = threads
        self._clock = clock

    def limit_waits(self, milliseconds: int) -> None:
        """Limit waits for turns, for a function that ends in this time, so that no call is cut off."""
        self._turns.expire_in((milliseconds - DEADLINE_MILLISECONDS) / 1000)

    def handle_batch(self, records: list[Mapping[str, Any]], time_is_left: Callable[[], bool]) -> dict[str, Any]:
        """Decide on every message of an SQS batch; the answer names those to be received again."""
        batch = Batch(
            self._registration,
            self._queue,
            self._announcer,
            failures=self._failures,
            turns=self._turns,
            beside=self._threads(),
            time_is_left=time_is_left,
            clock=self._clock,
        )
        again = batch.take([QueueMessage.from_record(record) for record in records])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}

    def handle_event(self, document: Mapping[str, Any], time_is_left: Callable[[], bool]) -> dict[str, Any]:
        """Decide on one event of a direct invocation (replay); return its outcome and decision.

        Raises UnreadableEvent, CertificateUnknown, Overtaken, Unavailable and NotPermitted; the caller can send the
        event again.
        """
        event = RegistrationEvent.parse(document)
        record = self._registration.recall({event.certificate_id})[event.certificate_id]
        now = self._clock()
        try:
            outcome, decision = self._registration.decide(event, record, sent_at=now, time_is_left=time_is_left)
        except SecondLookDue as later:  # the sweep sends it again
            outcome, decision = Outcome.FOUND, later.decision
        self._announcer.report_outcome(outcome, event.certificate_id, decision)
        settled = decision or record.decision
        return {"outcome": outcome.value, "decision": decision_fields(settled) if settled else None}


def build(environ: Mapping[str, str]) -> tuple[RegisterHandler, Announcer]:
    """Build the function from its environment and rules.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    rules = Rules.load()
    logger = Logger(service="register")
    logger.remove_keys(["location"])  # it would always be telemetry.py
    counts = Counts(fleet=settings.fleet)
    events = boto3.client("events", config=CLIENT_CONFIG)
    announcer = Announcer(events, settings, logger, counts)
    iot = boto3.client("iot", config=CLIENT_CONFIG)
    counts.count_calls(iot)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)

    @functools.cache
    def data_plane() -> Any:
        return _client("iot-data", config=CLIENT_CONFIG)

    @functools.cache
    def sessions() -> SessionEnd:
        return SessionEnd(aws_iot, Connections(data_plane()))

    turns = Turns(
        boto3.client("dynamodb", config=TURNS_CONFIG),
        settings.registry_table,
        per_second=settings.activations_per_second,
        environments=settings.max_concurrency,
        when_unavailable=lambda: counts.add(SCHEDULE_UNAVAILABLE),
    )
    aws_iot = AwsIot(iot, turns, clock=_now, rules=rules, shadows=lambda: _shadows(data_plane()))
    registration = Registration(
        settings=settings,
        rules=rules,
        iot=aws_iot,
        registry=Registry(dynamodb, settings.registry_table),
        crls=Crls(lambda: _client("s3", config=CLIENT_CONFIG), settings.crl_bucket, settings.account_id, clock=_now),
        enrollment=EnrollmentTable(dynamodb, settings.enrollment_table),
        hook=Hook(lambda region: _client("lambda", region_name=region, config=HOOK_CONFIG)),
        brakes=Brakes(dynamodb, settings.registry_table, clock=_now),
        announcer=announcer,
        turns=turns,
        sessions=sessions,
        clock=_now,
    )
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    runtime.check(logger, iot, dynamodb, sqs, events)
    queue = RegistrationsQueue(sqs, settings)
    failures = FailureCount(dynamodb, settings.registry_table)
    register = RegisterHandler(
        registration, queue, announcer, failures=failures, turns=turns, threads=Threads, clock=_now
    )
    return register, announcer


_making_a_client = threading.Lock()


def _client(service: Any, **options: Any) -> Any:
    """A client that is made when it is needed: threads do not make theirs at once, which boto3's session cannot.

    Raises Misconfigured when the runtime's boto3 does not know what is asked of it.
    """
    with _making_a_client:
        client = boto3.client(service, **options)
    runtime.check_client(client)
    return client


def _shadows(data_plane: Any) -> "Shadows":
    from jitr.aws.shadows import Shadows  # noqa: PLC0415 -- only where a CA's rules give a shadow

    return Shadows(data_plane)


_built = functools.cache(lambda: build(os.environ))


@functools.cache
def _seed_random() -> None:
    """Seed the random generator once in each environment, at its first event.

    With SnapStart, environments start as copies of one snapshot. With the same random numbers, their calls, retries and
    delays would coincide and exceed a quota together (Lambda guide, "Handling uniqueness with Lambda SnapStart").
    """
    random.seed()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point: an SQS batch, or one registration event (direct invocation)."""
    register, announcer = _built()
    _seed_random()

    def time_is_left() -> bool:
        return context.get_remaining_time_in_millis() > DEADLINE_MILLISECONDS

    register.limit_waits(context.get_remaining_time_in_millis())
    try:
        if "Records" in event:
            return register.handle_batch(event["Records"], time_is_left)
        return register.handle_event(event, time_is_left)
    finally:
        announcer.flush()


def _now() -> datetime:
    return datetime.now(UTC)


if IN_LAMBDA:
    start(_built)
