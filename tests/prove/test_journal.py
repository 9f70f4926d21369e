"""The journal is on disk before a call is made, whole, and readable by the next run."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jitrctl.errors import Unusable
from jitrctl.prove.certificates import id_of
from jitrctl.prove.journal import Journal, JournalEntry, ResourceKind, read_earlier
from jitrctl.prove.operations import OPERATIONS, By
from simulation import Authority, Call, Fault, Moment
from tests.support.prove.proving_world import BOTH, CALLER, World

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
_MAKING = ("RegisterCACertificate", "RegisterCertificateWithoutCA", "CreatePolicy", "CreateThing")


def entry(name: str = "thing-1") -> JournalEntry:
    return JournalEntry(account="111111111111", region="eu-central-1", kind=ResourceKind.THING, name=name)


def on_disk(world: World) -> Iterator[JournalEntry]:
    for journal in read_earlier(world.directory / ".prove"):
        yield from journal.entries


def test_everything_is_in_the_file_before_the_call_that_makes_it(world: World) -> None:
    made: list[str] = []

    def hook(call: Call, moment: Moment) -> Fault | None:
        if call.caller == CALLER and call.operation in _MAKING and moment == "before":
            (target,) = OPERATIONS["iot", call.operation].targets
            value = call.parameters[target.parameter]
            entries = [one for one in on_disk(world) if one.account == call.account_id]
            if target.by is By.PEM:
                assert any(one.pem == value and one.expected_id == id_of(value) for one in entries)
            else:
                assert any(one.name == value for one in entries)
            made.append(call.operation)
        return None

    def connecting(account: Any, client_id: str) -> None:
        if "-listener-" not in client_id:
            assert any(one.name == client_id and one.account == account.id for one in on_disk(world))
            made.append("a device's CONNECT")

    world.aws.fault = hook
    world.on_connect = connecting
    assert world.ask(*BOTH)["ok"]
    assert set(made) == {*_MAKING, "a device's CONNECT"}


def test_a_change_is_synchronized_before_and_after_it_replaces_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def replacing(self: Path, target: Path) -> Path:
        done.append("replace")
        return replace(self, target)

    def synchronizing(number: int) -> None:
        done.append("file" if Path(f"/proc/self/fd/{number}").readlink().suffix == ".new" else "folder")
        fsync(number)

    monkeypatch.setattr(Path, "replace", replacing)
    monkeypatch.setattr(os, "fsync", synchronizing)
    journal = Journal.begin(tmp_path / ".prove", "jitr-prove-1", NOW)
    done.clear()
    journal.add(entry())

    assert done == ["file", "replace", "folder"]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    pem = Authority.new("CA").pem
    journal = Journal.begin(tmp_path / ".prove", "jitr-prove-1", NOW)
    kept = journal.add(entry())
    gone = journal.add(entry("thing-2"))
    journal.add(
        JournalEntry(
            account="1",
            region="r",
            kind=ResourceKind.CA,
            name="DEFAULT",
            pem=pem,
            expected_id=id_of(pem),
            found_id="other",
        )
    )
    journal.drop(gone)
    journal.keep_refusal(kept, "no")
    journal.close()

    (found,) = read_earlier(tmp_path / ".prove")
    assert (found.run, found.began) == ("jitr-prove-1", NOW)
    assert [(one.kind, one.name, one.refused) for one in found.entries] == [
        (ResourceKind.THING, "thing-1", "no"),
        (ResourceKind.CA, "DEFAULT", None),
    ]
    assert found.entries[1].ids == {id_of(pem), "other"}


def test_a_journal_without_entries_goes_and_others_stay(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path / ".prove", "jitr-prove-1", NOW)
    one = journal.add(entry())
    journal.close()
    assert journal.path.exists()
    journal.drop(one)
    journal.close()
    assert not journal.path.exists()


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / ".prove").write_text("a file")
    with pytest.raises(Unusable, match="cannot be written"):
        Journal.begin(tmp_path / ".prove", "jitr-prove-1", NOW)
