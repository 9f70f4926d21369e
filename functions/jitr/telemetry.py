"""Reports decisions: a log line and metrics for each outcome, and EventBridge events.

It defines all names of metrics and log events. Ids, names, subjects and reasons may be logged; a PEM, a key or a token
never.
"""

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from jitr.aws.calls import calling, entry_error, is_throttle
from jitr.brake import Engagement
from jitr.decisions import Decision, Outcome
from jitr.errors import NAME_LOST, Reason
from jitr.event_details import EVENT_VERSION, brake_detail, broken_detail, decision_fields, event_detail
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import CaRules
from jitr.settings import Settings
from jitr.verdict_events import verdict_detail
from jitr.verdicts import OperatorVerdict

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from mypy_boto3_iot import IoTClient

METRICS_NAMESPACE = "jitr"
EVENT_SOURCE = "jitr"
# The message of the log line of every outcome; its field `outcome` says which.
OUTCOME_EVENT = "device outcome"

DETAIL_TYPES = {
    Outcome.ACTIVATED: "Device Activated",
    Outcome.REJECTED: "Device Rejected",
    Outcome.HELD: "Device Held",
    Outcome.REPLACED: "Device Replaced",
}
# A second device with a known name; it has its own detail type for alarms.
DUPLICATE_DETAIL_TYPE = "Device Duplicate"
# A device that was activated in an account where it does not belong; from the hub.
OUT_OF_PLACE_DETAIL_TYPE = "Device Out Of Place"
# The brake of a CA was engaged.
BRAKE_DETAIL_TYPE = "Rules Refuse Many"
BROKEN_DETAIL_TYPE = "Device Broken"  # an ACTIVE certificate lacks its thing or a policy
VERDICT_DETAIL_TYPE = "Operator Verdict"  # from jitrctl, or from `register` when it carries an order out
REVOKED_DETAIL_TYPE = "Device Revoked"  # a CRL revoked a registered certificate, or suspended it for a hold
_METRIC_OF = {
    Outcome.ACTIVATED: "Activated",
    Outcome.REJECTED: "Rejected",
    Outcome.HELD: "Held",
    Outcome.REPLACED: "Replaced",
    Outcome.FOUND: "Found",
    Outcome.DUPLICATE: "Duplicates",
    Outcome.GONE: "Gone",
}
CONTRADICTIONS = "Contradictions"  # events that differ from the certificate's registration
UNREADABLE_MESSAGES = "UnreadableMessages"
PUT_OFF = "PutOff"  # messages that wait because AWS throttles or fails
LEFT_TO_SWEEP = "LeftToSweep"  # messages that waited too often: deleted, the sweep sends their certificates again
NOT_ITS_TURN = "NotItsTurn"  # deleted messages about held devices, which the sweep evaluates in turn
NOT_PERMITTED = "NotPermitted"  # attempts that AWS refused, since the deployment lacks a permission
FAILURES = "Failures"  # attempts that ended in an error of jitr or of the deployment
BROKEN = "Broken"  # ACTIVE certificates that lack their thing or a policy
OUT_OF_PLACE = "OutOfPlace"  # devices that are ACTIVE in an account where they do not belong
SWEPT = "Swept"  # certificates that the sweep sent to the queue
SWEEP_BEHIND = "SweepBehind"  # 1 for a sweep that sent nothing since the queue was behind, else 0
SECONDS_TO_ACTIVE = "SecondsToActive"  # from the event's arrival in the queue

THROTTLES = "Throttles"  # answers of AWS that ask for patience, retried ones too
SCHEDULE_UNAVAILABLE = "ScheduleUnavailable"  # batches, and calls of the sweep, that took a share of the rate
DISAGREEMENTS = "Disagreements"  # certificates, also CAs', that are ACTIVE against an operator's order
REVOKED_BY_CRL = "RevokedByCrl"  # certificates that a CRL revoked
SUSPENDED_BY_CRL = "SuspendedByCrl"  # ACTIVE certificates that a hold in a CRL deactivated
HOLDS_LIFTED = "HoldsLifted"  # suspended certificates whose hold a later CRL lifted
LISTED_ACTIVE = "ListedActive"  # ACTIVE certificates that a CRL lists, where fleet.toml only observes it
CRL_REFUSED = "CrlRefused"  # 1 while the published CRL of a CA may not be applied, else 0
CRL_WAITS = "CrlWaits"  # 1 while a CRL takes out so many devices that an operator has to say yes, else 0
CRL_LATE = "CrlLate"  # 1 while the CRL of a CA that is enforced is stale, nearly so, unusable or missing, else 0
REJECTED_FOR = "RejectedFor"  # rejections by reason, where fleet.toml asks for them
# 100 for each certificate that is rejected and 0 for each that is activated: its average is the rejection rate, without
# metric math, which an alarm on a search or a quotient would need.
REJECTED_SHARE = "RejectedShare"
RULES_REFUSE_MANY = "RulesRefuseMany"  # 1 while the brake of a CA is engaged, else 0
WAITING = "Waiting"  # certificates that the sweep found pending for longer than the ordinary path takes
# ACTIVE certificates that end soon and that no other one has followed; reported by every sweep
EXPIRING = "Expiring"
CA_DAYS_LEFT = "CaDaysLeft"  # days until the CA's certificate expires; reported by every sweep
# Attempts of calls of the APIs whose quotas limit activation.
CALLS_OF = {
    "DescribeCertificate": "DescribeCertificateCalls",
    "UpdateCertificate": "UpdateCertificateCalls",
    "AttachPolicy": "AttachPolicyCalls",
}

