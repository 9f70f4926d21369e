"""The `hub` function: records the fleet's decision events, and announces devices that are out of place.

It receives EventBridge events in batches of an SQS queue:

    unreadable, or of another fleet or account   fails; after ten receives SQS moves it to the dead-letter queue
    known, or older than what is recorded        dropped
    any other failure                            fails; received again after its visibility timeout
    out of place                                 announced (at least once, with one id), then recorded

Messages fail one by one: the batch's answer names those that failed.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr.aws import runtime
from jitr.aws.calls import CLIENT_CONFIG
from jitr.errors import Misconfigured, UnreadableEvent
from jitr.handlers import IN_LAMBDA, start
from jitr.hub.locations import HOMES_FILE, Homes, Statement, is_out_of_place, out_of_place_detail
from jitr.hub.table import HubTable
from jitr.settings import Settings
from jitr.store.enrollment_table import EnrollmentTable, subjects_of
from jitr.telemetry import (
    FAILURES,
    OUT_OF_PLACE,
    OUT_OF_PLACE_DETAIL_TYPE,
    UNREADABLE_MESSAGES,
    Counts,
    put_event,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_events import EventBridgeClient

HUB_TABLE = "JITR_HUB_TABLE"


class HubHandler:
    """Handles batches of events."""

    def __init__(
        self,
        *,
        settings: Settings,
        homes: Homes,
        table: HubTable,
        enrollment: EnrollmentTable,
        events: "EventBridgeClient",
        logger: Logger,
        counts: Counts,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._homes = homes
        self._table = table
        self._enrollment = enrollment
        self._events = events
        self._logger = logger
        self._counts = counts
        self._clock = clock

    def handle_batch(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Record every event; the answer names the messages that failed."""
        try:
            failed = [record["messageId"] for record in records if not self._take(record["messageId"], record["body"])]
        finally:
            self._counts.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _take(self, message_id: str, body: str) -> bool:
        try:
            statement = Statement.parse(body, fleet=self._settings.fleet)
            self._refuse_foreign(statement)
            self._process(statement)
        except UnreadableEvent as error:
            self._logger.warning("message is unreadable", extra={"message_id": message_id, "why": str(error)})
            self._counts.add(UNREADABLE_MESSAGES)
        except Exception:  # the boundary: messages fail one by one
            self._logger.exception("message failed", extra={"message_id": message_id})
            self._counts.add(FAILURES)
        else:
            return True
        return False

    def _refuse_foreign(self, statement: Statement) -> None:
        """Raise UnreadableEvent for an account that is not the fleet's: the bus may be open to a whole organization."""
        if statement.account_id not in self._homes.accounts:
            raise UnreadableEvent(f"sent by {statement.account_id}, which is not an account of the fleet")

    def _process(self, statement: Statement) -> None:
        known = self._table.of(statement.certificate_id, statement.place)
        if known and known.at >= statement.at:
            if not statement.is_active:
                self._table.restart_stay(statement)  # a late event: the certificate was not ACTIVE in between
            return
        homes = self._homes_of(statement) if statement.is_active else frozenset()
        out = is_out_of_place(statement, homes)
        if out and not (known and known.is_out_of_place):
            self._announce(statement, homes)
        self._table.record(statement, out_of_place=out)

    def _homes_of(self, statement: Statement) -> frozenset[str]:
        """The device's accounts, by the list in the hub's account: jitrctl writes entries to all accounts."""
        entries = self._enrollment.entries(subjects_of(statement.certificate_id, statement.thing_name)).values()
        return self._homes.of(statement.ca, entries)

    def _announce(self, statement: Statement, homes: frozenset[str]) -> None:
        detail = out_of_place_detail(statement, homes, fleet=self._settings.fleet)
        self._logger.warning("device is out of place", extra=detail)
        self._counts.add(OUT_OF_PLACE)
        put_event(self._events, self._settings.event_bus, OUT_OF_PLACE_DETAIL_TYPE, detail, self._clock())


def build(environ: Mapping[str, str], homes: str | None = None) -> HubHandler:
    """Build the function from its environment, and from `homes`, the text of hub.json; None: the asset's file.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    if HUB_TABLE not in environ:
        raise Misconfigured(f"environment variable {HUB_TABLE} is not set: deploy again")
    logger = Logger(service="hub")
    logger.remove_keys(["location"])
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    events = boto3.client("events", config=CLIENT_CONFIG)
    runtime.check(logger, dynamodb, events)
    return HubHandler(
        settings=settings,
        homes=Homes.from_json(_read_homes() if homes is None else homes),
        table=HubTable(dynamodb, environ[HUB_TABLE]),
        enrollment=EnrollmentTable(dynamodb, settings.enrollment_table),
        events=events,
        logger=logger,
        counts=Counts(fleet=settings.fleet),
        clock=lambda: datetime.now(UTC),
    )


def _read_homes() -> str:
    path = Path(__file__).parents[2] / HOMES_FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{HOMES_FILE} is not in the function's asset: deploy again") from error


_built = functools.cache(lambda: build(os.environ))


def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point: an SQS batch of EventBridge's events."""
    return _built().handle_batch(event["Records"])


if IN_LAMBDA:
    start(_built)
