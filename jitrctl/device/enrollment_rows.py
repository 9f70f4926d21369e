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
from jitrctl.device.list_rows import MOST_ROWS, RowList, collect_rows, in_words, place_of
from jitrctl.manifests.own_list import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jitr.admission.enrollment import Entry, Subject
    from jitr.rules import CaRules
    from jitr_fleet.model import Fleet
    from jitrctl.device.list_rows import Place
    from jitrctl.manifests.rows import Item, Refusal, Row

_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"", "no", "false", "0"})


@dataclass(slots=True, kw_only=True)
class EntryList(RowList):
    """The entries of a list, in its order."""

    entries: list[Entry] = field(default_factory=list)


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
    found, cas = EntryList(), offering_cas(fleet)
    places: dict[Subject, Place] = {}

    def add(row: Row) -> bool:
        """Raises ValueError also when there is an entry for the same subject already."""
        entry = _entry(row, fleet, cas, by_name=by_name, note=note)
        place = place_of(row.origin)
        first = places.setdefault(entry.subject, place)
        if first is place:
            found.entries.append(entry)
            return True
        if first != place or entry.subject.kind is not SubjectKind.THING:
            raise ValueError(f"{entry.subject} is in {in_words(first, row.origin)} already; keep one of them")
        return False  # another certificate of a device that is entered by its name

    collect_rows(items, found, add, name=name, refuse=refuse, progress=progress, most=MOST_ROWS)
    return found


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
