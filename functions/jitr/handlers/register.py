"""The `register` function: batches of the registrations queue, and single events that are sent to it directly.

What happens to a message (the rest is registration.py's):

    unreadable                          dead-letter queue at once, whole, with the reason
    decided, or settled before          deleted
    certificate unknown to AWS IoT      put off twice, for it may not have arrived everywhere, then dropped
    throttled, unavailable              put off: three times for seconds, then for up to 15 minutes; left to the sweep
                                        at the twelfth receive, an hour after the first
    not permitted (IAM, KMS)            the same, counted in a metric that has an alarm
    overtaken                           put off for seconds
    right behind the first event        put off for seconds, once, unless that one is decided
    held, and not its turn              put off for minutes
    any other failure                   put off for longer; dead-lettered at the tenth failure, with the reason
    not reached before the deadline     put off
    received more than three times      last, and alone: its neighbours are deleted or put off before it is touched
    put off for the hundredth time      left to the sweep, whatever it waits for
    received more than 500 times        dead-lettered untouched, with the reason: it may be what ends the function

The batch's answer names the messages that are to come again; all others are deleted by Lambda
(`ReportBatchItemFailures`). Nothing is sent to the own queue: Lambda stops such a loop, so failures are counted in a
table. The function itself never fails for a message's sake, since that fails the whole batch.

A message that is left to the sweep is deleted. That loses nothing: the sweep finds every certificate that is pending
without a decision, that is held, or on which an attempt is unfinished (forgotten.py). A message that is put off is in
flight, of which a queue allows 120,000 (SQS developer guide, "Quotas"): so it is put off for an hour, not for days. The
queue's own receive limit (infra/registration.py) is never reached: twelve receives are three hours at most, and 500,
each ended by the function's death, are two of the four days that a message is kept.
"""

import functools
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr import runtime
from jitr.brakes import Brakes
from jitr.crls import Crls
from jitr.decisions import Outcome
from jitr.edge import CLIENT_CONFIG, SECONDS_OF_A_HANGING_CALL
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import CertificateUnknown, NotItsTurn, NotPermitted, Overtaken, Unavailable, UnreadableEvent
from jitr.events import RegistrationEvent
from jitr.failure_count import FailureCount
from jitr.handlers import IN_LAMBDA, start
from jitr.hook import HOOK_CONFIG, Hook
from jitr.iot import AwsIot
from jitr.messages import Message, RegistrationsQueue
from jitr.pacing import Pacer, head_start_for
from jitr.registration import Registration
from jitr.registry import Registry
from jitr.rules import Rules
from jitr.settings import Settings
from jitr.telemetry import LEFT_TO_SWEEP, PUT_OFF, UNREADABLE_MESSAGES, Announcer, Counts, decision_fields

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from jitr.record import Record

_FAILURES_UNTIL_DEAD = 10
# By then a certificate has arrived everywhere: it was deleted, or the event is forged. Else the sweep finds it.
_RECEIVES_UNTIL_GONE = 3
_AGE_UNTIL_GONE = timedelta(seconds=10)
_RECEIVES_UNTIL_ALONE = 3
_LONGEST_PUT_OFF = 900  # seconds
# A message that waits for AWS: its first pauses are short, for a throttle in a storm is over soon; then each is twice
# as long as the one before. By the twelfth receive an hour has passed, and the sweep does it better: it sends no more
# than the rate allows, and holds nothing in flight meanwhile.
_SHORT_PAUSES = 3
RECEIVES_UNTIL_LEFT = 12
# Whatever else it is put off for. None of these is kept by a fault of AWS, so they have more time.
PUT_OFFS_UNTIL_LEFT = 100
# Only a message that ends the function each time, and so is never put off, comes so far.
RECEIVES_UNTIL_DEAD = 500
# What was recalled longer ago is recalled again: in a storm, another environment decides on the next message's
# certificate while this one waits for its turn, and a look at AWS IoT would be one of ten a second.
_RECALL_HOLDS = timedelta(seconds=1)
# No call is begun with less than this left, so that none is cut off, however slow.
DEADLINE_MILLISECONDS = (SECONDS_OF_A_HANGING_CALL + 2) * 1000


