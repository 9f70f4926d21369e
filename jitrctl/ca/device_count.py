"""How many devices a CA has in a stage: as the sweep counted them, or listed now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.store.sweep_state import ACCOUNT, counted_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCount:
    """How many certificates a CA has in each status."""

    counted_at: datetime | None  # the end of the sweep's last count; None: now
    by_status: Mapping[str, int]  # as AWS lists them by CA, or as jitr's records name the CA, whichever is more
    unlisted: int = 0  # so many more than AWS lists are known from records

    @property
    def live(self) -> int:
        """Those that devices use, or wait to."""
        return self.by_status.get(Status.ACTIVE, 0) + self.by_status.get(Status.PENDING_ACTIVATION, 0)


def read_last_count(stage: Stage, ca_certificate_id: str) -> DeviceCount | None:
    """What the sweep's last count says; None before there was one, or a stack.

    Raises Unavailable, botocore's errors.
    """
    try:
        last = stage.journal.last_pass(ca_certificate_id)
        if not last.finished_at:
            return None
        return _with_known(stage, ca_certificate_id, last.counts, last.finished_at)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def count_now(stage: Stage, ca_certificate_id: str) -> DeviceCount:
    """Every certificate that AWS lists of a registered CA, counted now: a call for each 250.

    What AWS does not list is taken from the sweep's last full pass.

    Raises Unavailable, botocore's errors.
    """
    counts: Counter[str] = Counter()
    for page in stage.aws_iot.certificates_of(ca_certificate_id):
        counts.update(one.status.value for one in page.certificates)
    try:
        return _with_known(stage, ca_certificate_id, counts, None)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return DeviceCount(counted_at=None, by_status=dict(counts))


def _with_known(
    stage: Stage, ca_certificate_id: str, listed: Mapping[str, int], counted_at: datetime | None
) -> DeviceCount:
    """A count of what AWS lists by CA, with what the full pass knew of it from records and AWS does not list."""
    passed = stage.journal.last_pass(ACCOUNT).counts
    known = {status.value: passed.get(counted_of(ca_certificate_id, status), 0) for status in Status}
    unlisted = max(0, sum(known.values()) - sum(listed.values()))
    if not unlisted:
        return DeviceCount(counted_at=counted_at, by_status=dict(listed))
    most = {status: max(number, listed.get(status, 0)) for status, number in known.items()}
    by_status = {status: number for status, number in most.items() if number}
    return DeviceCount(counted_at=counted_at, by_status=by_status, unlisted=unlisted)
