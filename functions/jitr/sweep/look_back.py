"""Sends PENDING_ACTIVATION certificates without a decision to the queue: the sweep's look back, down to the horizon.

It lists all certificates of the account, newest first, one call per 250 that were registered since the horizon
(ListCertificates). It does not list by CA, since AWS may list none of a CA in SNI_ONLY mode. A pending certificate of
another CA is sent once: `register` holds it as CA_UNKNOWN, which is a decision.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jitr.aws.calls import batches
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend
from jitr.errors import StaleMarker
from jitr.iot_models import ListedCertificate, Status
from jitr.record import Record
from jitr.rules import Rules
from jitr.store.registry import Registry
from jitr.store.sweep_state import ACCOUNT, SweepState
from jitr.sweep.full_pass import Send
from jitr.sweep.resend import is_undecided, was_sent_recently
from jitr.telemetry import NO_CA, WAITING, Announcer


@dataclass(slots=True, kw_only=True)
class LookBackResult:
    """The result of one sweep's look back."""

    looked_at: int = 0  # certificates listed, registered since the horizon
    all_sent: bool = True
    is_finished: bool = True  # False: the next sweep goes on


class LookBack:
    """Looks back in one account and Region."""

    def __init__(
        self, *, rules: Rules, iot: AwsIot, registry: Registry, journal: SweepState, announcer: Announcer
    ) -> None:
        self._rules = rules
        self._horizon = timedelta(seconds=rules.horizon)
        self._pending_after = timedelta(seconds=rules.pending_after)
        self._iot = iot
        self._registry = registry
        self._journal = journal
        self._announcer = announcer

    def go_back(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> LookBackResult:
        """Look back from now, or from where the last sweep stopped.

        Raises Unavailable, StaleMarker when the next look back has to begin anew.
        """
        marker = self._journal.look_back_marker(ACCOUNT)
        try:
            return self._go_back_from(marker, now, time_is_left, send)
        except StaleMarker:
            self._journal.keep_look_back_marker(ACCOUNT, None)
            raise

    def _go_back_from(
        self, marker: str | None, now: datetime, time_is_left: Callable[[], bool], send: Send
    ) -> LookBackResult:
        back = LookBackResult()
        waiting_in_all = Counter({NO_CA: 0, **{ca.name: 0 for ca in self._rules.cas}})
        for page in self._iot.certificates(marker):
            recent = [one for one in page.certificates if one.created_at >= now - self._horizon]
            waiting = [
                one
                for one in recent
                if one.status is Status.PENDING_ACTIVATION and one.created_at < now - self._pending_after
            ]
            back.looked_at += len(recent)
            back.all_sent = self._send_forgotten(waiting, waiting_in_all, now, send)
            if len(recent) < len(page.certificates) or not back.all_sent:
                break
            if page.next_marker and not time_is_left():
                self._journal.keep_look_back_marker(ACCOUNT, page.next_marker)
                back.is_finished = False
                return back
        if marker:
            self._journal.keep_look_back_marker(ACCOUNT, None)
        else:  # a resumed look back saw a part of the list; one that could not send all reports a lower bound
            for name, number in waiting_in_all.items():
                self._announcer.count(WAITING, number, ca=name)
        return back

    def _send_forgotten(
        self, waiting: Sequence[ListedCertificate], in_all: Counter[str], now: datetime, send: Send
    ) -> bool:
        """Send the forgotten certificates of a page, and count all waiting ones by CA; True when all were sent."""
        left = len(waiting)
        for some in batches(waiting):
            left -= len(some)
            records = self._registry.recall(one.certificate_id for one in some)
            in_all.update(self._ca_of(records[one.certificate_id]) for one in some)
            forgotten = [
                EventToSend(
                    certificate_id=one.certificate_id,
                    ca_certificate_id=records[one.certificate_id].ca_certificate_id,
                    registered_at=one.created_at,
                )
                for one in some
                if _is_forgotten(one, records[one.certificate_id], now)
            ]
            if not send(forgotten):
                in_all[NO_CA] += left
                return False
        return True

    def _ca_of(self, record: Record) -> str:
        """The name of the CA in a record; NO_CA without a record, since the list does not say."""
        ca = self._rules.ca(record.ca_certificate_id or "")
        return ca.name if ca else NO_CA


def _is_forgotten(listed: ListedCertificate, record: Record, now: datetime) -> bool:
    # What is decided is not forgotten; held devices are found by their index.
    return is_undecided(record, listed.created_at) and not was_sent_recently(record, now)
