"""Reads CSV (RFC 4180) record by record, in bounded memory, and writes refused records as CSV again."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.manifests.rows import Origin, UnusableManifest, refuse_private_key
from jitrctl.manifests.texts import LONGEST_LINE, open_text, read_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

_LONGEST_RECORD = 2 * LONGEST_LINE  # characters of all lines of one record
_MOST_LINES = 10_000  # of one record; a certificate has some 30
PROBLEM = "problem"  # the column of refused rows; ignored when they are read again


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLayout:
    """Refused rows of a CSV file: its heading, if it has one, and a last column with the problem."""

    heading: tuple[str, ...] = ()
    separator: str = ""
    suffix: str = ""

    @property
    def prefix(self) -> str:
        return _line((*self.heading, PROBLEM)) if self.heading else ""

    def row(self, raw: str, problem: str) -> str:
        """One record with its problem behind it."""
        cells = next(csv.reader([raw]), [])
        return _line((*cells, *[""] * (len(self.heading) - len(cells)), problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, with the number of its first line."""

    line: int
    cells: list[str]

    def origin(self, file: str, layout: CsvLayout) -> Origin:
        return Origin(file=file, unit="line", number=self.line, raw=_line(self.cells), layout=layout)


def read_records(content: BinaryIO, file: str) -> Iterator[Record]:
    """The records of a CSV file in UTF-8; empty lines are left out.

    Raises UnusableManifest when it is not CSV or not UTF-8, has a record that is too long, or holds a private key.
    """
    with open_text(content, newline="") as text:
        lines = _Lines(text, file)
        reader = csv.reader(lines, strict=True)
        line = 1
        try:
            for cells in reader:
                if cells:
                    for cell in cells:
                        refuse_private_key(cell, f"{file}:{line}")
                    yield Record(line=line, cells=cells)
                    lines.begin_record()  # empty lines count for the next one, or a file of them would take hours
                line = reader.line_num + 1
        except csv.Error as error:
            raise UnusableManifest(f"{file}:{line}: is not CSV ({error}): nothing was imported") from error


class _Lines:
    """The lines of a text, each and each record of bounded length."""

    def __init__(self, text: io.TextIOBase, file: str) -> None:
        self._text = text
        self._file = file
        self._number = 0
        self._characters = self._lines = 0

    def begin_record(self) -> None:
        self._characters = self._lines = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self._number += 1
        line = read_line(self._text, self._file, self._number)
        if not line:
            raise StopIteration
        self._characters += len(line)
        self._lines += 1
        if self._characters > _LONGEST_RECORD or self._lines > _MOST_LINES:
            raise UnusableManifest(
                f"{self._file}:{self._number}: a row, with the empty lines before it, has more than {_MOST_LINES:,} "
                f"lines or {_LONGEST_RECORD:,} characters; is a quotation mark missing? Nothing was imported"
            )
        return line


def _line(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()
