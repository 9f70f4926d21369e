"""Makes the detail of the event `Operator Verdict`, version 1, for an order that the functions carried out; pure.

docs/events/operator-verdict.v1.schema.json describes it. The event has the id that jitrctl gives the same verdict.
"""

import hashlib
from typing import Any

from jitr.iot_models import Status
from jitr.settings import Settings
from jitr.verdicts import OperatorVerdict


def verdict_detail(
    settings: Settings, certificate_id: str, verdict: OperatorVerdict, status: Status, *, version: str
) -> dict[str, Any]:
    """The event's detail; `status` is the certificate's after the order."""
    fields = {
        "fleet": settings.fleet,
        "account": settings.account_id,
        "region": settings.region,
        "certificate_id": certificate_id,
        "verdict": verdict.action.value,
        "by": verdict.by,
        "at": verdict.at.isoformat(timespec="milliseconds"),
    }
    return {
        "version": version,
        "id": hashlib.sha256("|".join(fields.values()).encode()).hexdigest()[:32],
        **fields,
        **({"note": verdict.note} if verdict.note else {}),
        "status": status.value,
    }
