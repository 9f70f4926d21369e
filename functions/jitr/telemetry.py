"""What leaves a function about its decisions: one log line and its metrics for each outcome, and one EventBridge event.

Names of metrics and log events are defined here alone. What may be logged: ids, names, subjects, reasons. Never a PEM,
a key or a token.
"""

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from jitr.decisions import Decision, Outcome
from jitr.edge import calling
from jitr.errors import Unavailable
from jitr.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

METRICS_NAMESPACE = "jitr"
EVENT_SOURCE = "jitr"
EVENT_VERSION = "1"

_DETAIL_TYPES = {
    Outcome.ACTIVATED: "Device Activated",
    Outcome.REJECTED: "Device Rejected",
    Outcome.HELD: "Device Held",
}
_METRIC_OF = {
    Outcome.ACTIVATED: "Activated",
    Outcome.REJECTED: "Rejected",
    Outcome.HELD: "Held",
    Outcome.FOUND: "Found",
    Outcome.DUPLICATE: "Duplicates",
    Outcome.GONE: "Gone",
}
CONTRADICTIONS = "Contradictions"  # events that say something else than the certificate
UNREADABLE_MESSAGES = "UnreadableMessages"
PUT_OFF = "PutOff"  # messages that wait because AWS throttles or fails
FAILURES = "Failures"  # attempts that ended in an error of ours or of the deployment
SWEPT = "Swept"  # certificates that the sweep sent to the queue
SECONDS_TO_ACTIVE = "SecondsToActive"  # from the event's arrival in the queue

METRIC_NAMES = (
    *_METRIC_OF.values(),
    CONTRADICTIONS,
    UNREADABLE_MESSAGES,
    PUT_OFF,
    FAILURES,
    SECONDS_TO_ACTIVE,
)


class Announcer:
    """Tells of decisions: EventBridge (at least once), metrics and logs."""

    def __init__(self, events: "EventBridgeClient", settings: Settings, logger: Logger, metrics: Metrics) -> None:
        self._events = events
        self._settings = settings
        self._logger = logger
        self._metrics = metrics
        metrics.set_default_dimensions(fleet=settings.fleet)

    def announce(self, decision: Decision) -> None:
        """Publish one decision's event; its id is the same however often it is sent.

        Raises Unavailable when EventBridge does not take it.
        """
        detail_type = _DETAIL_TYPES.get(decision.outcome)
        if detail_type is None:
            return
        entry: PutEventsRequestEntryTypeDef = {
            "Source": EVENT_SOURCE,
            "DetailType": detail_type,
            "Detail": json.dumps(event_detail(decision, self._settings)),
            "EventBusName": self._settings.event_bus,
            "Time": decision.decided_at,
        }
        with calling("PutEvents"):
            answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise Unavailable(f"PutEvents: {answer['Entries'][0].get('ErrorCode')}")

    def outcome(
        self,
        outcome: Outcome,
        certificate_id: str,
        decision: Decision | None = None,
        *,
        sent_at: datetime | None = None,
    ) -> None:
        """Log and count one outcome."""
        fields: dict[str, Any] = {"certificate_id": certificate_id}
        if decision:
            fields |= decision_fields(decision)
        self._logger.info("device %s", outcome.value, extra=fields)
        self.count(_METRIC_OF[outcome])
        if decision and outcome is Outcome.ACTIVATED and sent_at:
            seconds = max((decision.decided_at - sent_at).total_seconds(), 0)
            self._metrics.add_metric(SECONDS_TO_ACTIVE, MetricUnit.Seconds, seconds)

    def count(self, metric: str) -> None:
        self._metrics.add_metric(metric, MetricUnit.Count, 1)

    def warn(self, happening: str, metric: str, **fields: Any) -> None:
        """Log and count what somebody should look at, if it goes on."""
        self._logger.warning(happening, extra=fields)
        self.count(metric)

    def failure(self, happening: str, **fields: Any) -> None:
        """Log, with the traceback, and count an error that is nobody's answer about a device."""
        self._logger.exception(happening, extra=fields)  # noqa: LOG004 -- called from handlers' except blocks only
        self.count(FAILURES)

    def flush(self) -> None:
        """Write the metrics of one invocation (EMF, one line)."""
        self._metrics.flush_metrics()


def event_detail(decision: Decision, settings: Settings) -> dict[str, Any]:
    """The detail of the EventBridge event, version 1."""
    return {
        "version": EVENT_VERSION,
        "id": _event_id(decision, settings),
        "fleet": settings.fleet,
        "account": settings.account_id,
        "region": settings.region,
        **decision_fields(decision),
    }


def decision_fields(decision: Decision) -> dict[str, Any]:
    """A decision for logs and events: the ids that an operator searches for, and why; what is None is left out."""
    fields = {
        "certificate_id": decision.certificate_id,
        "ca_certificate_id": decision.ca_certificate_id,
        "ca": decision.ca,
        "outcome": decision.outcome.value,
        "reason": decision.reason.name if decision.reason else None,
        "detail": decision.detail,
        "thing_name": decision.thing_name,
        "status": decision.status.value,
        "would_reject": [reason.name for reason in decision.would_reject] or None,
        "decided_at": decision.decided_at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _event_id(decision: Decision, settings: Settings) -> str:
    """Names one decision on one registration, so that a consumer can drop what it has seen."""
    parts = (
        settings.account_id,
        settings.region,
        decision.certificate_id,
        f"{decision.registered_at.timestamp():.0f}",
        decision.outcome.value,
        decision.reason.name if decision.reason else "",
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
