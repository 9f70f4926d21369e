"""Passes over every certificate of the account once a day; sends, records, reports and counts.

ListCertificates, one call per 250 certificates, does not say which CA a certificate is of; the records of jitr do. So
nothing here depends on AWS listing certificates by CA.

    send      pending certificates without a decision that are older than the look back's horizon, and unfinished
              attempts, go to the queue (resend.py). A page whose certificates cannot all be sent is repeated by the
              next sweep. While the queue is behind nothing is sent, and the pass is repeated an hour later
    record    a certificate with a record that is REVOKED, or INACTIVE though jitr did not set that, is recorded as
              found, so that it stays out when it is deleted and registered again. One without a record may be another
              fleet's; daily_count.py records those that AWS lists by CA. One write for each, once. So is a certificate
              that is ACTIVE and was held under a provisioning template: another party activated it, and a template
              may stay for months
    identify  of an ACTIVE certificate from before jitr the CA and the serial number are found out, so that a CRL finds
              it: identification.py
    report    an ACTIVE certificate that a verdict or an entry denies is reported and left as it is. A claim checks
              both, so it was ACTIVE before the denial, or was activated by hand; an entry only decides who is
              admitted, and operators decide on ACTIVE certificates
    count     by status and by the CA that the record names, for CAs whose certificates AWS does not all list; those
              whose record names none (unclaimed); and those that end soon (expiring.py)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jitr.admission.enrollment import EntryRule
from jitr.aws.certificate_pages import Page
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend
from jitr.decisions import Decision
from jitr.errors import StaleMarker
from jitr.iot_models import ListedCertificate, Status
from jitr.record import Record
from jitr.rules import Rules
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable, subjects_of
from jitr.store.outcome_index import listing
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_writes import Due
from jitr.store.serial_index import issued_as_of
from jitr.store.sweep_state import ACCOUNT, UNCLAIMED, Pass, SweepState, count_key
from jitr.sweep.expiring import EXPIRING, find_expiring, names_to_read
from jitr.sweep.found_statuses import FoundStatuses
from jitr.sweep.identification import Identification
from jitr.sweep.resend import is_passed_over, is_undecided, was_sent_recently
from jitr.sweep.template_holds import TemplateHolds
from jitr.telemetry import DISAGREEMENTS, Announcer

_PASSED_EVERY = timedelta(days=1)
_OWED_EVERY = timedelta(hours=1)  # while certificates were found that could not be sent
_MOST_DENIED = 10_000

# Sends certificates to the queue; False when not all of them may be sent now.
Send = Callable[[list[EventToSend]], bool]


@dataclass(slots=True, kw_only=True)
class PassResult:
    """The result of one sweep's part of the pass."""

    disagreements: int = 0
    is_finished: bool = True
    counts: Mapping[str, int] | None = None  # by `count_key`, of the last pass; None while one is under way


