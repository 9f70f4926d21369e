"""The sweep's look back: PENDING_ACTIVATION certificates, newest first down to the horizon, of which nobody decided.

It goes through all certificates of the account, a call for each 250 that were registered since the horizon
(ListCertificates): nothing rests on AWS saying whose a certificate is, and it may list none by CA that is in SNI_ONLY
mode. A pending certificate of another CA is sent once: `register` holds it as CA_UNKNOWN, and it is decided then.
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
class LookedBack:
    """What one sweep looked back on."""

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

    def go_back(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> LookedBack:
        """Look back from now, or from where the last sweep stopped.

        Raises Unavailable, StaleMarker when the next one has to begin anew.
        """
        marker = self._journal.look_back_marker(ACCOUNT)
        try:
            return self._go_back_from(marker, now, time_is_left, send)
        except StaleMarker:
            self._journal.keep_look_back_marker(ACCOUNT, None)
            raise

    def _go_back_from(
        self, marker: str | None, now: datetime, time_is_left: Callable[[], bool], send: Send
    ) -> LookedBack:
        back = LookedBack()
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
        else:  # a later part of the list would be told as the whole; when not all can be sent, it is at least so many
            for name, number in waiting_in_all.items():
                self._announcer.count(WAITING, number, ca=name)
        return back

    def _send_forgotten(
        self, waiting: Sequence[ListedCertificate], in_all: Counter[str], now: datetime, send: Send
    ) -> bool:
        """Send those of a page that are forgotten, and count all by the CA of their records; whether all were sent."""
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
        """The name of the CA that a record gives; of a certificate without a record nothing tells it."""
        ca = self._rules.ca(record.ca_certificate_id or "")
        return ca.name if ca else NO_CA


def _is_forgotten(listed: ListedCertificate, record: Record, now: datetime) -> bool:
    # What is decided is not forgotten; held devices are found by their index.
    return is_undecided(record, listed.created_at) and not was_sent_recently(record, now)
