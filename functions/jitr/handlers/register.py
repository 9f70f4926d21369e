"""The `register` function: batches of the registrations queue, and single events that are sent to it directly.

What happens to a message (the rest is registration.py's):

    unreadable                          dead-letter queue at once, whole, with the reason
    decided, or settled before          deleted
    certificate unknown to AWS IoT      put off twice, for it may not have arrived everywhere, then gone
    throttled, unavailable, overtaken   put off for seconds; never counted
    any other failure                   put off for longer; dead-lettered at the tenth receive
    not reached before the deadline     put off

The batch's answer names the messages that are to come again; all others are deleted by Lambda
(`ReportBatchItemFailures`). The function itself never fails for a message's sake, since that fails the whole batch.
"""

import functools
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger, Metrics

from jitr.decisions import Outcome, Record
from jitr.edge import CLIENT_CONFIG
from jitr.errors import CertificateUnknown, Overtaken, Unavailable, UnreadableEvent
from jitr.events import RegistrationEvent
from jitr.iot import AwsIot
from jitr.messages import Message, RegistrationsQueue
from jitr.pacing import Pacer
from jitr.registration import Registration
from jitr.registry import Registry
from jitr.rules import Rules
from jitr.settings import Settings
from jitr.telemetry import METRICS_NAMESPACE, PUT_OFF, UNREADABLE_MESSAGES, Announcer, decision_fields

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_RECEIVES_UNTIL_DEAD = 10
_RECEIVES_UNTIL_GONE = 3
# One device takes about a second; what is begun with less than this left could be cut off between two calls.
_DEADLINE_MILLISECONDS = 10_000


class Register:
    """Batches and single events to a Registration's outcomes."""

    def __init__(
        self,
        registration: Registration,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._registration = registration
        self._queue = queue
        self._announcer = announcer
        self._clock = clock

    def batch(self, records: list[Mapping[str, Any]], remaining_milliseconds: Callable[[], int]) -> dict[str, Any]:
        """Decide on every message of an SQS batch; the answer names those that are to come again."""
        again: list[str] = []
        readable = self._readable([Message.from_record(record) for record in records], again)
        known: dict[str, Record] = {}
        try:
            known = self._registration.recall({event.certificate_id for _, event in readable})
        except Unavailable as error:
            for message, _ in readable:
                self._put_off(message, again, str(error))
            readable = []
        for message, event in readable:
            if remaining_milliseconds() < _DEADLINE_MILLISECONDS:
                self._put_off(message, again, "the function's deadline is near", most=5)
            elif not self._settle(message, event, known):
                again.append(message.id)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}

    def single(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Decide on one event that was sent to the function directly (replay); its outcome, in words.

        Raises UnreadableEvent, CertificateUnknown, Overtaken and Unavailable to the caller, who can send it again.
        """
        event = RegistrationEvent.parse(document)
        record = self._registration.recall({event.certificate_id})[event.certificate_id]
        now = self._clock()
        outcome, decision = self._registration.decide(event, record, sent_at=now)
        self._announcer.outcome(outcome, event.certificate_id, decision)
        settled = decision or record.decision
        return {"outcome": outcome.value, "decision": decision_fields(settled) if settled else None}

    def _readable(self, messages: list[Message], again: list[str]) -> list[tuple[Message, RegistrationEvent]]:
        readable = []
        for message in messages:
            try:
                readable.append((message, RegistrationEvent.parse(message.body)))
            except UnreadableEvent as error:
                self._announcer.warn(
                    "message is unreadable", UNREADABLE_MESSAGES, message_id=message.id, why=str(error)
                )
                self._dead_letter(message, again, f"unreadable: {error}")
        return readable

    def _settle(self, message: Message, event: RegistrationEvent, known: dict[str, Record]) -> bool:
        """Take one message to its end; False when it is to come again."""
        certificate_id = event.certificate_id
        again: list[str] = []
        try:
            outcome, decision = self._registration.decide(event, known[certificate_id], sent_at=message.sent_at)
        except CertificateUnknown:
            if message.receives < _RECEIVES_UNTIL_GONE:
                self._put_off(message, again, "AWS IoT does not know the certificate", least=5)
            else:
                self._announcer.outcome(Outcome.GONE, certificate_id)
        except (Unavailable, Overtaken) as error:
            self._put_off(message, again, str(error), most=30)
        except Exception as error:  # noqa: BLE001 -- the boundary: one message's failure is not its neighbours'
            self._announcer.failure("message failed", message_id=message.id, certificate_id=certificate_id)
            if message.receives >= _RECEIVES_UNTIL_DEAD:
                self._dead_letter(message, again, f"failed {message.receives} times: {error}")
            else:
                self._put_off(message, again, f"failed: {type(error).__name__}", most=5 * 2**message.receives)
        else:
            if decision:
                # A second event of the same certificate in this batch is a duplicate of this decision.
                known[certificate_id] = Record(decision=decision)
            self._announcer.outcome(outcome, certificate_id, decision, sent_at=message.sent_at)
        return not again

    def _put_off(self, message: Message, again: list[str], why: str, *, least: int = 1, most: int = 15) -> None:
        self._announcer.warn("message is put off", PUT_OFF, message_id=message.id, why=why, receives=message.receives)
        again.append(message.id)
        self._guarded(lambda: self._queue.put_off(message, least=least, most=min(most, 900)))

    def _dead_letter(self, message: Message, again: list[str], reason: str) -> None:
        if not self._guarded(lambda: self._queue.dead_letter(message, reason)):
            again.append(message.id)  # it stays in the queue, so nothing is lost

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Do something with the queue; if that fails the message simply comes back at its visibility timeout."""
        try:
            action()
        except Exception:  # noqa: BLE001 -- whatever it was, the batch's answer must still be given
            self._announcer.failure("queue call failed")
            return False
        return True


def build(environ: Mapping[str, str]) -> tuple[Register, Announcer]:
    """Put the function together from its environment and rules.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    rules = Rules.load()
    logger = Logger(service="register")
    logger.remove_keys(["location"])  # it would always say telemetry.py
    metrics = Metrics(namespace=METRICS_NAMESPACE, service="register")
    announcer = Announcer(boto3.client("events", config=CLIENT_CONFIG), settings, logger, metrics)
    registration = Registration(
        settings=settings,
        rules=rules,
        iot=AwsIot(boto3.client("iot", config=CLIENT_CONFIG), Pacer(settings.seconds_between_calls), clock=_now),
        registry=Registry(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.registry_table),
        announcer=announcer,
        clock=_now,
    )
    queue = RegistrationsQueue(boto3.client("sqs", config=CLIENT_CONFIG), settings)
    return Register(registration, queue, announcer, clock=_now), announcer


_built = functools.cache(lambda: build(os.environ))


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry: an SQS batch, or one registration event (direct invocation)."""
    register, announcer = _built()
    try:
        if "Records" in event:
            return register.batch(event["Records"], context.get_remaining_time_in_millis)
        return register.single(event)
    finally:
        announcer.flush()


def _now() -> datetime:
    return datetime.now(UTC)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # In Lambda, at init: it has the whole processor then, and a broken deployment fails before it takes a message.
    _built()