class FullPass:
    """Passes over the certificates of one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        outcomes: Outcomes,
        enrollment: EnrollmentTable,
        journal: SweepState,
        crl_states: CrlStates,
        holds: TemplateHolds,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._horizon = timedelta(seconds=rules.horizon)  # of the look back
        self._expiring_within = timedelta(seconds=rules.device_expiry)
        self._iot = iot
        self._registry = registry
        self._outcomes = outcomes
        self._enrollment = enrollment
        self._journal = journal
        self._holds = holds
        self._announcer = announcer
        self._clock = clock
        self._found_statuses = FoundStatuses(rules=rules, registry=registry, announcer=announcer, clock=clock)
        self._identification = Identification(rules=rules, iot=iot, registry=registry, states=crl_states, clock=clock)

    def go_on(self, now: datetime, *, time_is_left: Callable[[], bool], send: Send | None) -> PassResult:
        """Go on with the daily pass, or begin it when the last one is a day old.

        Without `send`, as while the queue is behind, nothing is sent.

        Raises Unavailable, StaleMarker when the pass has to begin anew.
        """
        try:
            return self._go_on(now, time_is_left, send)
        except StaleMarker:
            self._journal.keep_pass(ACCOUNT, Pass(began_at=now, lists=True, has_serials=True))
            raise

    def _go_on(self, now: datetime, time_is_left: Callable[[], bool], send: Send | None) -> PassResult:
        passed = PassResult()
        going = self._journal.full_pass(ACCOUNT)
        again_after = _OWED_EVERY if going.owes else _PASSED_EVERY
        if going.finished_at and going.lists and going.has_serials and now - going.finished_at < again_after:
            passed.counts = going.counts
            return passed
        if not time_is_left():
            passed.is_finished = False
            return passed
        if going.finished_at or going.began_at is None:
            going = Pass(began_at=now, lists=True, has_serials=True)
        denied = frozenset(self._registry.list_due(Due.DENIED, now, most=_MOST_DENIED))
        has_list = self._enrollment.version() is not None
        counts = Counter(going.counts)
        for page in self._iot.certificates(going.marker):
            records = self._registry.recall(one.certificate_id for one in page.certificates)
            taken_away = self._found_statuses.find_taken_away(page, records)
            passed_over = self._select_passed_over(page, records, taken_away, now)
            if passed_over and send is None:
                going = replace(going, owes=True)
            elif send and not send(passed_over):
                # The next sweep repeats this page, and skips what was sent.
                self._journal.keep_pass(ACCOUNT, replace(going, counts=dict(counts)))
                passed.is_finished = False
                return passed
            provisioned = self._found_statuses.find_provisioned(page, records)
            # A CRL that was applied meanwhile did not find those whose serial number is known.
            self._identification.note_growth(
                found.ca_certificate_id for found in provisioned.values() if issued_as_of(found)
            )
            self._found_statuses.record(taken_away | provisioned, records)
            self._list_outcomes(records)
            if not self._identification.identify(page.certificates, records, time_is_left=time_is_left):
                self._journal.keep_pass(ACCOUNT, replace(going, counts=dict(counts)))
                passed.is_finished = False
                return passed
            counts.update(self._count_keys(page, records, now))
            active = [one for one in page.certificates if one.status is Status.ACTIVE]
            passed.disagreements += self._report(active, records, denied, has_list=has_list)
            going = replace(going, marker=page.next_marker)
            if page.next_marker and not time_is_left():
                self._journal.keep_pass(ACCOUNT, replace(going, counts=dict(counts)))
                passed.is_finished = False
                return passed
        self._journal.keep_pass(
            ACCOUNT,
            Pass(
                began_at=going.began_at,
                finished_at=self._clock(),
                counts=dict(counts),
                owes=going.owes,
                lists=going.lists,
                has_serials=going.has_serials,
            ),
        )
        passed.counts = dict(counts)
        return passed

    def _count_keys(self, page: Page, records: Mapping[str, Record], now: datetime) -> Iterator[str]:
        names = names_to_read(page.certificates, records)
        owners = self._registry.owners(names) if names else {}
        expiring = set(find_expiring(page.certificates, records, owners, now=now, within=self._expiring_within))
        for one in page.certificates:
            record = records[one.certificate_id]
            ca = self._rules.ca(record.ca_certificate_id or "")
            if ca or record.import_order is None:
                yield count_key(ca.certificate_id if ca else UNCLAIMED, one.status.value)
            if ca and one.certificate_id in expiring:
                yield count_key(ca.certificate_id, EXPIRING)

    def _list_outcomes(self, records: Mapping[str, Record]) -> None:
        """Correct the indexes where they differ from a record, as with records of earlier versions.

        A CRL that was applied meanwhile did not find those without a serial number in the index: it is applied again.
        """
        unlisted = [
            one
            for one in records.values()
            if one.decision and (one.listed != listing(one.decision) or _lacks_serial(one))
        ]
        self._identification.note_growth({one.ca_certificate_id for one in unlisted if _lacks_serial(one)})
        for record in unlisted:
            assert record.decision is not None  # noqa: S101 -- see above
            self._outcomes.list_decision(record.decision)

    def _select_passed_over(
        self, page: Page, records: Mapping[str, Record], taken_away: Mapping[str, Decision], now: datetime
    ) -> list[EventToSend]:
        def is_left(one: ListedCertificate) -> bool:
            record = records[one.certificate_id]
            if one.certificate_id in taken_away and record.begun_at is not None:
                return not was_sent_recently(record, now)  # `register` gives back a name that it claimed
            if self._holds.holds(record) and not is_undecided(record, one.created_at):
                return False
            return is_passed_over(one, record, now, horizon=self._horizon)

        return [
            EventToSend(
                certificate_id=one.certificate_id,
                ca_certificate_id=records[one.certificate_id].ca_certificate_id,
                registered_at=one.created_at,
            )
            for one in page.certificates
            if is_left(one)
        ]

    def _report(
        self,
        active: Sequence[ListedCertificate],
        records: Mapping[str, Record],
        denied: frozenset[str],
        *,
        has_list: bool,
    ) -> int:
        """Report those of these ACTIVE certificates that a verdict or an entry denies; returns their number."""
        denials = [(one.certificate_id, "an operator's verdict") for one in active if one.certificate_id in denied]
        denials += [(one, "an enrollment entry") for one in self._find_denied(active, records)] if has_list else []
        for certificate_id, denial in denials:
            decision = records[certificate_id].decision
            self._announcer.warn(
                f"a certificate is ACTIVE against {denial}",
                DISAGREEMENTS,
                certificate_id=certificate_id,
                ca=decision.ca if decision else None,
            )
        return len(denials)

    def _find_denied(self, active: Sequence[ListedCertificate], records: Mapping[str, Record]) -> Iterator[str]:
        """The ids of the certificates that an entry denies: for the certificate, its twin, or its thing name."""
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


def _lacks_serial(record: Record) -> bool:
    """Whether the record is not in the index of serial numbers, and should be."""
    return issued_as_of(record.decision) not in (None, record.issued_as)
