"""Makes a decision of a certificate's status that was observed and not set by jitr; pure.

`register` observes it at an event or a replay, the daily pass in the list of a CA's certificates.
"""

from datetime import datetime

from jitr.decisions import Decision, Outcome
from jitr.iot_models import DeviceRegistration, ListedCertificate, Status
from jitr.record import Record
from jitr.rules import CaRules


def observe(
    certificate: DeviceRegistration | ListedCertificate,
    record: Record,
    *,
    ca_certificate_id: str | None,
    ca: CaRules | None,
    rules_digest: str,
    now: datetime,
) -> Decision:
    """The decision that records the observed status, with what the record knows about the certificate."""
    found = Decision(
        certificate_id=certificate.certificate_id,
        outcome=Outcome.FOUND,
        status=certificate.status,
        registered_at=certificate.created_at,
        decided_at=now,
        rules_digest=rules_digest,
        ca_certificate_id=ca_certificate_id,
        ca=ca.name if ca else None,
        verdict_seen=record.verdict_number,
    )
    return record.complete(found)


def is_unrecorded_status(certificate: ListedCertificate, record: Record, found: Decision) -> bool:
    """Whether a listed REVOKED or INACTIVE was set by another party, and is not recorded yet.

    A status that an operator's verdict ordered is known from the verdict. ACTIVE is not recorded from a list: it blocks
    no certificate, and an account from before jitr has many.
    """
    if certificate.status not in (Status.REVOKED, Status.INACTIVE) or not record.is_news(found):
        return False
    return record.verdict is None or not record.verdict.explains(certificate.status)
