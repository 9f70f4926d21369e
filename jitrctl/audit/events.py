"""Publishes operators' verdicts to EventBridge, as docs/events/operator-verdict.v1.schema.json describes them.

Orders that are no verdicts use `publish_event` and `event_detail`, too (jitrctl/audit/record.py).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.calls import calling
from jitr.errors import NotPermitted, Unavailable
from jitr.event_details import EVENT_VERSION
from jitr.telemetry import EVENT_SOURCE, VERDICT_DETAIL_TYPE
from jitrctl.errors import Refused
from jitrctl.session.aws_errors import explain

if TYPE_CHECKING:
    from datetime import datetime

    from jitr.iot_models import Status
    from jitr.verdicts import OperatorAction, OperatorVerdict
    from jitrctl.session.stage import Stage

EVENT_BUS = "default"


def publish_own_verdict(stage: Stage, certificate_id: str, action: OperatorAction, status: Status | None) -> None:
    """Publish the verdict that this operator has just given on a certificate, once it is carried out.

    Another operator's verdict that came since is published by that operator.

    Raises Refused when it cannot be published; Unavailable.
    """
    verdict = stage.registry.recall([certificate_id])[certificate_id].verdict
    if verdict is None or (verdict.action, verdict.by) != (action, stage.caller):
        return
    why = publish_event(stage, VERDICT_DETAIL_TYPE, verdict_detail(stage, certificate_id, verdict, status), verdict.at)
    if why:
        raise Refused(f"it was {verdict.action}, but could not be announced ({why}): give the same order again")


def verdict_detail(stage: Stage, certificate_id: str, verdict: OperatorVerdict, status: str | None) -> dict[str, Any]:
    """The event's detail, version 1; `status` is the certificate's after the order, None when it is not registered."""
    detail = event_detail(
        stage,
        certificate_id=certificate_id,
        verdict=verdict.action.value,
        by=verdict.by,
        at=verdict.at.isoformat(timespec="milliseconds"),
    )
    return detail | ({"note": verdict.note} if verdict.note else {}) | ({"status": status} if status else {})


def event_detail(stage: Stage, **fields: str) -> dict[str, Any]:
    """The fields that every detail has; equal fields get the same `id`, however often they are sent."""
    fields = {"fleet": stage.fleet.name, "account": stage.account.id, "region": stage.region, **fields}
    return {
        "version": EVENT_VERSION,
        "id": hashlib.sha256("|".join(fields.values()).encode()).hexdigest()[:32],
        **fields,
    }


def publish_event(stage: Stage, detail_type: str, detail: dict[str, Any], at: datetime) -> str | None:
    """Put one event on the account's bus; returns why that failed, None when it succeeded.

    AWS's errors are not raised: the order that the event reports is carried out, and the caller has to say so first.
    """
    entry = {
        "Source": EVENT_SOURCE,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "EventBusName": EVENT_BUS,
        "Time": at,
    }
    try:
        with calling("PutEvents"):
            answer = stage.access.client("events").put_events(Entries=[entry])
    except NotPermitted as error:
        return explain(error)
    except Unavailable as error:
        return str(error)
    except (BotoCoreError, ClientError) as error:
        return explain(error)
    if answer["FailedEntryCount"]:
        return f"EventBridge did not take it: {answer['Entries'][0].get('ErrorCode')}"
    return None
