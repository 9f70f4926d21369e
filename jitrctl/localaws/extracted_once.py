"""Has all workers of a function in the local AWS share one copy of its files.

Loaded by loopback.py into ministack's process, never by jitrctl itself. ministack (1.5.33) unpacks a function's code
and layers for each worker that it starts: 1,200 files a worker, 24,000 after the demo, whose removal took longer than
the demo. Here an archive is unpacked once, under its digest, into a directory that the processes of all accounts share
(JITR_LOCAL_EXTRACTED), and a worker's directories are links to it. As on Lambda, functions only read there.
`__pycache__` is shared too, so only the first worker compiles.
"""

from __future__ import annotations

import hashlib
import os
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
    """A zip archive; unpacked whole, it becomes a link to the one copy of its content."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Link the directory to the copy; unpack as ZipFile does if only a part is wanted, or it is not empty."""
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
        copy = Path(os.environ.get("JITR_LOCAL_EXTRACTED") or tempfile.gettempdir(), digest)
        if not copy.exists():
            unfinished = copy.with_name(f"{digest}.{os.getpid()}")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            super().extractall(unfinished)
            try:
                unfinished.rename(copy)
            except OSError:  # another process was first
                if not copy.exists():
                    raise
                shutil.rmtree(unfinished)
        return copy


def install() -> None:
    """Have ministack's workers unpack with ExtractedOnce."""
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=ExtractedOnce,
        BadZipFile=zipfile.BadZipFile,
        LargeFileError=zipfile.LargeZipFile,  # ministack's name for it, which zipfile does not have
    )