# Metrics of which every value is written, with their units; of all others, the sum over an invocation.
_MEASURED = {
    SECONDS_TO_ACTIVE: MetricUnit.Seconds,
    REJECTED_SHARE: MetricUnit.Percent,
    WAITING: MetricUnit.Count,
    EXPIRING: MetricUnit.Count,
    CA_DAYS_LEFT: MetricUnit.NoUnit,
    RULES_REFUSE_MANY: MetricUnit.NoUnit,
    CRL_REFUSED: MetricUnit.NoUnit,
    CRL_WAITS: MetricUnit.NoUnit,
    CRL_LATE: MetricUnit.NoUnit,
}
NO_CA = "none"
# Metrics per CA; certificates without a known CA, and all other metrics, count under NO_CA.
BY_CA = frozenset({*_METRIC_OF.values(), SECONDS_TO_ACTIVE, REJECTED_SHARE, WAITING, CA_DAYS_LEFT, RULES_REFUSE_MANY})

METRIC_NAMES = (
    *_METRIC_OF.values(),
    CONTRADICTIONS,
    UNREADABLE_MESSAGES,
    PUT_OFF,
    LEFT_TO_SWEEP,
    NOT_ITS_TURN,
    NOT_PERMITTED,
    FAILURES,
    BROKEN,
    OUT_OF_PLACE,
    SWEPT,
    SWEEP_BEHIND,
    THROTTLES,
    SCHEDULE_UNAVAILABLE,
    DISAGREEMENTS,
    REVOKED_BY_CRL,
    SUSPENDED_BY_CRL,
    HOLDS_LIFTED,
    LISTED_ACTIVE,
    *_MEASURED,
    *CALLS_OF.values(),
    REJECTED_FOR,
)


class Counts:
    """The metrics of one invocation, by CA; those without a CA have the CA `none`. Safe for threads."""

    def __init__(self, *, fleet: str) -> None:
        self._fleet = fleet
        self._by_ca: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._by_reason: Counter[tuple[str, Reason]] = Counter()
        self._lock = threading.Lock()

    def add(self, metric: str, number: float = 1, *, ca: str = NO_CA) -> None:
        """Add a number to a metric; only the metrics in BY_CA use the CA."""
        with self._lock:
            self._by_ca[ca if metric in BY_CA else NO_CA][metric].append(number)

    def count_calls(self, client: "IoTClient") -> None:
        """Count a client's attempts and throttles."""
        for operation, metric in CALLS_OF.items():
            client.meta.events.register(f"request-created.iot.{operation}", lambda metric=metric, **_: self.add(metric))
        client.meta.events.register(
            "needs-retry.iot", lambda response, **_: self.add(THROTTLES) if is_throttle(response) else None
        )

    def count_rejection(self, reason: Reason, *, ca: str) -> None:
        """Count a rejection by its reason, with dimensions fleet, ca and reason."""
        with self._lock:
            self._by_reason[ca, reason] += 1

    def flush(self) -> None:
        """Write one EMF line for each CA, with dimensions fleet and ca; nothing if nothing was counted."""
        for ca, metrics in self._by_ca.items():
            line = EphemeralMetrics(namespace=METRICS_NAMESPACE)
            line.set_default_dimensions(fleet=self._fleet, ca=ca)
            for metric, values in metrics.items():
                for value in values if metric in _MEASURED else [sum(values)]:
                    line.add_metric(metric, _MEASURED.get(metric, MetricUnit.Count), value)
            line.flush_metrics()
        for (ca, reason), number in self._by_reason.items():
            line = EphemeralMetrics(namespace=METRICS_NAMESPACE)
            line.set_default_dimensions(fleet=self._fleet, ca=ca, reason=reason.name)
            line.add_metric(REJECTED_FOR, MetricUnit.Count, number)
            line.flush_metrics()
        self._by_ca.clear()
        self._by_reason.clear()


