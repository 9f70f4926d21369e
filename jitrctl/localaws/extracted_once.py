"""One copy of a function's files for all its workers, in place of one copy each.

Loaded by loopback.py into ministack's process, never by jitrctl itself. ministack (1.5.33) unpacks a function's code
and its layers anew for each worker that it starts: 1,200 files a worker, 24,000 after the demo, whose removal took
longer than the demo's story. Here an archive is unpacked once, below TMPDIR, under its digest; a worker's directories
are links to that. As on Lambda, functions only read there. Python's own `__pycache__` is shared as well, so
only the first worker compiles.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_unpacking = threading.Lock()  # workers start in threads


class ExtractedOnce(zipfile.ZipFile):
    """An archive in a file; unpacked whole, it becomes a link to the one copy of its content."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Unpack as ZipFile does, where only a part is asked for or the directory has something in it already."""
        there = Path(path) if path is not None else None
        if there is None or there.is_symlink() or members is not None or pwd is not None or any(there.iterdir()):
            super().extractall(path, members, pwd)
            return
        with _unpacking:
            copy = self._copy()
        there.rmdir()
        there.symlink_to(copy, target_is_directory=True)

    def _copy(self) -> Path:
        with Path(str(self.filename)).open("rb") as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
        copy = Path(tempfile.gettempdir()) / "extracted" / digest
        if not copy.exists():
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            super().extractall(unfinished)
            unfinished.rename(copy)
        return copy


def install() -> None:
    """Have ministack's workers unpack with it."""
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=ExtractedOnce,
        BadZipFile=zipfile.BadZipFile,
        LargeFileError=zipfile.LargeZipFile,  # ministack's name for it, which zipfile does not have
    )
