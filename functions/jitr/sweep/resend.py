"""Decides from a record whether the sweep sends its certificate to the queue again; pure.

    undecided    PENDING_ACTIVATION, and no decision on its registration
    unfinished   an attempt began and recorded no decision; it may have set the status
    overdue      held or approved, and due for more than a day

The look back sends undecided certificates down to the horizon; the daily pass sends all three, of any age.
"""

from datetime import datetime, timedelta

from jitr.iot_models import ListedCertificate, Status
from jitr.record import Record

# A certificate that was sent and still has no decision is sent again after this long, not at every sweep.
SENT_RECENTLY = timedelta(hours=1)
# Longer than the sweeps take to send everything in the index `due`.
_OVERDUE = timedelta(days=1)


def was_sent_recently(record: Record, now: datetime) -> bool:
    """Whether the sweep sent this certificate within the last hour."""
    return record.swept_at is not None and now - record.swept_at < SENT_RECENTLY


def is_undecided(record: Record, registered_at: datetime) -> bool:
    """Whether there is no decision on the registration of that time."""
    return record.decision is None or not record.decision.is_for(registered_at)


def is_unfinished(record: Record, registered_at: datetime | None = None) -> bool:
    """Whether an attempt began on this registration (on any, if none is given) and recorded no decision."""
    begun, decided_at = record.intent, record.decided_at
    if begun is None or (registered_at and not begun.is_for(registered_at)):
        return False
    return decided_at is None or decided_at < begun.decided_at


def is_passed_over(listed: ListedCertificate, record: Record, now: datetime, *, horizon: timedelta) -> bool:
    """Whether the daily pass is to send this certificate: no event and no other part of the sweep will.

    The look back sends those that are undecided and younger than the horizon.
    """
    if was_sent_recently(record, now):
        return False
    if listed.status is not Status.PENDING_ACTIVATION:
        return is_unfinished(record, listed.created_at)
    if is_undecided(record, listed.created_at):
        return listed.created_at < now - horizon
    if record.is_denied:
        return False
    if record.is_approved_since:
        return True
    assert record.decision is not None  # noqa: S101 -- it is decided
    next_evaluation = record.decision.next_evaluation
    return next_evaluation is not None and next_evaluation + _OVERDUE < now
