"""The `sweep` function: runs one sweep at a time, started by EventBridge Scheduler."""

import functools
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr.aws import runtime
from jitr.aws.ca_status import CaStatus
from jitr.aws.calls import CLIENT_CONFIG, SECONDS_OF_A_HANGING_CALL
from jitr.aws.crl_bucket import Crls
from jitr.aws.crl_queue import CrlQueue
from jitr.aws.iot import AwsIot
from jitr.aws.queues import SweepQueue
from jitr.errors import JitrError
from jitr.handlers import IN_LAMBDA, start
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG
from jitr.rules import Rules
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.revoked_cas import RevokedCas
from jitr.store.sweep_state import SweepState
from jitr.store.withdrawal_marks import Withdrawals
from jitr.sweep.runner import Sweep
from jitr.telemetry import SCHEDULE_UNAVAILABLE, SWEEP_BEHIND, SWEPT, Announcer, Counts

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_s3 import S3Client

# What is begun with less than this left, and what a call's turn may take to come, is left to the next sweep.
_DEADLINE = 30.0  # seconds
_LONGEST_WAIT = 120.0  # at lower rates than that takes there would be no time left from the beginning


class SweepFailed(JitrError):
    """Parts of a sweep failed; the others are done."""


class SweepFunction:
    """A sweep under a lease, with its log line and metrics."""

    def __init__(self, sweep: Sweep, turns: TurnByTurn, journal: SweepState, logger: Logger, counts: Counts) -> None:
        self._sweep = sweep
        self._turns = turns
        self._journal = journal
        self._logger = logger
        self._counts = counts

    def run(self, context: "LambdaContext") -> dict[str, Any]:
        """Sweep, unless another sweep is running; return the numbers of what was done.

        Raises SweepFailed when a part failed, and Unavailable; Lambda then retries, and the next sweep does the rest.
        """

        def seconds_left() -> float:
            return context.get_remaining_time_in_millis() / 1000

        who = context.aws_request_id
        if not self._journal.take_lease(who, _now(), seconds=seconds_left()):
            self._logger.info("another sweep is under way")
            return {"another_sweep_is_under_way": True}
        self._turns.expire_in(seconds_left() - SECONDS_OF_A_HANGING_CALL)
        try:
            swept = self._sweep.run(
                time_is_left=lambda: seconds_left() > _DEADLINE + min(self._turns.longest_wait, _LONGEST_WAIT)
            )
        finally:
            self._journal.give_back_lease(who)
            self._counts.flush()
        self._logger.info("swept", extra=asdict(swept))
        self._counts.add(SWEPT, swept.sent)
        self._counts.add(SWEEP_BEHIND, int(swept.queue_is_behind))
        self._counts.flush()
        if swept.failed:
            raise SweepFailed(f"failed: {', '.join(swept.failed)}; the log says why")
        return asdict(swept)


def build(environ: Mapping[str, str]) -> SweepFunction:
    """Build the function from its environment and rules.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    rules = Rules.load()
    logger = Logger(service="sweep")
    logger.remove_keys(["location"])
    counts = Counts(fleet=settings.fleet)
    iot = boto3.client("iot", config=CLIENT_CONFIG)
    counts.count_calls(iot)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    events = boto3.client("events", config=CLIENT_CONFIG)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    cloudwatch = boto3.client("cloudwatch", config=CLIENT_CONFIG)
    runtime.check(logger, iot, dynamodb, events, sqs, cloudwatch)
    journal = SweepState(dynamodb, settings.registry_table)
    turns = TurnByTurn(
        boto3.client("dynamodb", config=TURNS_CONFIG),
        settings.registry_table,
        per_second=settings.activations_per_second,
        when_unavailable=lambda: counts.add(SCHEDULE_UNAVAILABLE),
    )
    sweep = Sweep(
        rules=rules,
        iot=AwsIot(iot, turns, clock=_now, rules=rules),
        registry=Registry(dynamodb, settings.registry_table),
        outcomes=Outcomes(dynamodb, settings.registry_table),
        withdrawals=Withdrawals(dynamodb, settings.registry_table),
        crls=Crls(_s3, settings.crl_bucket, settings.account_id, clock=_now),
        enrollment=EnrollmentTable(dynamodb, settings.enrollment_table),
        brakes=Brakes(dynamodb, settings.registry_table, clock=_now),
        cas=CaStatus(iot),
        revoked_cas=RevokedCas(dynamodb, settings.registry_table),
        journal=journal,
        crl_states=CrlStates(dynamodb, settings.registry_table),
        crl_queue=CrlQueue(sqs, settings.crl_queue_url),
        queue=SweepQueue(sqs, cloudwatch, settings),
        announcer=Announcer(events, settings, logger, counts),
        clock=_now,
        activations_per_second=settings.activations_per_second,
    )
    return SweepFunction(sweep, turns, journal, logger, counts)


def _s3() -> "S3Client":
    """A client for CRLs, made when there is a CA that asks for them; raises Misconfigured as `runtime.check`."""
    client = boto3.client("s3", config=CLIENT_CONFIG)
    runtime.check_client(client)
    return client


_built = functools.cache(lambda: build(os.environ))


def handler(_event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point; the event's content is not used."""
    return _built().run(context)


def _now() -> datetime:
    return datetime.now(UTC)


if IN_LAMBDA:
    start(_built)
