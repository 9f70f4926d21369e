"""The `hub` function: the fleet's decision events, in batches of a queue, into one table; and who is out of place.

    unreadable, of another fleet or of an
    account that is not the fleet's        fails; after ten receives SQS moves it to the dead-letter queue
    older than what is known, or known     dropped
    any other failure                      fails, and comes again when its visibility timeout is over
    out of place                           announced (at least once, under one id), then recorded

One message's failure is not its neighbours': the batch's answer names those that failed.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from jitr.aws.calls import CLIENT_CONFIG, calling
from jitr.errors import Misconfigured, Unavailable, UnreadableEvent
from jitr.handlers import IN_LAMBDA, start
from jitr.hub.locations import HOMES_FILE, Homes, Statement, is_out_of_place, out_of_place_detail
from jitr.hub.table import HubTable
from jitr.settings import Settings
from jitr.store.enrollment_table import EnrollmentTable, subjects_of
from jitr.telemetry import EVENT_SOURCE, FAILURES, OUT_OF_PLACE, OUT_OF_PLACE_DETAIL_TYPE, UNREADABLE_MESSAGES, Counts

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_events import EventBridgeClient

HUB_TABLE = "JITR_HUB_TABLE"


class HubHandler:
    """Batches of events to what the table says."""

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
        """Take in every event; the answer names the messages that are to come again."""
        try:
            failed = [record["messageId"] for record in records if not self._take(record["messageId"], record["body"])]
        finally:
            self._counts.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _take(self, message_id: str, body: str) -> bool:
        try:
            self._process(self._admitted(Statement.parse(body, fleet=self._settings.fleet)))
        except UnreadableEvent as error:
            self._logger.warning("message is unreadable", extra={"message_id": message_id, "why": str(error)})
            self._counts.add(UNREADABLE_MESSAGES)
        except Exception:  # the boundary: one message's failure is not its neighbours'
            self._logger.exception("message failed", extra={"message_id": message_id})
            self._counts.add(FAILURES)
        else:
            return True
        return False

    def _admitted(self, statement: Statement) -> Statement:
        """A statement of one of the fleet's accounts: the bus may be open to their whole organization."""
        if statement.account_id not in self._homes.accounts:
            raise UnreadableEvent(f"sent by {statement.account_id}, which is no account of the fleet")
        return statement

    def _process(self, statement: Statement) -> None:
        known = self._table.of(statement.certificate_id, statement.place)
        if known and known.at >= statement.at:
            if not statement.is_active:
                self._table.restart_stay(statement)  # it came late, and there is a gap in what was taken for one stay
            return
        homes = self._homes_of(statement) if statement.is_active else frozenset()
        out = is_out_of_place(statement, homes)
        if out and not (known and known.is_out_of_place):
            self._announce(statement, homes)
        self._table.record(statement, out_of_place=out)

    def _homes_of(self, statement: Statement) -> frozenset[str]:
        """By the list as it stands in the hub's own account: jitrctl writes an entry to every account."""
        entries = self._enrollment.entries(subjects_of(statement.certificate_id, statement.thing_name)).values()
        return self._homes.of(statement.ca, entries)

    def _announce(self, statement: Statement, homes: frozenset[str]) -> None:
        detail = out_of_place_detail(statement, homes, fleet=self._settings.fleet)
        self._logger.warning("device is out of place", extra=detail)
        self._counts.add(OUT_OF_PLACE)
        with calling("PutEvents"):
            answer = self._events.put_events(
                Entries=[
                    {
                        "Source": EVENT_SOURCE,
                        "DetailType": OUT_OF_PLACE_DETAIL_TYPE,
                        "Detail": json.dumps(detail),
                        "EventBusName": self._settings.event_bus,
                        "Time": self._clock(),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            raise Unavailable(f"PutEvents: {answer['Entries'][0].get('ErrorCode')}")


def build(environ: Mapping[str, str], homes: str | None = None) -> HubHandler:
    """Put the function together from its environment and hub.json, or from that file's text.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    if HUB_TABLE not in environ:
        raise Misconfigured(f"environment variable {HUB_TABLE} is not set: deploy again")
    logger = Logger(service="hub")
    logger.remove_keys(["location"])
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    return HubHandler(
        settings=settings,
        homes=Homes.from_json(_file() if homes is None else homes),
        table=HubTable(dynamodb, environ[HUB_TABLE]),
        enrollment=EnrollmentTable(dynamodb, settings.enrollment_table),
        events=boto3.client("events", config=CLIENT_CONFIG),
        logger=logger,
        counts=Counts(fleet=settings.fleet),
        clock=lambda: datetime.now(UTC),
    )


def _file() -> str:
    path = Path(__file__).parents[2] / HOMES_FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{HOMES_FILE} is not in the function's asset: deploy again") from error


_built = functools.cache(lambda: build(os.environ))


def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry: an SQS batch of EventBridge's events."""
    return _built().handle_batch(event["Records"])


if IN_LAMBDA:
    start(_built)
