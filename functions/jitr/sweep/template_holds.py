"""Says which CAs have a provisioning template, of those that the rules say it of (`jitp`): their devices are left out.

AWS IoT provisions the devices of such a CA, and `register` holds those that stay PENDING_ACTIVATION. To send them again
would only hold them again. When a template is taken off, the next sweep sends them (held_walks.py).

There may be a hundred thousand of them. Each is postponed by one to two days, evenly by its id, so that a sweep meets
few of them in the index `due`. What a sweep does not get to postpone, it passes over.
"""

from datetime import UTC, datetime, timedelta

from jitr.aws.iot import AwsIot
from jitr.record import Record
from jitr.rules import Rules

_EVER = datetime.min.replace(tzinfo=UTC)
# Less than held_walks.py looks ahead, together.
_POSTPONED, _SPREAD = timedelta(days=1), timedelta(hours=23)
_MOST_POSTPONED = 5_000  # in one sweep, one write each


class TemplateHolds:
    """The CAs of one account and Region under a provisioning template, in one sweep."""

    def __init__(self, *, rules: Rules, iot: AwsIot) -> None:
        self._iot = iot
        self.expected = frozenset(ca.certificate_id for ca in rules.cas if ca.jitp)
        self._held = self.expected  # until it is read: to hold is safe
        self.is_read = not self.expected
        self._postponed = 0

    @property
    def held(self) -> frozenset[str]:
        """The certificate ids of the CAs that have a template."""
        return self._held

    def read(self, now: datetime) -> None:
        """Ask AWS IoT, as a sweep begins; only of CAs with `jitp`.

        Raises Unavailable, NotPermitted.
        """
        self._held, self.is_read, self._postponed = self.expected, not self.expected, 0
        described = {ca: self._iot.describe_ca(ca) for ca in sorted(self.expected)}
        # What was registered before the template was taken off may be held for a minute more: sent now, it would be
        # held again.
        self._held = frozenset(
            ca for ca, found in described.items() if found is not None and found.may_be_provisioned(_EVER, now)
        )
        self.is_read = True

    def holds(self, record: Record) -> bool:
        """Whether the certificate is held under a template that is still on its CA."""
        return record.is_held_under_template and record.ca_certificate_id in self._held

    def postpone_to(self, record: Record, now: datetime) -> datetime | None:
        """When a held certificate is due again, if it is due now; None if it stays as it is."""
        if record.decision is None or record.due_at is None or record.due_at > now:
            return None
        if self._postponed >= _MOST_POSTPONED:
            return None
        self._postponed += 1
        return now + _POSTPONED + _SPREAD * (int(record.decision.certificate_id[:8], 16) / 16**8)

    def has_freed(self, record: Record) -> bool:
        """Whether the certificate is held under a template that was taken off its CA."""
        return record.is_held_under_template and record.ca_certificate_id in self.expected - self._held
