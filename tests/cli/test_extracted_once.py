"""Workers of the local AWS share one copy of their function's files."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from jitrctl.localaws.extracted_once import ExtractedOnce

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(f"package/{name}", text)
    return path


def unpack(made: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    with ExtractedOnce(made) as opened:
        opened.extractall(to)
    return to


def test_workers_share_the_files_of_one_archive(tmp_path: Path, temporary: Path) -> None:
    made = archive(tmp_path / "code.zip", a="1", b="2")
    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(lambda number: unpack(made, tmp_path / f"worker{number}" / "code"), range(8)))
    assert all((place / "package" / "b").read_text() == "2" for place in places)
    assert len([file for file in temporary.rglob("*") if file.is_file()]) == 2  # one copy


def test_another_archive_is_another_copy(tmp_path: Path) -> None:
    old = unpack(archive(tmp_path / "old.zip", a="1"), tmp_path / "old")
    new = unpack(archive(tmp_path / "new.zip", a="2"), tmp_path / "new")
    assert (old / "package" / "a").read_text() == "1"
    assert (new / "package" / "a").read_text() == "2"


def test_removing_a_worker_leaves_the_copy_to_the_others(tmp_path: Path) -> None:
    made = archive(tmp_path / "code.zip", a="1")
    unpack(made, tmp_path / "first" / "code")
    unpack(made, tmp_path / "second" / "code")
    shutil.rmtree(tmp_path / "first")
    assert (tmp_path / "second" / "code" / "package" / "a").read_text() == "1"


def test_what_an_interrupted_unpacking_left_is_made_anew(tmp_path: Path) -> None:
    made = archive(tmp_path / "code.zip", a="1")
    copy = unpack(made, tmp_path / "first").resolve()
    copy.rename(copy.with_suffix(".unfinished"))
    (copy.with_suffix(".unfinished") / "package" / "a").write_text("half")
    assert (unpack(made, tmp_path / "second") / "package" / "a").read_text() == "1"


def test_a_directory_with_files_in_it_is_filled_as_by_zipfile(tmp_path: Path) -> None:
    to = tmp_path / "there"
    to.mkdir()
    (to / "own").write_text("kept")
    with ExtractedOnce(archive(tmp_path / "code.zip", a="1")) as opened:
        opened.extractall(to)
    assert not to.is_symlink()
    assert (to / "own").read_text() == "kept"
    assert (to / "package" / "a").read_text() == "1"
