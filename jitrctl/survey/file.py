"""The survey file: what was found in each account and Region, and how far the survey has come; SQLite.

One file for all stages, so that memory stays bounded for any fleet. A stage's thread writes in short transactions: a
page with the place that follows it, so that a killed survey goes on exactly there. The tables are made in one
transaction: a survey that is killed before its end leaves an empty file, which is as good as none.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from jitrctl.errors import Refused, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_VERSION = 3
_WAIT = 300.0  # seconds, for another stage's transaction
# certificate.named: AWS itself names the CA. record: the outcome that jitr recorded, or that it holds the device under
# a template (origins.py), under record_ca, which may be a source, and with record_thing. member: things of the groups
# that have policies, those of child groups included. Without rowids, keys are not kept twice.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE place (stage TEXT, step TEXT, marker TEXT, done INTEGER NOT NULL, PRIMARY KEY (stage, step));
CREATE TABLE ca (stage TEXT, id TEXT, status TEXT, mode TEXT, auto INTEGER, template TEXT, policies TEXT, ends_at TEXT,
    PRIMARY KEY (stage, id));
CREATE TABLE rule (stage TEXT, name TEXT, pattern TEXT, disabled INTEGER, actions TEXT, PRIMARY KEY (stage, name));
CREATE TABLE template (stage TEXT, name TEXT, type TEXT, enabled INTEGER, policies TEXT, hook TEXT,
    PRIMARY KEY (stage, name));
CREATE TABLE certificate (stage TEXT, id TEXT, status TEXT, mode TEXT, ca TEXT, named INTEGER NOT NULL DEFAULT 0,
    described INTEGER NOT NULL DEFAULT 0, facts TEXT, ends_at TEXT, record TEXT, record_ca TEXT,
    record_thing TEXT,
    PRIMARY KEY (stage, id)) WITHOUT ROWID;
CREATE TABLE thing (stage TEXT, name TEXT, asked INTEGER NOT NULL DEFAULT 0, owner TEXT,
    PRIMARY KEY (stage, name)) WITHOUT ROWID;
CREATE TABLE attachment (stage TEXT, thing TEXT, principal TEXT, PRIMARY KEY (stage, thing, principal)) WITHOUT ROWID;
CREATE INDEX attachment_of ON attachment (stage, principal);
CREATE TABLE policy (stage TEXT, name TEXT, asked INTEGER NOT NULL DEFAULT 0, flaws TEXT, claims INTEGER,
    PRIMARY KEY (stage, name)) WITHOUT ROWID;
CREATE TABLE attached (stage TEXT, policy TEXT, target TEXT, PRIMARY KEY (stage, policy, target)) WITHOUT ROWID;
CREATE INDEX attached_to ON attached (stage, target);
CREATE TABLE member (stage TEXT, thing_group TEXT, thing TEXT, PRIMARY KEY (stage, thing_group, thing)) WITHOUT ROWID;
CREATE INDEX member_of ON member (stage, thing)
"""


class SurveyFile:
    """One survey file; each call opens it for itself, so that any thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {}  # what was read once of a finished survey, by stage

    @classmethod
    def create(cls, path: Path, fleet: str) -> SurveyFile:
        """Make a new survey file; an empty one, which a killed survey left, is taken. Its owner alone may read it.

        Raises Unusable when there is a file of that name already, or it cannot be written.
        """
        made = cls(path)
        with suppress(OSError):  # SQLite makes it for everybody to read; it says why it cannot be made
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with closing(made._open()) as database, database:
                database.execute("BEGIN EXCLUSIVE")  # of two at once, the second sees the first one's tables
                if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    raise Unusable(
                        f"{path} exists: continue that survey with --resume, or name another file; nothing was asked"
                    )
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                database.executemany("INSERT INTO meta VALUES (?, ?)", [("version", str(_VERSION)), ("fleet", fleet)])
        except sqlite3.DatabaseError as error:
            if path.is_file() and path.stat().st_size:
                raise Unusable(f"{path} exists, and is no survey file: name another file; nothing was asked") from error
            raise Unusable(f"{path} cannot be written ({error}): name another file; nothing was asked") from error
        return made

    @classmethod
    def existing(cls, path: Path, fleet: str) -> SurveyFile:
        """Open a survey file of this fleet; an empty one is a survey that was killed before its first call.

        Raises Unusable when it is none, or another fleet's.
        """
        if path.is_dir():
            raise Unusable(f"{path} is a folder: name a survey's file")
        if not path.is_file():
            raise Unusable(f"there is no file {path}: make it with `jitrctl fleet survey {path}`")
        found = cls(path)
        if not path.stat().st_size:
            return cls.create(path, fleet)
        try:
            meta = dict(found.rows("SELECT key, value FROM meta"))
        except sqlite3.DatabaseError as error:
            raise Unusable(f"{path} is no survey file: make one with `jitrctl fleet survey`") from error
        if meta.get("version") != str(_VERSION):
            raise Unusable(f"{path} is a survey of another version of jitrctl: survey again, into another file")
        if meta.get("fleet") != fleet:
            raise Unusable(f"{path} is a survey of fleet {meta.get('fleet')}, and this is {fleet}: name its fleet file")
        return found

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one after the other."""
        with closing(self._open()) as database:
            yield from database.execute(query, values)

    def one(self, query: str, *values: Any) -> Any:
        """The first column of a query's first row; None without a row."""
        return next((row[0] for row in self.rows(query, *values)), None)

    def write(self, *writes: tuple[str, Iterable[Sequence[Any]]]) -> None:
        """Carry out statements, each for many rows, in one transaction.

        Raises Refused when the file cannot be written.
        """
        try:
            with closing(self._open()) as database, database:
                for statement, rows in writes:
                    database.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise Refused(
                f"{self.path} cannot be written ({error}): see to the disk, and continue with --resume; what is in the "
                "file stays"
            ) from error

    def place(self, stage: str, step: str) -> tuple[str | None, bool]:
        """The marker at which a step goes on, and whether it is done."""
        found = next(self.rows("SELECT marker, done FROM place WHERE stage = ? AND step = ?", stage, step), None)
        return (found[0], bool(found[1])) if found else (None, False)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=_WAIT)
        # A process may die at any moment and lose nothing; so may the machine, but for the last pages perhaps.
        database.execute("PRAGMA synchronous = NORMAL")
        return database


def put_place(stage: str, step: str, marker: str | None, *, done: bool) -> tuple[str, list[Sequence[Any]]]:
    """The write that keeps the place of a step."""
    return "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", [(stage, step, marker, int(done))]
