"""The `revoke` function: applies a CA's CRL to certificates that are registered, when the CRL arrives in the bucket.

Its queue has S3's events (by EventBridge), and the messages of the sweep and of `jitrctl crl approve`, which name a CA:

    a CRL is applied as a whole     deleted
    time is up, or it has to wait   put off: at once, or until then
    another run applies it          put off for a minute
    throttled, unavailable          put off, longer each time
    any other failure               the same, and counted in a metric with an alarm
    unreadable, or of no known CA   deleted, and counted

The message stays in the queue until nothing is left. Nothing is sent to the function's own queue, since Lambda stops
such loops. A message that is received a thousand times goes to the dead-letter queue; the sweep sends another one, as
long as the published CRL is not applied.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr.aws import runtime
from jitr.aws.calls import CLIENT_CONFIG, SECONDS_OF_A_HANGING_CALL
from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import FOLDER, Crls
from jitr.aws.iot import AwsIot
from jitr.errors import NotPermitted, Unavailable
from jitr.events import CERTIFICATE_ID
from jitr.handlers import IN_LAMBDA, start
from jitr.pacing.schedule import Need
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG
from jitr.registration.threads import Threads
from jitr.revocation.application import CrlApplication
from jitr.revocation.candidates import Candidates
from jitr.revocation.enforcement import Enforcement
from jitr.revocation.walks import Walks
from jitr.rules import Rules
from jitr.session_end import SessionEnd
from jitr.settings import Settings
from jitr.store.crl_state import CrlStates
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.sweep_state import SweepState
from jitr.telemetry import PUT_OFF, SCHEDULE_UNAVAILABLE, UNREADABLE_MESSAGES, Announcer, Counts

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient

# With less time left no certificate is begun: each takes some calls, of which any may hang.
_DEADLINE = 3.0 * SECONDS_OF_A_HANGING_CALL
_WHILE_LEASED = 60
_LONGEST_PAUSE = 900
_KEY = re.compile(rf"{FOLDER}/([0-9a-f]{{64}})\.crl")


class RevokeHandler:
    """Handles messages that name a CA whose CRL is to be applied."""

    def __init__(
        self,
        application: CrlApplication,
        states: CrlStates,
        sqs: "SQSClient",
        queue_url: str,
        announcer: Announcer,
        *,
        turns: TurnByTurn,
        clock: Callable[[], datetime],
    ) -> None:
        self._application = application
        self._states = states
        self._sqs = sqs
        self._queue_url = queue_url
        self._announcer = announcer
        self._turns = turns
        self._clock = clock

    def handle_batch(
        self, records: list[Mapping[str, Any]], *, who: str, seconds_left: Callable[[], float]
    ) -> dict[str, Any]:
        """Handle each message; the answer names those that are to be received again."""
        again = []
        for record in records:
            pause = self._take(record, who, seconds_left)
            if pause is not None:
                self._put_off(record, pause)
                again.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": again}

    def _take(self, record: Mapping[str, Any], who: str, seconds_left: Callable[[], float]) -> float | None:
        """Apply the CRL that a message names; the seconds until it is to be received again, None when it is done."""
        ca_certificate_id = ca_in(record["body"])
        if ca_certificate_id is None:
            self._announcer.warn("message names no CA", UNREADABLE_MESSAGES, message_id=record["messageId"])
            return None
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        try:
            if not self._states.take_lease(ca_certificate_id, who, self._clock(), seconds=seconds_left()):
                return _WHILE_LEASED
            try:
                self._turns.expire_in(seconds_left() - _DEADLINE)
                return self._application.apply(ca_certificate_id, time_is_left=lambda: seconds_left() > _DEADLINE)
            finally:
                self._states.give_back_lease(ca_certificate_id, who)
        except NotPermitted:
            self._announcer.log_not_permitted("a CRL cannot be applied", ca_certificate_id=ca_certificate_id)
        except Unavailable as error:
            self._announcer.warn("a CRL is put off", PUT_OFF, ca_certificate_id=ca_certificate_id, why=str(error))
        except Exception:  # noqa: BLE001 -- the boundary: the message comes again
            self._announcer.log_failure("a CRL cannot be applied", ca_certificate_id=ca_certificate_id)
        return min(30 * receives, _LONGEST_PAUSE)

    def _put_off(self, record: Mapping[str, Any], seconds: float) -> None:
        """Have a message received again after so many seconds; otherwise it is after the queue's own timeout."""
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=round(seconds)
            )
        except Exception:  # noqa: BLE001 -- what was done stays done
            self._announcer.log_failure("a message cannot be put off", message_id=record["messageId"])


def ca_in(body: str) -> str | None:
    """The id of the CA that a message names: S3's event about its CRL, or a message of our own; None for others."""
    try:
        document = json.loads(body)
        named = document.get("ca_certificate_id")
        if named is None:
            match = _KEY.fullmatch(document["detail"]["object"]["key"])
            named = match[1] if match else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return named if isinstance(named, str) and CERTIFICATE_ID.fullmatch(named) else None


def build(environ: Mapping[str, str]) -> tuple[RevokeHandler, Announcer]:
    """Build the function from its environment and rules.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    rules = Rules.load()
    logger = Logger(service="revoke")
    logger.remove_keys(["location"])
    counts = Counts(fleet=settings.fleet)
    iot = boto3.client("iot", config=CLIENT_CONFIG)
    counts.count_calls(iot)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    events = boto3.client("events", config=CLIENT_CONFIG)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    s3 = boto3.client("s3", config=CLIENT_CONFIG)
    runtime.check(logger, iot, dynamodb, events, sqs, s3)
    announcer = Announcer(events, settings, logger, counts)
    turns = TurnByTurn(
        boto3.client("dynamodb", config=TURNS_CONFIG),
        settings.registry_table,
        per_second=settings.activations_per_second,
        need=Need.ORDERED,
        when_unavailable=lambda: counts.add(SCHEDULE_UNAVAILABLE),
    )
    aws_iot = AwsIot(iot, turns, clock=_now, rules=rules)
    registry = Registry(dynamodb, settings.registry_table)
    outcomes = Outcomes(dynamodb, settings.registry_table)
    states = CrlStates(dynamodb, settings.registry_table)
    application = CrlApplication(
        rules=rules,
        crls=Crls(lambda: s3, settings.crl_bucket, settings.account_id, clock=_now),
        states=states,
        journal=SweepState(dynamodb, settings.registry_table),
        candidates=Candidates(registry=registry, outcomes=outcomes),
        walks=Walks(
            enforcement=Enforcement(
                rules=rules,
                iot=aws_iot,
                registry=registry,
                outcomes=outcomes,
                announcer=announcer,
                sessions=SessionEnd(aws_iot, Connections(boto3.client("iot-data", config=CLIENT_CONFIG))),
                clock=_now,
            ),
            turns=turns,
            threads=Threads,
            announcer=announcer,
        ),
        announcer=announcer,
        clock=_now,
    )
    handler_ = RevokeHandler(application, states, sqs, settings.crl_queue_url, announcer, turns=turns, clock=_now)
    return handler_, announcer


_built = functools.cache(lambda: build(os.environ))


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point: an SQS batch of one message."""
    revoke, announcer = _built()

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    try:
        return revoke.handle_batch(event["Records"], who=context.aws_request_id, seconds_left=seconds_left)
    finally:
        announcer.flush()


def _now() -> datetime:
    return datetime.now(UTC)


if IN_LAMBDA:
    start(_built)