class Register:
    """Batches and single events to a Registration's outcomes."""

    def __init__(
        self,
        registration: Registration,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        failures: FailureCount,
        pacer: Pacer,
        clock: Callable[[], datetime],
    ) -> None:
        self._registration = registration
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._pacer = pacer
        self._clock = clock

    def expect_end_in(self, milliseconds: int) -> None:
        """Let no call wait for its turn so long that the function's end, so far away, would cut it off."""
        self._pacer.expire_in((milliseconds - DEADLINE_MILLISECONDS) / 1000)

    def batch(self, records: list[Mapping[str, Any]], time_is_left: Callable[[], bool]) -> dict[str, Any]:
        """Decide on every message of an SQS batch; the answer names those that are to come again."""
        batch = _Batch(self._registration, self._queue, self._announcer, self._failures, time_is_left, self._clock)
        batch.take([Message.from_record(record) for record in records])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in batch.again]}

    def single(self, document: Mapping[str, Any], time_is_left: Callable[[], bool]) -> dict[str, Any]:
        """Decide on one event that was sent to the function directly (replay); its outcome, in words.

        Raises UnreadableEvent, CertificateUnknown, NotItsTurn, Overtaken, Unavailable and NotPermitted to the caller,
        who can send it again.
        """
        event = RegistrationEvent.parse(document)
        record = self._registration.recall({event.certificate_id})[event.certificate_id]
        now = self._clock()
        outcome, decision = self._registration.decide(event, record, sent_at=now, time_is_left=time_is_left)
        self._announcer.outcome(outcome, event.certificate_id, decision)
        settled = decision or record.decision
        return {"outcome": outcome.value, "decision": decision_fields(settled) if settled else None}


