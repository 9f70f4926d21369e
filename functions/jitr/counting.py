"""The day's full pass over a CA's certificates: counts them, reports contradictions, records what others took away.

A claim sees what stands against it, so such a certificate was ACTIVE before the word came, or was made so by hand. It
is reported and left alone: entries decide on who comes in, operators on those who are inside.

A REVOKED, or an INACTIVE that jitr did not set, is recorded as found, so that the certificate stays out when it is
deleted and comes back. One write for each, once; nothing for what is recorded already.

The pass is also the last to find a certificate: what waits without a decision and is older than the look back's
horizon, and what an attempt left unfinished, is sent to the queue (forgotten.py). A page whose certificates cannot all
be sent is taken up again by the next sweep; while the queue is behind nothing is sent, and the pass is repeated an hour
later.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jitr.certificate_pages import Page
from jitr.claims import Due
from jitr.decisions import Decision
from jitr.enrollment import EntryRule
from jitr.enrollment_table import EnrollmentTable, subjects_of
from jitr.errors import StaleMarker
from jitr.forgotten import is_passed_over, was_sent_recently
from jitr.iot import AwsIot
from jitr.journal import Journal, Pass
from jitr.messages import Forgotten
from jitr.observed import observe, was_taken_away_since
from jitr.record import Record
from jitr.registrations import ListedCertificate, Status
from jitr.registry import Registry
from jitr.rules import CaRules
from jitr.telemetry import DISAGREEMENTS, Announcer

_COUNTED_EVERY = timedelta(days=1)
_OWED_EVERY = timedelta(hours=1)  # while certificates were found that could not be sent
_MOST_DENIED = 10_000
_MOST_RECALLED = 100  # BatchGetItem's most

# Sends certificates to the queue; False when not all of them may be sent now.
Send = Callable[[list[Forgotten]], bool]


@dataclass(slots=True, kw_only=True)
class Counted:
    """What one sweep did for the full pass of one CA."""

    disagreements: int = 0
    is_finished: bool = True


class Count:
    """Counts the certificates of one account and Region."""

    def __init__(
        self,
        *,
        iot: AwsIot,
        registry: Registry,
        enrollment: EnrollmentTable,
        journal: Journal,
        announcer: Announcer,
        clock: Callable[[], datetime],
        horizon: timedelta,
        rules_digest: str,
    ) -> None:
        self._rules_digest = rules_digest
        self._horizon = horizon  # of the look back
        self._iot = iot
        self._registry = registry
        self._enrollment = enrollment
        self._journal = journal
        self._announcer = announcer
        self._clock = clock

    def go_on(self, ca: CaRules, now: datetime, *, time_is_left: Callable[[], bool], send: Send | None) -> Counted:
        """Go on with the day's full pass, or begin it when the last one is a day old.

        Without `send`, which is while the queue is behind, nothing is sent.

        Raises Unavailable, StaleMarker when the pass has to begin anew.
        """
        try:
            return self._go_on(ca, now, time_is_left, send)
        except StaleMarker:
            self._journal.keep_pass(ca.certificate_id, Pass(began_at=now))
            raise

    def _go_on(self, ca: CaRules, now: datetime, time_is_left: Callable[[], bool], send: Send | None) -> Counted:
        counted = Counted()
        going = self._journal.full_pass(ca.certificate_id)
        again_after = _OWED_EVERY if going.owes else _COUNTED_EVERY
        if going.finished_at and now - going.finished_at < again_after:
            return counted
        if going.finished_at or going.began_at is None:
            going = Pass(began_at=now)
        denied = frozenset(self._registry.due(Due.DENIED, now, most=_MOST_DENIED))
        has_list = self._enrollment.version() is not None
        counts = Counter(going.counts)
        for page in self._iot.certificates_of(ca.certificate_id, going.marker):
            records = self._records(page)
            taken_away = self._taken_away(ca, page, records)
            passed_over = self._passed_over(ca, page, records, taken_away, now)
            if passed_over and send is None:
                going = replace(going, owes=True)
            elif send and not send(passed_over):
                # From this page on at the next sweep, which passes over what was sent.
                self._journal.keep_pass(ca.certificate_id, replace(going, counts=dict(counts)))
                counted.is_finished = False
                return counted
            self._record(taken_away, records)
            counts.update(one.status.value for one in page.certificates)
            active = [one for one in page.certificates if one.status is Status.ACTIVE]
            against = [(one.certificate_id, "an operator's verdict") for one in active if one.certificate_id in denied]
            against += (
                [(one, "an enrollment entry") for one in self._denied_by_entry(active, records)] if has_list else []
            )
            for certificate_id, word in against:
                counted.disagreements += 1
                self._announcer.warn(
                    f"a certificate is ACTIVE against {word}", DISAGREEMENTS, certificate_id=certificate_id, ca=ca.name
                )
            going = replace(going, marker=page.next_marker)
            if page.next_marker and not time_is_left():
                self._journal.keep_pass(ca.certificate_id, replace(going, counts=dict(counts)))
                counted.is_finished = False
                return counted
        self._journal.keep_pass(
            ca.certificate_id,
            Pass(began_at=going.began_at, finished_at=self._clock(), counts=dict(counts), owes=going.owes),
        )
        return counted

    def _records(self, page: Page) -> dict[str, Record]:
        ids = [one.certificate_id for one in page.certificates]
        records: dict[str, Record] = {}
        for start in range(0, len(ids), _MOST_RECALLED):
            records |= self._registry.recall(ids[start : start + _MOST_RECALLED])
        return records

    def _taken_away(self, ca: CaRules, page: Page, records: Mapping[str, Record]) -> dict[str, Decision]:
        """What is to be recorded of those of a page that somebody else revoked or deactivated."""
        observed = {
            one.certificate_id: observe(
                one,
                records[one.certificate_id],
                ca_certificate_id=ca.certificate_id,
                ca=ca,
                rules_digest=self._rules_digest,
                now=self._clock(),
            )
            for one in page.certificates
        }
        return {
            one.certificate_id: observed[one.certificate_id]
            for one in page.certificates
            if was_taken_away_since(one, records[one.certificate_id], observed[one.certificate_id])
        }

    def _record(self, taken_away: Mapping[str, Decision], records: Mapping[str, Record]) -> None:
        """Record what was found, where no attempt has begun; those with an intent are `register`'s.

        Where the record changed since it was read, the next pass looks again.
        """
        for certificate_id, found in taken_away.items():
            record = records[certificate_id]
            if record.begun_at is None and self._registry.record_found(found, record):
                self._announcer.outcome(found.outcome, certificate_id, found)

    def _passed_over(
        self,
        ca: CaRules,
        page: Page,
        records: Mapping[str, Record],
        taken_away: Mapping[str, Decision],
        now: datetime,
    ) -> list[Forgotten]:
        def is_left(one: ListedCertificate) -> bool:
            record = records[one.certificate_id]
            if one.certificate_id in taken_away and record.begun_at is not None:
                return not was_sent_recently(record, now)  # a name that it claimed has to be given back, too
            return is_passed_over(one, record, now, horizon=self._horizon)

        return [
            Forgotten(
                certificate_id=one.certificate_id, ca_certificate_id=ca.certificate_id, registered_at=one.created_at
            )
            for one in page.certificates
            if is_left(one)
        ]

    def _denied_by_entry(self, active: Sequence[ListedCertificate], records: Mapping[str, Record]) -> Iterator[str]:
        """The ids of those certificates that an entry denies: their own, their twin's, or their thing name's."""
        decisions = {one.certificate_id: records[one.certificate_id].decision for one in active}
        subjects = {
            certificate_id: subjects_of(
                certificate_id,
                decision.thing_name if decision else None,
                decision.twin_id if decision else None,
            )
            for certificate_id, decision in decisions.items()
        }
        entries = self._enrollment.entries(subject for of_one in subjects.values() for subject in of_one)
        denied = {subject for subject, entry in entries.items() if entry.rule is EntryRule.DENY}
        yield from (certificate_id for certificate_id, of_one in subjects.items() if denied.intersection(of_one))
