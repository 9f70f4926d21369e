"""The day's full pass over a CA's certificates: how many there are in each status, and who is ACTIVE against a word.

A claim sees what stands against it, so such a certificate was ACTIVE before the word came, or was made so by hand. It
is reported and left alone: entries decide on who comes in, operators on those who are inside.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jitr.claims import Due
from jitr.enrollment import EntryRule
from jitr.enrollment_table import EnrollmentTable, subjects_of
from jitr.errors import StaleMarker
from jitr.iot import AwsIot
from jitr.journal import Journal, Pass
from jitr.registrations import ListedCertificate, Status
from jitr.registry import Registry
from jitr.rules import CaRules
from jitr.telemetry import DISAGREEMENTS, Announcer

_COUNTED_EVERY = timedelta(days=1)
_MOST_DENIED = 10_000
_MOST_RECALLED = 100  # BatchGetItem's most


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
    ) -> None:
        self._iot = iot
        self._registry = registry
        self._enrollment = enrollment
        self._journal = journal
        self._announcer = announcer
        self._clock = clock

    def go_on(self, ca: CaRules, now: datetime, *, time_is_left: Callable[[], bool]) -> Counted:
        """Go on with the day's full pass, or begin it when the last one is a day old.

        Raises Unavailable, StaleMarker when the pass has to begin anew.
        """
        try:
            return self._go_on(ca, now, time_is_left)
        except StaleMarker:
            self._journal.keep_pass(ca.certificate_id, Pass(began_at=now))
            raise

    def _go_on(self, ca: CaRules, now: datetime, time_is_left: Callable[[], bool]) -> Counted:
        counted = Counted()
        going = self._journal.full_pass(ca.certificate_id)
        if going.finished_at and now - going.finished_at < _COUNTED_EVERY:
            return counted
        if going.finished_at or going.began_at is None:
            going = Pass(began_at=now)
        denied = frozenset(self._registry.due(Due.DENIED, now, most=_MOST_DENIED))
        has_list = self._enrollment.version() is not None
        counts = Counter(going.counts)
        for page in self._iot.certificates_of(ca.certificate_id, going.marker):
            counts.update(one.status.value for one in page.certificates)
            active = [one for one in page.certificates if one.status is Status.ACTIVE]
            against = [(one.certificate_id, "an operator's verdict") for one in active if one.certificate_id in denied]
            against += [(one, "an enrollment entry") for one in self._denied_by_entry(active)] if has_list else []
            for certificate_id, word in against:
                counted.disagreements += 1
                self._announcer.warn(
                    f"a certificate is ACTIVE against {word}", DISAGREEMENTS, certificate_id=certificate_id, ca=ca.name
                )
            if page.next_marker and not time_is_left():
                self._journal.keep_pass(ca.certificate_id, replace(going, marker=page.next_marker, counts=dict(counts)))
                counted.is_finished = False
                return counted
        self._journal.keep_pass(
            ca.certificate_id, Pass(began_at=going.began_at, finished_at=self._clock(), counts=dict(counts))
        )
        return counted

    def _denied_by_entry(self, active: Sequence[ListedCertificate]) -> Iterator[str]:
        """The ids of those certificates that an entry denies: their own, their twin's, or their thing name's."""
        for start in range(0, len(active), _MOST_RECALLED):
            records = self._registry.recall(one.certificate_id for one in active[start : start + _MOST_RECALLED])
            subjects = {
                certificate_id: subjects_of(
                    certificate_id,
                    record.decision.thing_name if record.decision else None,
                    record.decision.twin_id if record.decision else None,
                )
                for certificate_id, record in records.items()
            }
            entries = self._enrollment.entries(subject for of_one in subjects.values() for subject in of_one)
            denied = {subject for subject, entry in entries.items() if entry.rule is EntryRule.DENY}
            yield from (certificate_id for certificate_id, of_one in subjects.items() if denied.intersection(of_one))