class _Batch:
    """One batch on its way: what is known of its certificates, and which messages are to come again."""

    def __init__(
        self,
        registration: Registration,
        queue: RegistrationsQueue,
        announcer: Announcer,
        failures: FailureCount,
        time_is_left: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._registration = registration
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._time_is_left = time_is_left
        self._clock = clock
        self._known: dict[str, Record] = {}
        self._recalled_at = clock()
        self.again: list[str] = []  # message ids

    def take(self, messages: list[Message]) -> None:
        """Take every message to its end, or see to it that it comes again."""
        readable = self._readable(messages)
        if not self._recall(readable):
            return
        ordinary = [(message, event) for message, event in readable if message.receives <= _RECEIVES_UNTIL_ALONE]
        suspects = [(message, event) for message, event in readable if message.receives > _RECEIVES_UNTIL_ALONE]
        for number, (message, event) in enumerate(ordinary):
            self._recall_again(ordinary[number:])
            self._settle(message, event)
        if suspects:
            waiting = [message for message, _ in suspects]
            # One of them may have killed the function before. It comes last, and its neighbours are out of its way:
            # done with and deleted, or put off.
            done = [message for message in messages if message.id not in self.again and message not in waiting]
            self._guarded(lambda: self._queue.forget(done))
            for message, event in suspects[1:]:
                self._put_off(message, event, "received often, so it is processed alone")
            self._settle(*suspects[0])
        self._guarded(self._registration.write_counts)

    def _readable(self, messages: list[Message]) -> list[tuple[Message, RegistrationEvent]]:
        readable = []
        for message in messages:
            try:
                event = RegistrationEvent.parse(message.body)
            except UnreadableEvent as error:
                self._announcer.warn(
                    "message is unreadable", UNREADABLE_MESSAGES, message_id=message.id, why=str(error)
                )
                self._dead_letter(message, f"unreadable: {error}")
                continue
            if message.receives > RECEIVES_UNTIL_DEAD:
                self._dead_letter(message, f"received {message.receives} times without an end: it may end the function")
            else:
                readable.append((message, event))
        return readable

    def _recall(self, readable: list[tuple[Message, RegistrationEvent]]) -> bool:
        """Read all records at once; False when that failed, and every message comes again."""
        try:
            self._known = self._registration.recall({event.certificate_id for _, event in readable})
        except Unavailable as error:
            for message, event in readable:
                self._wait(message, event, error, most=15)
        except Exception as error:  # noqa: BLE001 -- the boundary: the batch's answer must still be given
            for message, event in readable:
                self._fail(message, event, error)
        else:
            return True
        return False

    def _recall_again(self, left: list[tuple[Message, RegistrationEvent]]) -> None:
        """Read the records of what is left once more, if that is due; without an answer, the old ones are safe too."""
        now = self._clock()
        if now - self._recalled_at < _RECALL_HOLDS:
            return
        self._recalled_at = now
        self._guarded(
            lambda: self._known.update(self._registration.recall({event.certificate_id for _, event in left}))
        )

    def _settle(self, message: Message, event: RegistrationEvent) -> None:
        """Take one message to its end, or see to it that it comes again."""
        if not self._time_is_left():
            self._put_off(message, event, "the function's deadline is near", most=5)
            return
        certificate_id = event.certificate_id
        if message.receives == 1 and event.is_right_behind_the_first and self._known[certificate_id].decision is None:
            # In a queue that keeps some order, another environment is at work on the first event, and both would make
            # all calls. Should that event be lost, this one takes its place when it comes again.
            self._put_off(message, event, "its certificate's first event is under way", least=10, most=20)
            return
        try:
            outcome, decision = self._registration.decide(
                event,
                self._known[certificate_id],
                sent_at=message.sent_at,
                time_is_left=self._time_is_left,
            )
        except CertificateUnknown:
            self._miss(message, event)
        except NotItsTurn as error:
            self._put_off(message, event, str(error), least=30, most=300)
        except Overtaken as error:
            # Somebody else is at it, who may himself be put off; a look before he is done costs calls for nothing.
            self._put_off(message, event, str(error), least=10, most=30)
        except Unavailable as error:
            self._wait(message, event, error, most=30)
        except Exception as error:  # noqa: BLE001 -- the boundary: one message's failure is not its neighbours'
            self._fail(message, event, error)
        else:
            if decision:
                # A second event of the same certificate in this batch is a duplicate of this decision.
                self._known[certificate_id] = replace(
                    self._known[certificate_id],
                    decision=decision,
                    intent=None,
                    crl_changed=False,
                    entries_changed=False,
                    brake_changed=False,
                )
            self._announcer.outcome(outcome, certificate_id, decision, sent_at=message.sent_at)

    def _miss(self, message: Message, event: RegistrationEvent) -> None:
        """Give a certificate that AWS IoT does not know the time to arrive everywhere, twice."""
        certificate_id, age = event.certificate_id, self._clock() - message.sent_at
        if message.receives + message.misses < _RECEIVES_UNTIL_GONE or age < _AGE_UNTIL_GONE:
            self._put_off(message, event, "AWS IoT does not know the certificate", least=5)
        else:
            self._guarded(lambda: self._registration.give_up(certificate_id, self._known[certificate_id]))
            self._announcer.outcome(Outcome.GONE, certificate_id)

    def _fail(self, message: Message, event: RegistrationEvent, error: Exception) -> None:
        """Give a message that failed for a reason of ours another chance, nine times; called where it is caught."""
        self._announcer.failure("message failed", message_id=message.id, certificate_id=event.certificate_id)
        # What cannot be counted is counted by its receives, so that it ends too.
        counted = [message.receives]
        self._guarded(lambda: counted.append(self._failures.add(message.id, self._clock())))
        failures = message.failures + counted[-1]
        if failures >= _FAILURES_UNTIL_DEAD:
            self._dead_letter(message, f"failed {failures} times: {error}")
        else:
            self._put_off(message, event, f"failed: {type(error).__name__}", most=5 * 2**failures)

    def _wait(self, message: Message, event: RegistrationEvent, error: Unavailable, *, most: int) -> None:
        """Put off what waits for AWS, for up to `most` seconds at first; called where the error is caught."""
        if isinstance(error, NotPermitted):
            self._announcer.not_permitted(
                "a call is not permitted",
                message_id=message.id,
                certificate_id=event.certificate_id,
                action=error.action,
            )
        if message.receives >= RECEIVES_UNTIL_LEFT:
            self._leave(message, event, str(error))
            return
        doubled = max(message.receives - _SHORT_PAUSES, 0)
        longest = min(most * 2**doubled, _LONGEST_PUT_OFF)
        self._put_off(message, event, str(error), least=longest // 2 if doubled else 1, most=longest)

    def _put_off(self, message: Message, event: RegistrationEvent, why: str, *, least: int = 1, most: int = 15) -> None:
        if message.receives >= PUT_OFFS_UNTIL_LEFT:
            self._leave(message, event, why)
            return
        self._announcer.warn("message is put off", PUT_OFF, message_id=message.id, why=why, receives=message.receives)
        self.again.append(message.id)
        self._guarded(lambda: self._queue.put_off(message, least=least, most=min(most, _LONGEST_PUT_OFF)))

    def _leave(self, message: Message, event: RegistrationEvent, why: str) -> None:
        """Let the message be deleted, for the sweep finds its certificate."""
        self._announcer.warn(
            "message is left to the sweep",
            LEFT_TO_SWEEP,
            message_id=message.id,
            certificate_id=event.certificate_id,
            why=why,
            receives=message.receives,
        )
        if self._known and self._time_is_left():  # else the registry does not answer, or there is no time to ask it
            self._guarded(lambda: self._registration.leave_to_sweep(event.certificate_id))

    def _dead_letter(self, message: Message, reason: str) -> None:
        if not self._guarded(lambda: self._queue.dead_letter(message, reason)):
            self.again.append(message.id)  # it stays in the queue, so nothing is lost

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Do something beside the decision; if it fails, the message or the sweep brings it up again."""
        try:
            action()
        except NotPermitted as error:
            self._announcer.not_permitted("a call beside the decision is not permitted", action=error.action)
            return False
        except Exception:  # noqa: BLE001 -- whatever it was, the batch's answer must still be given
            self._announcer.failure("a call beside the decision failed")
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
    counts = Counts(fleet=settings.fleet)
    announcer = Announcer(boto3.client("events", config=CLIENT_CONFIG), settings, logger, counts)
    iot = boto3.client("iot", config=CLIENT_CONFIG)
    counts.count_calls(iot)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    pacer = Pacer(settings.seconds_between_calls, head_start=head_start_for(settings.max_concurrency))
    registration = Registration(
        settings=settings,
        rules=rules,
        iot=AwsIot(iot, pacer, clock=_now, rules=rules),
        registry=Registry(dynamodb, settings.registry_table),
        crls=Crls(
            lambda: boto3.client("s3", config=CLIENT_CONFIG), settings.crl_bucket, settings.account_id, clock=_now
        ),
        enrollment=EnrollmentTable(dynamodb, settings.enrollment_table),
        hook=Hook(lambda region: boto3.client("lambda", region_name=region, config=HOOK_CONFIG)),
        brakes=Brakes(dynamodb, settings.registry_table, clock=_now),
        announcer=announcer,
        pacer=pacer,
        clock=_now,
    )
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    runtime.check(logger, iot, dynamodb, sqs)
    queue = RegistrationsQueue(sqs, settings)
    failures = FailureCount(dynamodb, settings.registry_table)
    return Register(registration, queue, announcer, failures=failures, pacer=pacer, clock=_now), announcer


_built = functools.cache(lambda: build(os.environ))


@functools.cache
def _roll_the_dice() -> None:
    """Once in each environment, at its first event.

    With SnapStart environments begin as copies of one, which would spread their calls, retries and put-offs by the same
    random numbers, and meet a quota all at the same moment (Lambda guide, "Handling uniqueness with Lambda SnapStart").
    """
    random.seed()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry: an SQS batch, or one registration event (direct invocation)."""
    register, announcer = _built()
    _roll_the_dice()

    def time_is_left() -> bool:
        return context.get_remaining_time_in_millis() > DEADLINE_MILLISECONDS

    register.expect_end_in(context.get_remaining_time_in_millis())
    try:
        if "Records" in event:
            return register.batch(event["Records"], time_is_left)
        return register.single(event, time_is_left)
    finally:
        announcer.flush()


def _now() -> datetime:
    return datetime.now(UTC)


if IN_LAMBDA:
    start(_built)
