"""Decision events as EventBridge carries them to the hub."""

import json


def activation_event(certificate_id: str, fleet: str = "acme") -> str:
    """What EventBridge carries of an activation in dev."""
    detail = {
        "version": "1",
        "id": "0" * 32,
        "fleet": fleet,
        "account": "111111111111",
        "region": "eu-central-1",
        "certificate_id": certificate_id,
        "outcome": "activated",
        "status": "ACTIVE",
        "decided_at": "2026-10-05T12:00:00.000+00:00",
    }
    return json.dumps({"source": "jitr", "account": "111111111111", "region": "eu-central-1", "detail": detail})
