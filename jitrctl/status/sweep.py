"""Reads when the sweep last ran in a stage, and whether that is late for its schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from jitr.store.sweep_state import ACCOUNT, count_key
from jitr.sweep.expiring import EXPIRING
from jitrctl.status.sources import count_unclaimed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitr.store.sweep_state import LastRun
    from jitrctl.session.stage import Stage

LATE_AFTER = 3  # intervals of the schedule without a finished sweep, as the alarm `sweep-not-run` has it


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepHealth:
    """The sweep of a stage."""

    last_run: LastRun | None  # the last sweep that came to its end
    counted_at: datetime | None  # the end of the last daily count, of the CA with the oldest one
    expiring: Mapping[str, int] = field(default_factory=dict)  # by the CA's name, as the last full pass counted them
    unclaimed: Mapping[str, int] = field(default_factory=dict)  # by status: certificates of no CA and no source

    def late_by(self, *, every: int, deployed_at: datetime | None, now: datetime) -> timedelta | None:
        """For how long no sweep has finished, when that is too long; None when it is not.

        `every` is the schedule's interval in seconds. Without a run, the time counts from the deployment.
        """
        began = self.last_run.finished_at if self.last_run else deployed_at
        if began is None:
            return None
        gone = now - began
        return gone if gone > LATE_AFTER * timedelta(seconds=every) else None


def read_sweep(stage: Stage) -> SweepHealth:
    """Read the sweep's own notes; empty ones when there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        last_run = stage.journal.last_run()
        counted = stage.journal.last_pass(ACCOUNT).counts
        passes = {one.ca.certificate_id: stage.journal.last_pass(one.ca.certificate_id) for one in stage.account.cas}
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return SweepHealth(last_run=None, counted_at=None)
    known = [one.finished_at for one in passes.values() if one.finished_at]
    return SweepHealth(
        last_run=last_run,
        counted_at=min(known) if known and len(known) == len(passes) else None,
        expiring={
            one.ca.name: number
            for one in stage.account.cas
            if (number := counted.get(count_key(one.ca.certificate_id, EXPIRING), 0))
        },
        unclaimed=count_unclaimed(counted, {ca: one.counts for ca, one in passes.items()}),
    )
