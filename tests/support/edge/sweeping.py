"""What the sweep finds (certificates as AWS IoT lists them, decisions in the registry) and what it sends."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from tests.support.cases.issuing import DAY, NOW, factory, named
from tests.support.cloud import Cloud, Wire
from tests.support.examples import ACTIVATION, HOUR, MINUTE


def listed_certificate(number: int, age: timedelta = HOUR, status: str = "PENDING_ACTIVATION") -> dict[str, Any]:
    """A certificate as ListCertificates names it; its number is its id."""
    return {"certificateId": f"{number:064x}", "status": status, "creationDate": NOW - age}


@dataclass
class Listing:
    """What AWS lists of each CA, and of all of them, in pages, and how old the queue's oldest message is."""

    of: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    page: int = 250
    age: float | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "caCertificateId" in asked:
            certificates = self.of.get(asked["caCertificateId"], [])
        else:
            certificates = [one for of_ca in self.of.values() for one in of_ca]
        start = int(asked.get("marker", 0))
        end = start + self.page
        return {"certificates": certificates[start:end]} | ({"nextMarker": str(end)} if end < len(certificates) else {})

    def points(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Datapoints": [{"Timestamp": NOW - MINUTE, "Maximum": self.age}] if self.age is not None else []}

    def __call__(self, *certificates: dict[str, Any]) -> None:
        """Let the factory's CA have these, newest first."""
        self.of[factory().certificate_id] = list(certificates)


def sent_ids(wire: Wire) -> list[str]:
    """The ids that were sent to the queue."""
    entries = [entry for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    return [json.loads(entry["MessageBody"])["certificateId"] for entry in entries]


def has_time_for(calls: int) -> Callable[[], bool]:
    """Whether there is time left, as the sweep asks: yes to so many questions, and no to all later ones."""
    left = iter([True] * calls)
    return lambda: next(left, False)


def record_decision(cloud: Cloud, *, at: datetime, number: int = 1, **changes: Any) -> Decision:
    """Record an activation, or what `changes` make of it, under the rules of now."""
    decision = replace(
        ACTIVATION,
        certificate_id=f"{number:064x}",
        registered_at=NOW - HOUR,
        decided_at=at,
        rules_digest=cloud.rules.digest,
        attempts=1,
    )
    decision = replace(decision, **changes)
    cloud.registry.record(decision)
    return decision


# What makes an activation a hold.
HELD_FIELDS: dict[str, Any] = {
    "outcome": Outcome.HELD,
    "status": Status.PENDING_ACTIVATION,
    "reason": Reason.CA_INACTIVE,
}


def rotate(cloud: Cloud, name: str = "sensor-0001") -> tuple[str, str]:
    """Let a device change its certificate; the ids of the old one and the new one."""
    first = cloud.knock(factory().leaf(named(name), begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    second = cloud.knock(factory().leaf(named(name)))
    for device in (first, second):
        assert cloud.batch(cloud.record(cloud.event(device))) == []
        assert cloud.status(device) == "ACTIVE"
    return first, second


def daily_counts(cloud: Cloud) -> dict[str, int]:
    """What the daily pass has counted of the factory's CA, by status."""
    return dict(cloud.journal.full_pass(factory().certificate_id).counts)


def listed_certificates(*statuses: str) -> Iterable[dict[str, Any]]:
    """Certificates of these statuses, a month old, numbered from 1."""
    return (listed_certificate(number, 30 * DAY, status) for number, status in enumerate(statuses, 1))
