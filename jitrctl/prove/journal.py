"""Keeps the journal of a run: each thing that it makes in an account, on disk before the call that makes it.

So after any end of a run, even SIGKILL or a power cut, the next run knows what may be there. An entry is dropped when
its thing is gone; the file is removed with the last entry. Certificates are kept with their PEM and the id that they
should get: if AWS gives another id, they are found by their PEM.

The file is replaced whole, and synchronized with the disk, at every change. One run at a time works on a folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
FOLDER = ".prove"  # beside the fleet file
_SUFFIX = ".journal.json"


class ResourceKind(Enum):
    """What a run makes."""

    CA = "CA"
    CERTIFICATE = "certificate"
    POLICY = "policy"
    THING = "thing"
    ROLE = "role"
    QUEUE = "queue"
    FUNCTION = "function"
    MAPPING = "event source mapping"  # has a function's name


@dataclass(kw_only=True, eq=False)
class JournalEntry:
    """One thing that a run makes, in one account and Region."""

    account: str  # id
    region: str
    kind: ResourceKind
    name: str  # AWS's name for it; of a certificate, a label
    pem: str | None = None
    expected_id: str | None = None
    found_id: str | None = None  # as AWS answered
    refused: str | None = None  # why it could not be deleted, in a sentence

    @property
    def ids(self) -> frozenset[str]:
        """The ids that the thing may have."""
        return frozenset(one for one in (self.expected_id, self.found_id) if one)

    def __str__(self) -> str:
        number = f" {(self.found_id or self.expected_id or '')[:16]}…" if self.pem else ""
        return f"{self.kind.value} {self.name}{number} in {self.account}/{self.region}"


class Journal:
    """One run's journal; made by `begin` or `read`."""

    def __init__(self, path: Path, run: str, began: datetime, entries: list[JournalEntry]) -> None:
        self.path = path
        self.run = run
        self.began = began
        self._entries = entries

    @classmethod
    def begin(cls, folder: Path, run: str, began: datetime) -> Journal:
        """An empty journal, on disk already: an unwritable folder is found before anything is made.

        Raises Unusable.
        """
        journal = cls(folder / f"{run}{_SUFFIX}", run, began, [])
        journal._write()
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal that an earlier run left.

        Raises Unusable if jitrctl did not write the file.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}")  # noqa: TRY301 -- one sentence for all
            entries = [JournalEntry(**{**one, "kind": ResourceKind(one["kind"])}) for one in document["entries"]]
            return cls(path, document["run"], datetime.fromisoformat(document["began"]), entries)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Unusable(
                f"the journal {path} cannot be read ({error}): it names what an earlier run made; delete those things "
                "by hand, then the file"
            ) from error

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        return tuple(self._entries)

    def add(self, entry: JournalEntry) -> JournalEntry:
        """Write an entry, before its thing is made."""
        self._entries.append(entry)
        self._write()
        return entry

    def keep_id(self, entry: JournalEntry, certificate_id: str) -> None:
        """Write the id that AWS gave the thing."""
        if entry.found_id != certificate_id:
            entry.found_id = certificate_id
            self._write()

    def keep_refusal(self, entry: JournalEntry, why: str) -> None:
        """Write why the thing could not be deleted."""
        entry.refused = why
        self._write()

    def drop(self, entry: JournalEntry) -> None:
        """Remove an entry: its thing does not exist."""
        self._entries.remove(entry)
        self._write()

    def close(self) -> None:
        """Remove the file, if it has no entry."""
        if not self._entries:
            self.path.unlink(missing_ok=True)
            _synchronize(self.path.parent)

    def _write(self) -> None:
        document: dict[str, Any] = {
            "format": FORMAT,
            "run": self.run,
            "began": self.began.isoformat(),
            "entries": [{**asdict(entry), "kind": entry.kind.value} for entry in self._entries],
        }
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _synchronize(self.path.parent)
        except OSError as error:
            raise Unusable(f"the journal {self.path} cannot be written ({error.strerror}): make room for it") from error


def read_earlier(folder: Path) -> tuple[Journal, ...]:
    """The journals that earlier runs left, oldest first.

    Raises Unusable.
    """
    found = [Journal.read(path) for path in folder.glob(f"*{_SUFFIX}")]
    return tuple(sorted(found, key=lambda journal: journal.began))


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder, so that no other run deletes what this one makes; the lock ends with the process.

    Raises Unusable.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise Unusable(f"{folder} cannot be written ({error.strerror}): the journal goes there") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unusable(f"another `jitrctl prove` uses {folder}: wait until it has ended") from error
        yield


def _synchronize(folder: Path) -> None:
    """Synchronize a folder with the disk, so that a rename survives a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
