"""Counts a CA's devices in a stage: from the sweep's last count, or by listing them now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.store.sweep_state import ACCOUNT, count_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCount:
    """The number of a CA's certificates in each status."""

    counted_at: datetime | None  # the end of the sweep's last count; None: now
    by_status: Mapping[str, int]  # the greater of AWS's list by CA and jitr's records
    unlisted: int = 0  # how many more the records know than AWS lists

    @property
    def live(self) -> int:
        """Those that are ACTIVE or pending."""
        return self.by_status.get(Status.ACTIVE, 0) + self.by_status.get(Status.PENDING_ACTIVATION, 0)


def read_last_count(stage: Stage, ca_certificate_id: str) -> DeviceCount | None:
    """The sweep's last count; None without a count or a stack.

    Raises Unavailable, botocore's errors.
    """
    try:
        last = stage.journal.last_pass(ca_certificate_id)
        if not last.finished_at:
            return None
        return _add_recorded(stage, ca_certificate_id, last.counts, last.finished_at)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def count_now(stage: Stage, ca_certificate_id: str) -> DeviceCount:
    """Count the certificates that AWS lists under a registered CA: one call for 250 of them.

    Certificates that AWS does not list are taken from the sweep's last full pass.

    Raises Unavailable, botocore's errors.
    """
    counts: Counter[str] = Counter()
    for page in stage.paced_iot.certificates_of(ca_certificate_id):
        counts.update(one.status.value for one in page.certificates)
    try:
        return _add_recorded(stage, ca_certificate_id, counts, None)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return DeviceCount(counted_at=None, by_status=dict(counts))


def _add_recorded(
    stage: Stage, ca_certificate_id: str, listed: Mapping[str, int], counted_at: datetime | None
) -> DeviceCount:
    """A count of what AWS lists by CA, extended by what the full pass knew from records."""
    passed = stage.journal.last_pass(ACCOUNT).counts
    known = {status.value: passed.get(count_key(ca_certificate_id, status), 0) for status in Status}
    unlisted = max(0, sum(known.values()) - sum(listed.values()))
    if not unlisted:
        return DeviceCount(counted_at=counted_at, by_status=dict(listed))
    most = {status: max(number, listed.get(status, 0)) for status, number in known.items()}
    by_status = {status: number for status, number in most.items() if number}
    return DeviceCount(counted_at=counted_at, by_status=by_status, unlisted=unlisted)
