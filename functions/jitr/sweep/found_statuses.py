"""Records statuses that the full pass finds in the list, and that jitr did not set: full_pass.py says which."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from jitr.aws.certificate_pages import Page
from jitr.decisions import Decision
from jitr.iot_models import ListedCertificate, Status
from jitr.observed_status import is_unrecorded_status, observe
from jitr.record import Record
from jitr.rules import Rules
from jitr.store.registry import Registry
from jitr.telemetry import Announcer

# How much older than a record a page may be; AWS does not say how late its lists are.
_LISTED_LATE = timedelta(minutes=2)


class FoundStatuses:
    """The statuses that are found in one account and Region."""

    def __init__(
        self, *, rules: Rules, registry: Registry, announcer: Announcer, clock: Callable[[], datetime]
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._registry = registry
        self._announcer = announcer
        self._clock = clock

    def find_taken_away(self, page: Page, records: Mapping[str, Record]) -> dict[str, Decision]:
        """The decisions to record on certificates with a record that were revoked or deactivated, not by jitr."""
        taken_away = {}
        for one in page.certificates:
            record = records[one.certificate_id]
            if not (record.is_known or record.import_order) or _was_decided_just_now(record, self._clock()):
                continue
            if record.import_order and one.status is Status.INACTIVE:
                continue  # as the import made it, or set by a person: the list does not say; `register` finds out
            found = self._observe(one, record)
            if is_unrecorded_status(one, record, found):
                taken_away[one.certificate_id] = found
        return taken_away

    def find_provisioned(self, page: Page, records: Mapping[str, Record]) -> dict[str, Decision]:
        """The decisions to record on ACTIVE certificates that were held under a template; nothing of them changes.

        What an order or an import is about, `register` records.
        """
        provisioned = {}
        for one in page.certificates:
            record = records[one.certificate_id]
            if one.status is not Status.ACTIVE or not record.is_held_under_template or record.import_order:
                continue
            if record.has_unfinished_release or record.is_take_away_ordered:
                continue
            if _was_decided_just_now(record, self._clock()):
                continue
            found = self._observe(one, record)
            if record.is_news(found):
                provisioned[one.certificate_id] = found
        return provisioned

    def record(self, observed: Mapping[str, Decision], records: Mapping[str, Record]) -> None:
        """Record what was found, if no attempt has begun; `register` goes on with those that have an intent.

        If a record changed since it was read, the next pass decides.
        """
        for certificate_id, found in observed.items():
            record = records[certificate_id]
            if record.begun_at is None and self._registry.record_found(found, record):
                self._announcer.report_outcome(found.outcome, certificate_id, found)

    def _observe(self, one: ListedCertificate, record: Record) -> Decision:
        return observe(
            one,
            record,
            ca_certificate_id=record.ca_certificate_id,
            ca=self._rules.ca(record.ca_certificate_id or ""),
            rules_digest=self._rules_digest,
            now=self._clock(),
        )


def _was_decided_just_now(record: Record, now: datetime) -> bool:
    """Whether the list may be older than the record: a certificate that was just released may be listed as INACTIVE.

    The next pass decides.
    """
    return record.decided_at is not None and now - record.decided_at < _LISTED_LATE
