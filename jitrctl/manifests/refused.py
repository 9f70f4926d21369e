"""Writes refused rows as a file that can be mended and imported again, each row in its own form with its problem.

One list gives a file of its form. Several lists give a ZIP with one file for each that has refused rows.
"""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jitrctl.manifests.archive import printable
from jitrctl.manifests.rows import UnusableManifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, TextIO

    from jitrctl.manifests.rows import Refusal


class RefusedFile:
    """The file; it exists once a row was refused. A file that was there before stays, and is an error.

        with RefusedFile(Path("refused.csv"), of=[Path("batch-7.csv")]) as refused:
            refused.add(refusal)

    `of` are the files and folders that are read.

    Raises UnusableManifest when it cannot be written.
    """

    def __init__(self, path: Path, *, of: Sequence[Path]) -> None:
        self.path = path
        self.count = 0
        self._is_begun = False
        self._only = str(of[0]) if len(of) == 1 else None
        self._archive: zipfile.ZipFile | None = None
        self._part: TextIO | None = None
        self._last: Refusal | None = None
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end_part()
            if self._archive:
                self._archive.close()
        except OSError as failure:
            if kind is None:
                raise self._unwritable(failure) from failure
        if kind is not None and self._is_begun:
            with suppress(OSError):
                self.path.unlink()  # the import ended in an error, and the file is not whole

    def add(self, refusal: Refusal) -> None:
        """Write one refused row; those of one list come one after the other."""
        layout = refusal.origin.layout
        try:
            if self._last is None or refusal.origin.file != self._last.origin.file:
                self._end_part()
                self._part = self._begin_part(refusal.origin.file)
                self._part.write(layout.prefix)
            else:
                cast("TextIO", self._part).write(layout.separator)
            cast("TextIO", self._part).write(layout.row(refusal.origin.raw, refusal.problem))
        except OSError as error:
            raise self._unwritable(error) from error
        self._last = refusal
        self.count += 1

    def _unwritable(self, error: OSError) -> UnusableManifest:
        return UnusableManifest(f"{self.path} cannot be written: {error.strerror}: nothing was imported")

    def _begin_part(self, file: str) -> TextIO:
        if file == self._only:
            part = self.path.open("x", encoding="utf-8", newline="")
            self._is_begun = True
            return part
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path, "x", zipfile.ZIP_DEFLATED)
            self._is_begun = True
        name = printable(Path(file).as_posix())
        while name in self._names:
            name = f"{len(self._names)}-{name}"
        self._names.add(name)
        return io.TextIOWrapper(self._archive.open(name, "w"), encoding="utf-8", newline="")

    def _end_part(self) -> None:
        if self._part is not None and self._last is not None:
            self._part.write(self._last.origin.layout.suffix)
            self._part.close()
        self._part = None
