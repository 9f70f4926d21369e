"""Counts a CA's certificates by status once a day, as AWS lists them by CA.

It also records, as found, certificates without a record that are REVOKED, or INACTIVE though jitr did not set that:
only this list says that they are of the fleet's CA. So they stay out when they are deleted and registered again. All
else about single certificates is done by the pass over the account's list (full_pass.py).

AWS may not list certificates of a CA in SNI_ONLY mode; full_pass.py counts those by the CA in their records.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.aws.certificate_pages import Page
from jitr.aws.iot import AwsIot
from jitr.errors import StaleMarker
from jitr.iot_models import Status
from jitr.observed_status import is_unrecorded_status, observe
from jitr.rules import CaRules
from jitr.store.registry import Registry
from jitr.store.sweep_state import Pass, SweepState
from jitr.telemetry import Announcer

_COUNTED_EVERY = timedelta(days=1)


class DailyCount:
    """Counts the certificates of one account and Region."""

    def __init__(
        self,
        *,
        iot: AwsIot,
        registry: Registry,
        journal: SweepState,
        announcer: Announcer,
        clock: Callable[[], datetime],
        rules_digest: str,
    ) -> None:
        self._rules_digest = rules_digest
        self._iot = iot
        self._registry = registry
        self._journal = journal
        self._announcer = announcer
        self._clock = clock

    def go_on(self, ca: CaRules, now: datetime, *, time_is_left: Callable[[], bool]) -> bool:
        """Go on with the daily count, or begin it when the last one is a day old; True when it is finished.

        Raises Unavailable, StaleMarker when the count has to begin anew.
        """
        try:
            return self._go_on(ca, now, time_is_left)
        except StaleMarker:
            self._journal.keep_pass(ca.certificate_id, Pass(began_at=now))
            raise

    def _go_on(self, ca: CaRules, now: datetime, time_is_left: Callable[[], bool]) -> bool:
        going = self._journal.full_pass(ca.certificate_id)
        if going.finished_at and now - going.finished_at < _COUNTED_EVERY:
            return True
        if not time_is_left():
            return False
        if going.finished_at or going.began_at is None:
            going = Pass(began_at=now)
        counts = Counter(going.counts)
        for page in self._iot.certificates_of(ca.certificate_id, going.marker):
            self._record_unknown(ca, page)
            counts.update(one.status.value for one in page.certificates)
            going = replace(going, marker=page.next_marker)
            if page.next_marker and not time_is_left():
                self._journal.keep_pass(ca.certificate_id, replace(going, counts=dict(counts)))
                return False
        self._journal.keep_pass(
            ca.certificate_id, Pass(began_at=going.began_at, finished_at=self._clock(), counts=dict(counts))
        )
        return True

    def _record_unknown(self, ca: CaRules, page: Page) -> None:
        """Record the certificates of a page that were revoked or deactivated, not by jitr, and have no record yet.

        If a record changed since it was read, the next count decides.
        """
        records = self._registry.recall(one.certificate_id for one in page.certificates)
        for one in page.certificates:
            record = records[one.certificate_id]
            if record.is_known or (record.import_order and one.status is Status.INACTIVE):
                continue  # the second: as the import under this CA made it; `register` finds out whether it still is
            found = observe(
                one,
                record,
                ca_certificate_id=ca.certificate_id,
                ca=ca,
                rules_digest=self._rules_digest,
                now=self._clock(),
            )
            if is_unrecorded_status(one, record, found) and self._registry.record_found(found, record):
                self._announcer.report_outcome(found.outcome, one.certificate_id, found)
