"""Sends devices to the queue that are to be evaluated again; it finds them by the index `due`.

    ordered     certificates that an operator ordered away
    released    rejections that an operator takes back by a release order
    due         held and approved devices that are due, and unfinished attempts
    all held    when the rules have changed, or an operator has accepted the rejections that a brake holds
    entries     held devices whose enrollment entries have changed since they were held
    CRLs        devices that are held because no CRL was in force, when another one is published
    templates   devices that are held since a provisioning template was on their CA, when it is taken off

While a template is on a CA, the devices that are held for it are sent for no other cause (template_holds.py). The last
four are walks over all held devices. A walk keeps its position in the index (sweep_state.Walk), and the next
sweep goes on from there, so it reaches the last device however many there are. A device that is sent or decided
meanwhile moves to a later position; the walk skips it there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from jitr.admission.issuers import with_recorded_ca
from jitr.aws.calls import MOST_KEYS, batches
from jitr.aws.crl_bucket import Crls
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend
from jitr.errors import CRL_AWAITED, CertificateUnknown
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import CheckMode, Rules
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.store.sweep_state import SweepState, Walk
from jitr.sweep.brake_end import read_brakes, rules_version
from jitr.sweep.resend import SENT_RECENTLY, is_unfinished, was_sent_recently
from jitr.sweep.template_holds import TemplateHolds

# What one sweep takes of what is due; the next one takes the rest.
_MOST_ORDERED = 20_000  # also those that were sent within the last hour
_MOST_DUE = 10_000
_MOST_RELEASED = 10_000
_PAGE = MOST_KEYS
_FAR = timedelta(days=2)  # later than any next evaluation
_POSTPONED = timedelta(days=1)  # what is left out in the meantime, so that it does not stay first in the index

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
        crls: Crls,
        enrollment: EnrollmentTable,
        brakes: Brakes,
        holds: TemplateHolds,
        journal: SweepState,
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._crls = crls
        self._enrollment = enrollment
        self._brakes = brakes
        self._holds = holds
        self._journal = journal

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
                    again.append(_to_message(record))
            if not send(again, now + SENT_RECENTLY) or (left and not time_is_left()):
                return False
        return len(ordered) < _MOST_RELEASED

    def send_due(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send the devices whose evaluation is due; True when all were seen and sent.

        Raises Unavailable, NotPermitted.
        """
        due = self._registry.list_due(Due.LOOK, now, most=_MOST_DUE)
        left = len(due)
        for ids in batches(due, _PAGE):
            left -= len(ids)
            if not self._send_page(ids, now, time_is_left=time_is_left, send=send):
                return False
            if left and not time_is_left():
                return False
        return True

    def send_where_rules_changed(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send all held devices, if the rules or acceptances have changed since the last walk; True when that is done.

        Raises Unavailable, NotPermitted.
        """
        under = rules_version(self._rules, read_brakes(self._brakes, self._rules))
        if self._journal.rules_digest() == under:
            return True
        walk = self._journal.rules_walk()
        if walk is None or walk.version != under or walk.is_finished:
            walk = Walk(version=under, began_at=now)

        def send_page(ids: Sequence[str]) -> bool:
            return self._send_page(ids, now, time_is_left=time_is_left, send=send)

        walked = self._walk(walk, now, send_page, time_is_left)
        self._journal.keep_rules_walk(walked)
        return walked.is_finished

    def send_where_entries_changed(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send held devices whose enrollment entries have changed since they were held; True when that is done.

        Raises Unavailable, NotPermitted.
        """
        version, walk = self._enrollment.version(), self._journal.enrollment_walk()
        if version is None or (walk and walk.version == version and walk.is_finished):
            return True
        if walk is None or walk.version != version:
            walk = Walk(version=version, began_at=now)
            self._journal.keep_enrollment_walk(walk)
        began_at = walk.began_at

        def send_page(ids: Sequence[str]) -> bool:
            records = self._registry.recall(ids)
            changed = self._enrollment.find_changed(records)
            # A device that was sent for another cause since the walk began is evaluated with the present list.
            return send(
                [
                    _to_message(records[one])
                    for one in sorted(changed)
                    if not self._holds.holds(records[one]) and not _was_sent_after(records[one], began_at)
                ],
                now + SENT_RECENTLY,
            )

        walked = self._walk(walk, now, send_page, time_is_left)
        self._journal.keep_enrollment_walk(walked)
        return walked.is_finished

    def send_where_crls_changed(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send devices that are held because no CRL was in force, if another one is published; True when that is done.

        Raises Unavailable, NotPermitted.
        """
        asked = [ca for ca in self._rules.cas if ca.mode_of("revocation") is not CheckMode.OFF]
        if not asked:
            return True
        published = {ca.certificate_id: self._crls.version_of(ca) for ca in asked}
        version, walk = json.dumps(published, sort_keys=True), self._journal.crl_walk()
        if walk and walk.version == version and walk.is_finished:
            return True
        if walk is None or walk.version != version:
            walk = Walk(version=version, began_at=now)
            self._journal.keep_crl_walk(walk)
        began_at = walk.began_at

        def send_page(ids: Sequence[str]) -> bool:
            waiting = [
                _to_message(record)
                for record in self._registry.recall(ids).values()
                if _awaits_crl(record, published) and not _was_sent_after(record, began_at)
            ]
            return send(waiting, now + SENT_RECENTLY)

        walked = self._walk(walk, now, send_page, time_is_left)
        self._journal.keep_crl_walk(walked)
        return walked.is_finished

    def send_where_templates_are_gone(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        """Send devices that are held under a provisioning template that was taken off; True when that is done.

        Raises Unavailable, NotPermitted.
        """
        if not (self._holds.expected and self._holds.is_read):
            return True  # of a CA whose rules no longer say `jitp`, the changed rules send them
        version, walk = json.dumps(sorted(self._holds.held)), self._journal.template_walk()
        if walk and walk.version == version and walk.is_finished:
            return True
        if walk is None or walk.version != version:
            # Where all have one, there is nobody to look for.
            walk = Walk(version=version, began_at=now, is_finished=self._holds.held == self._holds.expected)
            self._journal.keep_template_walk(walk)
        if walk.is_finished:
            return True
        began_at = walk.began_at

        def send_page(ids: Sequence[str]) -> bool:
            freed = [
                _to_message(record)
                for record in self._registry.recall(ids).values()
                if self._holds.has_freed(record) and not _was_sent_after(record, began_at)
            ]
            return send(freed, now + SENT_RECENTLY)

        walked = self._walk(walk, now, send_page, time_is_left)
        self._journal.keep_template_walk(walked)
        return walked.is_finished

    def _walk(
        self, walk: Walk, now: datetime, send_page: Callable[[Sequence[str]], bool], time_is_left: Callable[[], bool]
    ) -> Walk:
        """Go on with a walk over held devices, until its end, or until not all can be sent; returns its new state."""
        after = walk.after
        while True:
            ids, further = self._registry.list_due_after(after, Due.LOOK, now + _FAR, most=_PAGE)
            if ids and not send_page(ids):
                return replace(walk, after=after)  # this page again
            if further is None:
                return replace(walk, after=None, is_finished=True)
            after = further
            if not time_is_left():
                return replace(walk, after=after)

    def _send_page(self, ids: Sequence[str], now: datetime, *, time_is_left: Callable[[], bool], send: Send) -> bool:
        again, all_seen = self._select_due(self._registry.recall(ids), now, time_is_left)
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
                if record.due_at is not None and record.due_at <= now:
                    self._registry.postpone_evaluation(certificate_id, recalled, now + _POSTPONED)
            elif self._is_sent(record, now) or (
                record.is_waiting(now, rules_digest=self._rules_digest) and not record.was_sent_since_decided
            ):
                continue
            elif waits:
                again.append(_to_message(record))
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


def _awaits_crl(record: Record, published: Mapping[str, str]) -> bool:
    """Whether the device was held because no CRL was in force, and another one is published now."""
    decision = record.decision
    if decision is None or not record.is_held or decision.reason not in CRL_AWAITED:
        return False
    now_published = published.get(decision.ca_certificate_id or "")
    return now_published is not None and now_published != decision.crl


def _was_sent_after(record: Record, moment: datetime) -> bool:
    return record.swept_at is not None and record.swept_at >= moment


def _to_order_message(certificate_id: str, record: Record) -> EventToSend:
    """The message about a certificate that was ordered away, of which jitr may know nothing else."""
    decision = record.decision
    return EventToSend(
        certificate_id=certificate_id,
        ca_certificate_id=decision.ca_certificate_id if decision else None,
        registered_at=decision.registered_at if decision else None,
    )


def _to_message(record: Record) -> EventToSend:
    """The message about a held certificate."""
    assert record.decision is not None  # noqa: S101 -- it waits
    return EventToSend(
        certificate_id=record.decision.certificate_id,
        ca_certificate_id=record.decision.ca_certificate_id,
        registered_at=record.decision.registered_at,
    )
