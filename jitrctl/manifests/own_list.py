"""Reads jitr's own lists: CSV with a heading of the columns of docs/enrollment.md, or certificate ids alone."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.manifests.certificates import first_in, row_of
from jitrctl.manifests.records import PROBLEM, CsvLayout
from jitrctl.manifests.rows import BadRow, Item, Origin, Row, UnusableManifest, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jitrctl.manifests.records import Record

ATTRIBUTE = "attribute:"
_SUBJECTS = ("thing_name", "certificate_id", "certificate")
_SETTINGS = ("rule", "accounts", "thing_type", "thing_groups", "may_follow", "note")
_COLUMNS = (*_SUBJECTS, *_SETTINGS, PROBLEM)
COLUMNS_IN_WORDS = (
    f"a list has a column {', '.join(_SUBJECTS[:-1])} or {_SUBJECTS[-1]}, and may have {', '.join(_SETTINGS)} and "
    f"{ATTRIBUTE}NAME; makers' forms are in docs/enrollment.md"
)


def is_heading(cells: Sequence[str]) -> bool:
    return any(cell in _SUBJECTS for cell in cells)


def is_bare_ids(cells: Sequence[str]) -> bool:
    """Whether a file begins with a certificate id, in a row without a heading."""
    return len(cells) in (1, 2) and certificate_id_in(cells[0]) is not None


def read(heading: Record, records: Iterator[Record], file: str) -> Iterator[Item]:
    """The rows below the heading.

    Raises UnusableManifest when the heading has other columns.
    """
    columns = heading.cells
    if problem := _heading_problem(columns):
        raise UnusableManifest(f"{file}:{heading.line}: {problem}: nothing was imported")
    layout = CsvLayout(heading=tuple(column for column in columns if column != PROBLEM))
    for record in records:
        origin = without_problem(record, columns).origin(file, layout)
        if len(record.cells) != len(columns):
            yield origin.refuse("has more or fewer cells than the heading")
            continue
        try:
            yield _row(origin, {column: cell.strip() for column, cell in zip(columns, record.cells, strict=True)})
        except BadRow as error:
            yield origin.refuse(str(error))


def read_bare_ids(first: Record, records: Iterator[Record], file: str) -> Iterator[Item]:
    """The rows of a file with nothing but certificate ids, one in a row."""
    layout = CsvLayout()
    for record in chain((first,), records):
        origin = type(record)(line=record.line, cells=record.cells[:1]).origin(file, layout)
        if certificate_id_in(record.cells[0]) is None:
            yield origin.refuse(f"{show(record.cells[0])} is not a certificate id, as the rows before it are")
        else:
            yield Row(origin=origin, certificate_id=record.cells[0], chooses_subject=True)


def without_problem(record: Record, columns: Sequence[str]) -> Record:
    """The record without what an earlier import wrote about it."""
    if PROBLEM not in columns or len(record.cells) != len(columns):
        return record
    kept = [cell for column, cell in zip(columns, record.cells, strict=True) if column != PROBLEM]
    return type(record)(line=record.line, cells=kept)


def _heading_problem(columns: Sequence[str]) -> str:
    for column in columns:
        if column not in _COLUMNS and not column.startswith(ATTRIBUTE):
            separated = "; columns are separated by commas" if ";" in column or "\t" in column else ""
            return f"column {show(column)} is unknown{separated}; {COLUMNS_IN_WORDS}"
    if not is_heading(columns):
        return (
            f"there is no column thing_name, certificate_id or certificate: the first line is the heading; "
            f"{COLUMNS_IN_WORDS}"
        )
    if len(set(columns)) < len(columns):
        return "a column is there twice; keep one of them"
    return ""


def _row(origin: Origin, cells: Mapping[str, str]) -> Row:
    """Raises BadRow, saying what is wrong with the row."""
    thing, certificate_id, pem = (cells.get(column, "") for column in _SUBJECTS)
    if [bool(thing), bool(certificate_id), bool(pem)].count(True) != 1:
        raise BadRow("give either a thing_name or a certificate_id, or a certificate in PEM")
    settings = {column: cell for column, cell in cells.items() if column not in (*_SUBJECTS, PROBLEM)}
    if pem:
        return row_of(origin, first_in(pem), cells=settings)
    return Row(origin=origin, certificate_id=certificate_id, name=thing, chooses_subject=True, cells=settings)
