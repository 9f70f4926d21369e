"""Collects the rows of lists: those that can be used, the others with the reason, and what is no device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitrctl.errors import Unusable
from jitrctl.manifests.rows import Refusal, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jitrctl.manifests.rows import Item, Origin, Row

MOST_ROWS = 1_000_000  # in one import, whose entries are in memory
MOST_TOLD = 100  # problems in messages; a file of the refused rows has all


class BadRows(Unusable):
    """A list holds rows that cannot be used; `problems` has the first MOST_TOLD, each with its place and what to do."""

    def __init__(self, name: str, problems: Sequence[str], count: int) -> None:
        more = (
            f", of which the first {len(problems)} are above; --refused FILE has all" if count > len(problems) else ""
        )
        super().__init__(f"{name} has {count} problem{'s' if count > 1 else ''}{more}: nothing was imported")
        self.problems = tuple(problems)


@dataclass(slots=True, kw_only=True)
class RowList:
    """What a list's rows gave, and what they did not."""

    used: int = 0  # rows that can be used
    problems: list[str] = field(default_factory=list)  # the first MOST_TOLD
    refused: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)  # why → where
    unverified: int = 0  # rows whose signature was not verified


def collect_rows(
    items: Iterable[Item],
    found: RowList,
    add: Callable[[Row], bool],
    *,
    name: str,
    refuse: Callable[[Refusal], None],
    progress: Callable[[int], None],
    most: int = MOST_ROWS,
) -> None:
    """Give each row to `add`, which says whether the row gave something new, and raises ValueError if it is wrong.

    `refuse` gets each row that cannot be used, `progress` the number of rows read; `name` is the list's in messages.

    Raises Unusable when there is no row, or more than `most`; what reading the items raises.
    """

    def refuse_row(refusal: Refusal) -> None:
        found.refused += 1
        if len(found.problems) < MOST_TOLD:
            found.problems.append(str(refusal))
        refuse(refusal)

    for number, item in enumerate(items, start=1):
        if number > most:
            raise Unusable(f"these are more than {most:,} rows, and an import takes so many: split the list")
        progress(number)
        match item:
            case Skipped():
                found.skipped.setdefault(item.why, []).append(item.place)
            case Refusal():
                refuse_row(item)
            case _:
                try:
                    if add(item):
                        found.used += 1
                        found.unverified += item.is_unverified
                except ValueError as error:
                    refuse_row(item.origin.refuse(str(error)))
    if not found.used and not found.refused:
        raise Unusable(
            f"{name} holds no device: there is no row below its heading, no device's certificate and no entry; nothing "
            "was imported"
        )


Place = tuple[str, str, int]


def place_of(origin: Origin) -> Place:
    """File, unit and number of a row: what is kept of its place."""
    return origin.file, origin.unit, origin.number


def in_words(first: Place, again: Origin) -> str:
    """The place of an earlier row, in a message about a later one."""
    file, unit, number = first
    return f"{unit} {number}" if file == again.file else f"{file}, {unit} {number}"
