"""An operator's verdicts on EventBridge, as docs/events/operator-verdict.v1.schema.json describes them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from jitr.edge import calling
from jitr.telemetry import EVENT_SOURCE, EVENT_VERSION, VERDICT_DETAIL_TYPE
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from jitr.decisions import Verdict
    from jitrctl.stages import Stage

EVENT_BUS = "default"


def announce(stage: Stage, certificate_id: str, verdict: Verdict, status: str | None) -> None:
    """Tell the rest of the account's systems of a verdict that has been carried out.

    Raises Refused when EventBridge does not take it; Unavailable, botocore's errors.
    """
    entry = {
        "Source": EVENT_SOURCE,
        "DetailType": VERDICT_DETAIL_TYPE,
        "Detail": json.dumps(verdict_detail(stage, certificate_id, verdict, status)),
        "EventBusName": EVENT_BUS,
        "Time": verdict.at,
    }
    with calling("PutEvents"):
        answer = stage.access.client("events").put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        said = answer["Entries"][0].get("ErrorCode")
        raise Refused(
            f"it was {verdict.word}, but EventBridge did not take the announcement ({said}): give the same order again"
        )


def verdict_detail(stage: Stage, certificate_id: str, verdict: Verdict, status: str | None) -> dict[str, Any]:
    """The detail of the event, version 1; `status` is the certificate's then, None when it is not registered there."""
    told = {
        "fleet": stage.fleet.name,
        "account": stage.account.id,
        "region": stage.region,
        "certificate_id": certificate_id,
        "verdict": verdict.word.value,
        "by": verdict.by,
        "at": verdict.at.isoformat(timespec="milliseconds"),
    }
    return {
        "version": EVENT_VERSION,
        "id": hashlib.sha256("|".join(told.values()).encode()).hexdigest()[:32],
        **told,
        **({"note": verdict.note} if verdict.note else {}),
        **({"status": status} if status else {}),
    }
