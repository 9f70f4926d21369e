"""Makes entries of the rows of a list: all of them are checked before anything is written.

A row with a certificate becomes an entry for the certificate, by its id. With `by_name` it becomes one for the name
that the maker gives the device. Of a row only its entry is kept: an id or a name, and what it gives the device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitr.admission.enrollment import SubjectKind
from jitrctl.device.enrollment import certificate_subject, entry_of, offering_cas, thing_subject
from jitrctl.errors import Unusable
from jitrctl.manifests.own_list import ATTRIBUTE
from jitrctl.manifests.rows import Refusal, Row, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jitr.admission.enrollment import Entry, Subject
    from jitr.rules import CaRules
    from jitr_fleet.model import Fleet
    from jitrctl.manifests.rows import Item, Origin

MOST_ROWS = 1_000_000  # in one import, whose entries are in memory
MOST_TOLD = 100  # problems in messages; a file of the refused rows has all
_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"", "no", "false", "0"})


class BadRows(Unusable):
    """A list holds rows that cannot be used; `problems` has the first MOST_TOLD, each with its place and what to do."""

    def __init__(self, name: str, problems: Sequence[str], count: int) -> None:
        more = (
            f", of which the first {len(problems)} are above; --refused FILE has all" if count > len(problems) else ""
        )
        super().__init__(f"{name} has {count} problem{'s' if count > 1 else ''}{more}: nothing was imported")
        self.problems = tuple(problems)


@dataclass(slots=True, kw_only=True)
class EntryList:
    """The entries of a list, in its order, and what gave none."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # the first MOST_TOLD
    refused: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)  # why → where
    unverified: int = 0  # rows whose signature was not verified


def read_entries(
    items: Iterable[Item],
    fleet: Fleet,
    *,
    name: str = "the list",
    by_name: bool = False,
    note: str = "",
    refuse: Callable[[Refusal], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> EntryList:
    """The entries of all rows; `refuse` gets each row that gives none, `progress` the number of rows read.

    `name` is the list's in messages; `note` is for rows without one.

    Raises Unusable when there is no row, or more than MOST_ROWS; what reading the items raises.
    """
    collected = _Collected(refuse)
    cas = offering_cas(fleet)
    for number, item in enumerate(items, start=1):
        if number > MOST_ROWS:
            raise Unusable(f"these are more than {MOST_ROWS:,} rows, and an import takes so many: split the list")
        progress(number)
        match item:
            case Skipped():
                collected.found.skipped.setdefault(item.why, []).append(item.place)
            case Refusal():
                collected.refuse(item)
            case Row():
                try:
                    collected.add(item, _entry(item, fleet, cas, by_name=by_name, note=note))
                except ValueError as error:
                    collected.refuse(item.origin.refuse(str(error)))
    found = collected.found
    if not found.entries and not found.refused:
        raise Unusable(
            f"{name} holds no device: there is no row below its heading, no device's certificate and no entry; nothing "
            "was imported"
        )
    return found


class _Collected:
    """The list so far."""

    def __init__(self, refuse: Callable[[Refusal], None]) -> None:
        self.found = EntryList()
        self._refuse = refuse
        self._places: dict[Subject, tuple[str, str, int]] = {}

    def add(self, row: Row, entry: Entry) -> None:
        """Raises ValueError when there is an entry for the same subject already."""
        place = (row.origin.file, row.origin.unit, row.origin.number)
        first = self._places.setdefault(entry.subject, place)
        if first is place:
            self.found.entries.append(entry)
            self.found.unverified += row.is_unverified
        elif first != place or entry.subject.kind is not SubjectKind.THING:
            raise ValueError(_twice(entry.subject, first, row.origin))
        # Else it is another certificate of a device that is entered by its name.

    def refuse(self, refusal: Refusal) -> None:
        self.found.refused += 1
        if len(self.found.problems) < MOST_TOLD:
            self.found.problems.append(str(refusal))
        self._refuse(refusal)


def _entry(row: Row, fleet: Fleet, cas: Sequence[CaRules], *, by_name: bool, note: str) -> Entry:
    """Raises ValueError, saying what is wrong with the row."""
    cells = row.cells
    may_follow = cells.get("may_follow", "").lower()
    if may_follow not in _YES | _NO:
        raise ValueError(f"may_follow is {may_follow!r}; write yes or no")
    return entry_of(
        _subject(row, by_name=by_name),
        rule=cells.get("rule", ""),
        accounts=_words(cells.get("accounts", "")),
        thing_type=cells.get("thing_type", ""),
        thing_groups=_words(cells.get("thing_groups", "")),
        attributes=_attributes(cells),
        may_follow=may_follow in _YES,
        note=cells.get("note", "") or note,
        fleet=fleet,
        cas=cas,
    )


def _subject(row: Row, *, by_name: bool) -> Subject:
    """Raises ValueError."""
    if row.chooses_subject:
        return thing_subject(row.name) if row.name else certificate_subject(row.certificate_id)
    if by_name:
        if not row.name:
            raise ValueError("gives the device no name: import it without --names")
        return thing_subject(row.name)
    if not row.certificate_id:
        raise ValueError("gives no certificate: order the full form of the manifest, or import the names (--names)")
    return certificate_subject(row.certificate_id)


def _attributes(cells: Mapping[str, str]) -> dict[str, str]:
    return {
        column.removeprefix(ATTRIBUTE): value
        for column, value in cells.items()
        if column.startswith(ATTRIBUTE) and value
    }


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s;]+", text) if word)


def _twice(subject: Subject, first: tuple[str, str, int], again: Origin) -> str:
    file, unit, number = first
    where = f"{unit} {number}" if file == again.file else f"{file}, {unit} {number}"
    return f"{subject} is in {where} already; keep one of them"
