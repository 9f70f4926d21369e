"""Makes the input of the processor benches: a CA, its devices, their rules, and messages of the queue."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jitr.aws.rate_limit import BATCH_SIZE
from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.rules import Rules
from jitr.settings import Settings
from jitr.store import registry_writes
from simulation import Authority
from simulation.deployment import ca_rules, rules

_QUEUES = "https://sqs.eu-central-1.amazonaws.com/111111111111"
SETTINGS = Settings(
    fleet="acme",
    account_id="111111111111",
    region="eu-central-1",
    registry_table="jitr-acme-registry",
    crl_bucket="jitr-acme-crl-111111111111-eu-central-1",
    enrollment_table="jitr-acme-enrollment",
    registrations_queue_url=f"{_QUEUES}/jitr-acme-registrations",
    dead_letter_queue_url=f"{_QUEUES}/jitr-acme-dead-letters",
    crl_queue_url=f"{_QUEUES}/jitr-acme-crls",
    event_bus="default",
    activations_per_second=1e6,  # nothing waits for its turn
    max_concurrency=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A CA and its devices."""

    authority: Authority
    certificates: dict[str, str]  # certificate id → PEM
    decided: tuple[str, ...]  # ids of more certificates, which were activated before
    rules: Rules

    @property
    def ca(self) -> tuple[str, str]:
        return self.authority.certificate_id, self.authority.pem

    @property
    def document(self) -> dict[str, Any]:
        """The input of another process: arguments of `canned.Canned`, one device's event, and events for warm.py."""
        ids = list(self.certificates)
        return {
            "canned": {
                "certificates": self.certificates,
                "ca": self.ca,
                "items": {f"certificate#{one}": self._decided(one) for one in self.decided},
            },
            "event": self.batch([ids[0]]),
            "new": [self.batch(ids[start : start + BATCH_SIZE]) for start in range(0, len(ids), BATCH_SIZE)],
            "duplicates": [
                self.batch(list(self.decided[start : start + BATCH_SIZE]))
                for start in range(0, len(self.decided), BATCH_SIZE)
            ],
        }

    def _decided(self, certificate_id: str) -> dict[str, Any]:
        """The item of a certificate that was activated a moment ago, as register writes it."""
        now = datetime.now(UTC)
        decision = Decision(
            certificate_id=certificate_id,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=now,
            decided_at=now,
            rules_digest=self.rules.digest,
            ca_certificate_id=self.authority.certificate_id,
            ca="factory",
            thing_name="sensor-000001",
            serial="1f" * 16,
            issuer="CN=factory",
            subject="CN=sensor-000001",
        )
        update = registry_writes.record_decision(SETTINGS.registry_table, decision, denied=False)
        written = update["ExpressionAttributeValues"][":decision"]
        return {"id": {"S": f"certificate#{certificate_id}"}, "decision": written, "schema": {"N": "1"}}

    def batch(self, certificate_ids: list[str]) -> dict[str, Any]:
        """A Lambda event, a message for each id."""
        return {"Records": [self._record(number, one) for number, one in enumerate(certificate_ids)]}

    def _record(self, number: int, certificate_id: str) -> dict[str, Any]:
        body = {
            "certificateId": certificate_id,
            "caCertificateId": self.authority.certificate_id,
            "timestamp": 1793534400277,
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": SETTINGS.account_id,
            "certificateRegistrationTimestamp": None,
        }
        return {
            "messageId": f"message-{number}",
            "receiptHandle": "handle",
            "body": json.dumps(body),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1793534400300"},
        }


def situation(devices: int = 1, *, decided: int = 0) -> Situation:
    """A situation whose devices are admitted today."""
    authority = Authority.new("factory")
    now = datetime.now(UTC)
    leaves = [
        authority.issue(f"sensor-{number:06}", not_before=now - timedelta(days=1), not_after=now + timedelta(days=365))
        for number in range(devices)
    ]
    return Situation(
        authority=authority,
        certificates={leaf.certificate_id: leaf.pem for leaf in leaves},
        decided=tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(decided)),
        rules=rules(ca_rules(authority)),
    )
