"""How many devices a CA has in a stage: as the sweep counted them, or listed now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.registrations import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitrctl.stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many certificates a CA has in each status."""

    counted_at: datetime | None  # the end of the sweep's last full pass; None: now
    by_status: Mapping[str, int]

    @property
    def live(self) -> int:
        """Those that devices use, or wait to."""
        return self.by_status.get(Status.ACTIVE, 0) + self.by_status.get(Status.PENDING_ACTIVATION, 0)


def last_counted(stage: Stage, ca_certificate_id: str) -> Count | None:
    """What the sweep's last full pass counted; None before there was one, or a stack.

    Raises Unavailable, botocore's errors.
    """
    try:
        last = stage.journal.last_pass(ca_certificate_id)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None
    return Count(counted_at=last.finished_at, by_status=dict(last.counts)) if last.finished_at else None


def count_now(stage: Stage, ca_certificate_id: str) -> Count:
    """Every certificate of a registered CA, counted now: a call for each 250.

    Raises Unavailable, botocore's errors.
    """
    counts: Counter[str] = Counter()
    for page in stage.aws_iot.certificates_of(ca_certificate_id):
        counts.update(one.status.value for one in page.certificates)
    return Count(counted_at=None, by_status=dict(counts))
