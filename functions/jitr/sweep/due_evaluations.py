"""Sends devices to the queue that are to be evaluated again; it finds them by the index `due`.

    ordered     certificates that an operator ordered away
    released    rejections that an operator takes back by a release order
    due         held and approved devices that are due, and unfinished attempts

While a template is on a CA, the devices that are held for it are sent for no cause (template_holds.py). What held
devices wait for, whenever they are due, is in held_walks.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from jitr.admission.issuers import with_recorded_ca
from jitr.aws.calls import MOST_KEYS, batches
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import Rules
from jitr.store.brakes import Brakes
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.sweep.resend import SENT_RECENTLY, is_unfinished, was_sent_recently
from jitr.sweep.template_holds import TemplateHolds

# What one sweep takes of what is due; the next one takes the rest.
_MOST_ORDERED = 20_000  # also those that were sent within the last hour
_MOST_DUE = 10_000
_MOST_RELEASED = 10_000
_PAGE = MOST_KEYS

# Sends these, and sets when they are due again, if a time is given; False when not all may be sent.
Send = Callable[[list[EventToSend], datetime | None], bool]


class SendDue(Protocol):
    """Sends what is due for one cause; True when all were seen and sent."""

    def __call__(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool: ...


class DueEvaluations:
    """Finds and sends the devices that are to be evaluated again, in one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        brakes: Brakes,
        holds: TemplateHolds,
    ) -> None:
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._brakes = brakes
        self._holds = holds

    def send_ordered(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send the certificates that an operator ordered away; True when all were seen and sent.

        Raises Unavailable, NotPermitted.
        """
        ordered = self._registry.list_due(Due.TAKE_AWAY, now, most=_MOST_ORDERED)
        left = len(ordered)
        for ids in batches(ordered, _PAGE):
            left -= len(ids)
            again = []
            records = self._registry.recall(ids)
            for certificate_id in ids:  # in this order: ACTIVE devices first
                record = records[certificate_id]
                if not record.is_take_away_ordered:
                    self._registry.end_take_away(certificate_id, record)  # it was carried out, or is void
                elif not was_sent_recently(record, now):
                    again.append(_to_order_message(certificate_id, record))
            if not send(again, None) or (left and not time_is_left()):
                return False
        return len(ordered) < _MOST_ORDERED

    def send_released(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send the certificates with a release order; True when all were seen and sent.

        Raises Unavailable, NotPermitted.
        """
        ordered = self._registry.list_due(Due.RELEASE, now, most=_MOST_RELEASED)
        left = len(ordered)
        for ids in batches(ordered, _PAGE):
            left -= len(ids)
            records = self._registry.recall(ids)
            again = []
            for certificate_id, record in records.items():
                if not record.is_release_ordered:
                    self._registry.clear_release(certificate_id, record)  # it was carried out, or no longer applies
                elif not was_sent_recently(record, now):
                    again.append(to_message(record))
            if not send(again, now + SENT_RECENTLY) or (left and not time_is_left()):
                return False
        return len(ordered) < _MOST_RELEASED

    def send_due(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send the devices whose evaluation is due; True when all were seen and sent.

        Raises Unavailable, NotPermitted.
        """
        most, after = _MOST_DUE, None
        at_least = 0  # otherwise, with one left, each of the many that are passed over would be a query
        while True:
            due, after = self._registry.list_due_after(after, Due.LOOK, now, most=max(most, at_least))
            left = len(due)
            for ids in batches(due, _PAGE):
                left -= len(ids)
                records = self._registry.recall(ids)
                held = sum(self._holds.holds(record) for record in records.values())  # these are passed over
                most -= len(records) - held
                at_least = _PAGE if held else at_least
                if not self._send(records, now, time_is_left=time_is_left, send=send):
                    return False
                is_more = left or (after and most > 0)
                if is_more and not time_is_left():
                    return False
            if after is None or most <= 0:
                return True

    def send_page(self, ids: Sequence[str], now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send those of a page that are to be evaluated again; True when all were seen and sent.

        Raises Unavailable.
        """
        return self._send(self._registry.recall(ids), now, time_is_left=time_is_left, send=send)

    def _send(
        self, records: Mapping[str, Record], now: datetime, *, time_is_left: Callable[[], bool], send: Send
    ) -> bool:
        again, all_seen = self._select_due(records, now, time_is_left)
        return send(again, now + SENT_RECENTLY) and all_seen

    def _select_due(
        self, records: Mapping[str, Record], now: datetime, time_is_left: Callable[[], bool]
    ) -> tuple[list[EventToSend], bool]:
        """Select the records that are to be sent; False when there was no time for all. Clears those that are settled.

        A record without a decision (released, approved before its device came, written by a later version) names no
        registration: it costs one DescribeCertificate.
        """
        again = []
        accepted = self._brakes.find_accepted(records)
        for certificate_id, recalled in records.items():
            record = replace(recalled, brake_changed=certificate_id in accepted)
            waits = record.is_held or record.is_approved_since
            if record.decision is not None and not waits and not is_unfinished(record):
                self._registry.clear_evaluation(certificate_id, recalled)  # it was decided since
            elif self._holds.holds(record):
                if until := self._holds.postpone_to(record, now):
                    self._registry.postpone_evaluation(certificate_id, recalled, until)
            elif self._is_sent(record, now) or (
                record.is_waiting(now, rules_digest=self._rules_digest) and not record.was_sent_since_decided
            ):
                continue
            elif waits:
                again.append(to_message(record))
            elif not time_is_left():
                return again, False
            elif registered := self._describe_waiting(certificate_id, record):
                again.append(registered)
            else:
                self._registry.clear_evaluation(certificate_id, recalled)  # if the device comes, its event starts anew
        return again, True

    def _is_sent(self, record: Record, now: datetime) -> bool:
        """Whether it was sent within the last hour, and nothing has changed that asks for another evaluation.

        A device that was decided after it was sent, and for which the rules or acceptances have changed since, is sent
        at once: a walk visits it only once.
        """
        if not was_sent_recently(record, now):
            return False
        if record.decision is None or record.was_sent_since_decided:
            return True
        return record.decision.rules_digest == self._rules_digest and not record.brake_changed

    def _describe_waiting(self, certificate_id: str, record: Record) -> EventToSend | None:
        """Describe a certificate; its message if it is pending or has an unfinished attempt or import, else None.

        `register` ends an import's order also where it may not act on it, and records what it finds. The order of a
        certificate that is not registered ends here.

        Raises Unavailable.
        """
        try:
            device = with_recorded_ca(self._iot.describe(certificate_id), record)
        except CertificateUnknown:
            if record.import_order:
                self._registry.end_import(certificate_id, record.import_order)
            return None
        is_begun = is_unfinished(record, device.created_at) or record.import_order is not None
        if device.status is not Status.PENDING_ACTIVATION and not is_begun:
            return None
        return EventToSend(
            certificate_id=certificate_id,
            ca_certificate_id=device.ca_certificate_id,
            registered_at=device.created_at,
        )


def _to_order_message(certificate_id: str, record: Record) -> EventToSend:
    """The message about a certificate that was ordered away, of which jitr may know nothing else."""
    decision = record.decision
    return EventToSend(
        certificate_id=certificate_id,
        ca_certificate_id=decision.ca_certificate_id if decision else None,
        registered_at=decision.registered_at if decision else None,
    )


def to_message(record: Record) -> EventToSend:
    """The message about a held certificate."""
    assert record.decision is not None  # noqa: S101 -- it waits
    return EventToSend(
        certificate_id=record.decision.certificate_id,
        ca_certificate_id=record.decision.ca_certificate_id,
        registered_at=record.decision.registered_at,
    )
