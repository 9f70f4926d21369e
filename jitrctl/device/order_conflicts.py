"""What an order on a certificate has to consider beside it: its twin, and a claim that is under way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitr.admission.applicant import Applicant
from jitr.errors import CertificateUnknown
from jitr.store.registry_writes import STALE_INTENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitr.aws.iot import AwsIot
    from jitr.record import Record
    from jitr.rules import Rules
    from jitr.store.registry import Registry

_POLL = 0.5  # seconds


def find_twins(certificate_id: str, record: Record, *, iot: AwsIot, rules: Rules) -> set[str]:
    """The ids of the certificate's twins (jitr/x509/signature_twin.py): one, or none.

    From the record; for a certificate without one, from what AWS IoT has.

    Raises Unavailable.
    """
    recorded = {one.twin_id for one in (record.decision, record.intent) if one and one.twin_id}
    if recorded:
        return recorded
    try:
        twin_id = Applicant.of(iot.describe(certificate_id), rules).twin_id
    except CertificateUnknown:
        return set()
    return {twin_id} if twin_id else set()


def wait_out_claim(
    registry: Registry,
    certificate_id: str,
    before: Record,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the claim that was under way is recorded, or so old that its function must have ended.

    Counts from now by the operator's clock: the claim's own time is by the function's clock.

    Raises Unavailable.
    """
    if before.intent is None:
        return
    until = monotonic() + STALE_INTENT.total_seconds()
    while monotonic() < until:
        record = registry.recall([certificate_id])[certificate_id]
        if record.intent is None or record.intent.decided_at != before.intent.decided_at:
            return
        sleep(_POLL)