class Announcer:
    """Reports decisions by EventBridge (at least once), metrics and logs."""

    def __init__(self, events: "EventBridgeClient", settings: Settings, logger: Logger, counts: Counts) -> None:
        self._events = events
        self._settings = settings
        self._logger = logger
        self._counts = counts

    def announce(self, decision: Decision) -> None:
        """Publish one decision's event; repeated events have the same id.

        Raises Unavailable, NotPermitted when EventBridge refuses it.
        """
        detail_type = _detail_type(decision)
        if detail_type is None:
            return
        self._put(detail_type, event_detail(decision, self._settings), decision.decided_at)

    def announce_brake(self, rules: CaRules, engaged: Engagement) -> None:
        """Log and publish that the brake of a CA is engaged.

        Raises Unavailable, NotPermitted when EventBridge refuses it.
        """
        detail = brake_detail(rules, engaged, self._settings)
        self._logger.warning("rules refuse many", extra=detail)
        self._put(BRAKE_DETAIL_TYPE, detail, engaged.at)

    def announce_broken(
        self, device: DeviceRegistration, *, lacks: Sequence[str], ca: str | None, thing_name: str | None, at: datetime
    ) -> None:
        """Publish, log and count that an ACTIVE certificate lacks its thing or a policy (`lacks`).

        The event's id stays the same while the same registration lacks the same.

        Raises Unavailable, NotPermitted when EventBridge refuses it.
        """
        detail = broken_detail(device, self._settings, lacks=lacks, ca=ca, thing_name=thing_name, at=at)
        self._put(BROKEN_DETAIL_TYPE, detail, at)
        fields = {name: detail[name] for name in ("certificate_id", "ca", "thing_name", "lacks") if name in detail}
        self.warn("an ACTIVE certificate lacks its thing or a policy", BROKEN, **fields)

    def announce_verdict(self, certificate_id: str, verdict: OperatorVerdict, status: Status) -> None:
        """Publish an operator's verdict that the functions carried out; raises Unavailable, NotPermitted."""
        detail = verdict_detail(self._settings, certificate_id, verdict, status, version=EVENT_VERSION)
        self._put(VERDICT_DETAIL_TYPE, detail, verdict.at)

    def _put(self, detail_type: str, detail: Mapping[str, Any], at: datetime) -> None:
        put_event(self._events, self._settings.event_bus, detail_type, detail, at)

    def report_outcome(
        self,
        outcome: Outcome,
        certificate_id: str,
        decision: Decision | None = None,
        *,
        sent_at: datetime | None = None,
    ) -> None:
        """Log and count one outcome."""
        fields: dict[str, Any] = {"certificate_id": certificate_id, "outcome": outcome.value}
        if decision:
            fields |= decision_fields(decision)
        self._logger.info(OUTCOME_EVENT, extra=fields)
        ca = (decision.ca if decision else None) or NO_CA
        self._counts.add(_METRIC_OF[outcome], ca=ca)
        if self._settings.rejections_by_reason and decision and outcome is Outcome.REJECTED and decision.reason:
            self._counts.count_rejection(decision.reason, ca=ca)
        if decision and outcome is Outcome.ACTIVATED and sent_at:
            seconds = max((decision.decided_at - sent_at).total_seconds(), 0)
            self._counts.add(SECONDS_TO_ACTIVE, seconds, ca=ca)
        if decision and outcome in (Outcome.ACTIVATED, Outcome.REJECTED):
            self._counts.add(REJECTED_SHARE, 100 if outcome is Outcome.REJECTED else 0, ca=ca)

    def count(self, metric: str, number: float = 1, *, ca: str = NO_CA) -> None:
        self._counts.add(metric, number, ca=ca)

    def note(self, message: str, **fields: Any) -> None:
        """Log an action that needs no attention."""
        self._logger.info(message, extra=fields)

    def warn(self, message: str, metric: str, **fields: Any) -> None:
        """Log and count a condition that needs attention if it persists."""
        self._logger.warning(message, extra=fields)
        self._counts.add(metric)

    def log_failure(self, message: str, **fields: Any) -> None:
        """Log an unexpected error with its traceback, and count it."""
        self._logger.exception(message, extra=fields)  # noqa: LOG004 -- called from handlers' except blocks only
        self._counts.add(FAILURES)

    def log_not_permitted(self, message: str, **fields: Any) -> None:
        """Log a call that the deployment may not make, with the traceback, and count it; the text names the action."""
        self._logger.exception(message, extra=fields)  # noqa: LOG004 -- as `log_failure`
        self._counts.add(NOT_PERMITTED)

    def flush(self) -> None:
        """Write the metrics of one invocation (EMF, a line for each CA)."""
        self._counts.flush()


def put_event(events: "EventBridgeClient", bus: str, detail_type: str, detail: Mapping[str, Any], at: datetime) -> None:
    """Put one event of jitr's on an EventBridge bus.

    Raises Unavailable, NotPermitted when EventBridge refuses it.
    """
    entry: PutEventsRequestEntryTypeDef = {
        "Source": EVENT_SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "EventBusName": bus,
        "Time": at,
    }
    with calling("PutEvents"):
        answer = events.put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise entry_error("PutEvents", answer["Entries"][0].get("ErrorCode"))


def _detail_type(decision: Decision) -> str | None:
    if decision.outcome is Outcome.FOUND and decision.reason is not None:
        return REVOKED_DETAIL_TYPE
    return DUPLICATE_DETAIL_TYPE if decision.reason in NAME_LOST else DETAIL_TYPES.get(decision.outcome)
