"""Finds the registered certificates on which a CRL may have something to say; reads the smaller side.

    by serial number   what the CRL says differently than the one applied last: a query for each number (index
                       `serials`)
    by record          all records of the CA (index `outcomes`), looked up in the CRL in memory

Either way the records are read consistently, and what is done already shows there. So a page may be read again, and
what is left is found. Each page says where the walk goes on after it, so that a run can end there and the next one go
on.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from jitr.aws.calls import batches
from jitr.crl_progress import Place
from jitr.decisions import Outcome
from jitr.frozen import value
from jitr.record import Record
from jitr.revocation.difference import changed_serials
from jitr.revocation.judgement import Action, judge
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.x509.crl import RevocationList

if TYPE_CHECKING:
    from jitr.store.index_pages import Position

# Of a certificate that is registered: HELD ones are `register`'s.
_LISTED = (Outcome.ACTIVATED, Outcome.FOUND, Outcome.REJECTED, Outcome.REPLACED)
# What a query for one serial number costs in time, beside a record that is read with 99 others.
_QUERY_IN_RECORDS = 50
# So many queries are made whatever the number of records.
_FEW = 100
# Records, or serial numbers, of a page. A walk goes on page by page, and certificates that stay candidates (deleted in
# AWS IoT since, say) take a turn in every run: at the rate that is guaranteed, a run has turns for more than a page.
_AT_ONCE = 50
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@value
class Candidate:
    """One certificate, and what its record says is to be done."""

    certificate_id: str
    serial: int
    record: Record
    action: Action


@value
class CandidatePage:
    """Some of the candidates, and where the walk goes on after them."""

    candidates: tuple[Candidate, ...]  # there may be none
    after: Place | None  # None: nothing is left


# Where a walk begins.
BEGINNING: Place = {}


class Candidates:
    """Finds candidates in the registry of one account and Region."""

    def __init__(self, *, registry: Registry, outcomes: Outcomes) -> None:
        self._registry = registry
        self._outcomes = outcomes

    def find(
        self,
        ca_certificate_id: str,
        crl: RevocationList,
        base: RevocationList | None,
        *,
        by_serial: bool,
        place: Place = BEGINNING,
    ) -> Iterator[CandidatePage]:
        """The candidates from a place on, page by page.

        `base` is the CRL that was applied last, None for all that the CRL says. A place holds for the same CRLs.

        Raises Unavailable.
        """
        found = (
            self._by_serial(ca_certificate_id, crl, base, int(place.get("skipped", 0)))
            if by_serial
            else self._by_record(ca_certificate_id, place)
        )
        for records, after in found:
            candidates = (
                Candidate(certificate_id=certificate_id, serial=serial, record=record, action=action)
                for certificate_id, serial, record in records
                if (action := judge(record, crl.reason_of(serial)))
            )
            yield CandidatePage(candidates=tuple(candidates), after=after)

    def devices_of(self, ca_certificate_id: str) -> int:
        """The number of the CA's certificates that are or were ACTIVE here, as far as jitr knows.

        Raises Unavailable.
        """
        return sum(
            self._outcomes.count_decided(outcome, ca_certificate_id) for outcome in (Outcome.ACTIVATED, Outcome.FOUND)
        )

    def _by_serial(
        self, ca_certificate_id: str, crl: RevocationList, base: RevocationList | None, skipped: int
    ) -> Iterator[tuple[list[tuple[str, int, Record]], Place | None]]:
        changed = islice(changed_serials(crl.rows, base.rows if base else {}), skipped, None)
        while some := list(islice(changed, _AT_ONCE)):
            skipped += len(some)
            serials = {
                certificate_id: serial
                for serial in some
                for certificate_id in self._outcomes.find_issued(ca_certificate_id, serial)
            }
            records = self._recall(serials)
            after: Place | None = {"skipped": skipped} if len(some) == _AT_ONCE else None
            yield [(one, serial, records[one]) for one, serial in serials.items()], after

    def _by_record(
        self, ca_certificate_id: str, place: Place
    ) -> Iterator[tuple[list[tuple[str, int, Record]], Place | None]]:
        at = _LISTED.index(Outcome(place["outcome"])) if "outcome" in place else 0
        after: Position | None = place.get("after")
        while True:
            ids, after = self._outcomes.page_decided(
                _LISTED[at], ca_certificate_id, since=_EVER, after=after, most=_AT_ONCE
            )
            at += after is None
            is_last = at == len(_LISTED)
            yield (
                [
                    (one, int(record.decision.serial, 16), record)
                    for one, record in self._recall(ids).items()
                    if record.decision and record.decision.serial
                ],
                None if is_last else {"outcome": _LISTED[at].value} | ({"after": after} if after else {}),
            )
            if is_last:
                return

    def _recall(self, ids: Iterable[str]) -> dict[str, Record]:
        return {one: record for some in batches(list(ids)) for one, record in self._registry.recall(some).items()}


def is_smaller_by_serial(changed: int, records: int | None) -> bool:
    """Whether so many queries read less than all of the CA's records; None: their number is not known."""
    return changed <= max(_FEW, (records or 0) // _QUERY_IN_RECORDS)


def count_changed(crl: RevocationList, base: RevocationList | None) -> int:
    """The number of serial numbers on which the two lists differ."""
    return sum(1 for _ in changed_serials(crl.rows, base.rows)) if base else crl.size
