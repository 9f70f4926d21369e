"""Settings, decisions, owners and verdicts that many tests begin with."""

from dataclasses import replace
from datetime import datetime, timedelta

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.settings import Settings
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW

ID = "ab" * 32
OTHER_ID = "cd" * 32
CA_ID = "ef" * 32
ANN = "arn:aws:iam::111111111111:user/ann"
MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

# With every field that a decision must have, and with every field that it can have.
LEAST = Decision(
    certificate_id=ID,
    outcome=Outcome.FOUND,
    status=Status.ACTIVE,
    registered_at=NOW,
    decided_at=NOW + 285 * MILLISECOND,
    rules_digest="0123456789abcdef",
)
MOST = Decision(
    certificate_id=ID,
    outcome=Outcome.HELD,
    status=Status.PENDING_ACTIVATION,
    registered_at=NOW,
    decided_at=NOW + 285 * MILLISECOND,
    rules_digest="0123456789abcdef",
    ca_certificate_id=CA_ID,
    ca="factory",
    thing_name="sensor-0001",
    reason=Reason.THING_TAKEN,
    detail="thing sensor-0001 is another's",
    would_reject=(Reason.EXPIRED, Reason.KEY_TYPE_REFUSED),
    serial="0a1b",
    twin_id="7c" * 32,
    reader="second",
    issuer="CN=Äcme",
    subject="CN=sensor-0001",
    replaces="01" * 32,
    replaced_by="02" * 32,
    requested_name="sensor-0001",
    crl='"0123456789abcdef"',
    enrollment="fedcba9876543210",
    attempts=3,
    after=NOW - DAY,
    verdict_seen=4,
    brake=2,
    release=3,
    not_before=NOW - DAY,
    not_after=NOW + 300 * DAY,
)
ACTIVATION = replace(
    MOST,
    outcome=Outcome.ACTIVATED,
    status=Status.ACTIVE,
    reason=None,
    detail=None,
    replaces=None,
    replaced_by=None,
    release=None,
)
REJECTION = replace(MOST, outcome=Outcome.REJECTED, status=Status.INACTIVE, reason=Reason.EXPIRED, release=None)

OWNER = Owner(
    certificate_id=ID,
    ca_certificate_id=CA_ID,
    serial="0a1b",
    issued_at=NOW - DAY,
    ends_at=NOW + 365 * DAY,
    registered_at=NOW,
)
ANOTHER = replace(OWNER, certificate_id=OTHER_ID, serial="0a1c")


def said(word: OperatorAction, at: datetime = NOW, note: str = "") -> OperatorVerdict:
    """An operator's verdict."""
    return OperatorVerdict(action=word, by=ANN, at=at, note=note)


SETTINGS = Settings(
    fleet="acme",
    account_id="011111111111",
    region="eu-central-1",
    registry_table="jitr-acme-registry",
    crl_bucket="jitr-acme-crl-111111111111-eu-central-1",
    enrollment_table="jitr-acme-enrollment",
    registrations_queue_url="https://sqs.eu-central-1.amazonaws.com/011111111111/jitr-acme-registrations",
    dead_letter_queue_url="https://sqs.eu-central-1.amazonaws.com/011111111111/jitr-acme-dead-letters",
    crl_queue_url="https://sqs.eu-central-1.amazonaws.com/011111111111/jitr-acme-crls",
    event_bus="default",
    activations_per_second=10,
    max_concurrency=15,
)
