"""Walks over all held devices, and sends those to the queue for which what they wait for has changed.

    all held    when the rules have changed, or an operator has accepted the rejections that a brake holds
    entries     held devices whose enrollment entries have changed since they were held
    CRLs        devices that are held because no CRL was in force, when another one is published
    templates   devices that are held since a provisioning template was on their CA, when it is taken off

A walk keeps its position in the index `due` (sweep_state.Walk), and the next sweep goes on from there, so it reaches
the last device however many there are. A device that is sent or decided meanwhile moves to a later position; the walk
skips it there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.aws.calls import MOST_KEYS
from jitr.aws.crl_bucket import Crls
from jitr.errors import CRL_AWAITED
from jitr.record import Record
from jitr.rules import CheckMode, Rules
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.store.sweep_state import SweepState, Walk
from jitr.sweep.brake_end import read_brakes, rules_version
from jitr.sweep.due_evaluations import DueEvaluations, Send, to_message
from jitr.sweep.resend import SENT_RECENTLY
from jitr.sweep.template_holds import TemplateHolds

_PAGE = MOST_KEYS
_FAR = timedelta(days=2)  # later than any next evaluation


class HeldWalks:
    """Walks over the held devices of one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        registry: Registry,
        crls: Crls,
        enrollment: EnrollmentTable,
        brakes: Brakes,
        holds: TemplateHolds,
        journal: SweepState,
        due: DueEvaluations,
    ) -> None:
        self._rules = rules
        self._registry = registry
        self._crls = crls
        self._enrollment = enrollment
        self._brakes = brakes
        self._holds = holds
        self._journal = journal
        self._due = due

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
            return self._due.send_page(ids, now, time_is_left=time_is_left, send=send)

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
                    to_message(records[one])
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
                to_message(record)
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
                to_message(record)
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


def _awaits_crl(record: Record, published: Mapping[str, str]) -> bool:
    """Whether the device was held because no CRL was in force, and another one is published now."""
    decision = record.decision
    if decision is None or not record.is_held or decision.reason not in CRL_AWAITED:
        return False
    now_published = published.get(decision.ca_certificate_id or "")
    return now_published is not None and now_published != decision.crl


def _was_sent_after(record: Record, moment: datetime) -> bool:
    return record.swept_at is not None and record.swept_at >= moment
