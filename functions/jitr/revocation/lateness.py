"""Says from when on a CRL is about to be out of date, so that people have time to publish the next one; pure."""

from datetime import datetime, timedelta

# In the last third of its life, but not earlier than two days before its end: a CRL of a week warns for two days, one
# of a day for eight hours.
_LAST_PART = 3
_SOON = timedelta(days=2)


def warns_from(this_update: datetime, next_update: datetime) -> datetime:
    """The time from which the next CRL of the CA is overdue, if it is published in time as a rule."""
    return next_update - min((next_update - this_update) / _LAST_PART, _SOON)
