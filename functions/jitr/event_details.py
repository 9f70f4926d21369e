"""Makes the details of jitr's EventBridge events, version 1 (docs/events); pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jitr.brake import Engagement
from jitr.decisions import Decision
from jitr.iot_models import DeviceRegistration
from jitr.rules import CaRules
from jitr.settings import Settings
from jitr.store.registry_items import milliseconds

EVENT_VERSION = "1"


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


def brake_detail(rules: CaRules, engaged: Engagement, settings: Settings) -> dict[str, Any]:
    """The detail of the EventBridge event about an engaged brake, version 1."""
    parts = (settings.account_id, settings.region, rules.certificate_id, engaged.rules, str(milliseconds(engaged.at)))
    return {
        "version": EVENT_VERSION,
        "id": hashlib.sha256("|".join(parts).encode()).hexdigest()[:32],
        "fleet": settings.fleet,
        "account": settings.account_id,
        "region": settings.region,
        "ca_certificate_id": rules.certificate_id,
        "ca": rules.name,
        "rules": engaged.rules,
        "refused": engaged.refused,
        "decisions": engaged.decisions,
        "usual_share": round(engaged.usual_share, 3),
        "reason": engaged.reason,
        "example": engaged.example,
        "at": engaged.at.isoformat(timespec="milliseconds"),
    }


def broken_detail(
    device: DeviceRegistration,
    settings: Settings,
    *,
    lacks: Sequence[str],
    ca: str | None,
    thing_name: str | None,
    at: datetime,
) -> dict[str, Any]:
    """The detail of the event `Device Broken`, version 1."""
    registered = f"{device.created_at.timestamp():.0f}"
    parts = (settings.account_id, settings.region, device.certificate_id, registered, "broken", *lacks)
    fields = {
        "version": EVENT_VERSION,
        "id": hashlib.sha256("|".join(parts).encode()).hexdigest()[:32],
        "fleet": settings.fleet,
        "account": settings.account_id,
        "region": settings.region,
        "certificate_id": device.certificate_id,
        "ca_certificate_id": device.ca_certificate_id,
        "ca": ca,
        "thing_name": thing_name,
        "lacks": list(lacks),
        "cure": f"jitrctl device reconcile {device.certificate_id}",
        "at": at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def decision_fields(decision: Decision) -> dict[str, Any]:
    """A decision's fields for logs and events; those that are None are omitted."""
    fields = {
        "certificate_id": decision.certificate_id,
        "ca_certificate_id": decision.ca_certificate_id,
        "ca": decision.ca,
        "outcome": decision.outcome.value,
        "reason": decision.reason.name if decision.reason else None,
        "rests_on": decision.rests_on.value if decision.rests_on else None,
        "by_brake": decision.is_braked or None,
        "detail": decision.detail,
        "thing_name": decision.thing_name,
        "replaces": decision.replaces,
        "replaced_by": decision.replaced_by,
        "status": decision.status.value,
        "would_reject": [reason.name for reason in decision.would_reject] or None,
        "decided_at": decision.decided_at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _event_id(decision: Decision, settings: Settings) -> str:
    """Identifies one decision on one registration, so that a consumer can drop repeated events.

    An equal decision after a different one gets another id, since it follows another decision.
    """
    parts = (
        settings.account_id,
        settings.region,
        decision.certificate_id,
        f"{decision.registered_at.timestamp():.0f}",
        decision.outcome.value,
        decision.reason.name if decision.reason else "",
        *((str(milliseconds(decision.after)),) if decision.after else ()),
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
