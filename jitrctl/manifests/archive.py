"""Reads the files in a ZIP archive one after the other, without unpacking anything to a disk.

A hostile archive ends in a sentence: its directory is bounded before zipfile reads it, and what its files expand to is
counted while they are read. Names in an archive are only shown.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from functools import partial
from typing import TYPE_CHECKING

from jitrctl.manifests.rows import UnusableManifest, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

# APPNOTE.TXT 4.3.16, end of central directory record; 4.3.15, ZIP64 locator before it.
_END, _ZIP64 = b"PK\x05\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _LONGEST_COMMENT = 22, 20, 65_535
_LARGEST_DIRECTORY = 16 * 1_048_576  # bytes: 65,535 files with names of 200 characters
_ENCRYPTED = 0x1
_FREE = 16 * 1_048_576  # bytes that any archive may expand to
_MOST_EXPANSION = 100  # times its size; lists of devices shrink to a half, and ids with one prefix to a twentieth
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError)


def members(archive: BinaryIO, file: str) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Each file in an archive: its name and what opens it.

    Raises UnusableManifest, also while a file is read.
    """
    size = _check_directory(archive, file)
    try:
        opened = zipfile.ZipFile(archive)
    except _DAMAGED as error:
        raise _damaged(file) from error
    expansion = _Expansion(file, size)
    with opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            name = printable(member.filename)
            if member.flag_bits & _ENCRYPTED:
                raise UnusableManifest(f"{file}: {show(name)} is encrypted: unpack the archive and import its files")
            yield name, partial(_open, opened, member, expansion)


def _open(archive: zipfile.ZipFile, member: zipfile.ZipInfo, expansion: _Expansion) -> BinaryIO:
    return io.BufferedReader(_Member(archive, member, expansion), 65_536)


def printable(name: str) -> str:
    """A file's name for messages and for other archives: without control characters, and not above its folder."""
    shown = "".join(one if one.isprintable() else "_" for one in name.replace("\\", "/"))
    return "/".join(part for part in shown.split("/") if part not in ("", ".", ".."))[-200:] or "_"


def _check_directory(archive: BinaryIO, file: str) -> int:
    """The archive's size in bytes, when its directory is of a bounded size.

    Raises UnusableManifest.
    """
    size = archive.seek(0, io.SEEK_END)
    tail_size = min(size, _END_SIZE + _LONGEST_COMMENT + _LOCATOR_SIZE)
    archive.seek(size - tail_size)
    tail = archive.read(tail_size)
    # As zipfile finds it: a record without a comment at the very end, else the last one.
    at = len(tail) - _END_SIZE
    if at < 0 or tail[at : at + 4] != _END or tail[-2:] != b"\0\0":
        at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise _damaged(file)
    if tail[max(at - _LOCATOR_SIZE, 0) : at].startswith(_ZIP64):
        raise UnusableManifest(f"{file} is a ZIP of more than 65,535 files or 4 GB: unpack it and import the folder")
    if struct.unpack("<I", tail[at + 12 : at + 16])[0] > _LARGEST_DIRECTORY:
        raise _damaged(file)
    archive.seek(0)
    return size


class _Expansion:
    """Counts what an archive expands to."""

    def __init__(self, file: str, size: int) -> None:
        self._file = file
        self._left = max(_FREE, size * _MOST_EXPANSION)

    def count(self, read: int) -> None:
        self._left -= read
        if self._left < 0:
            raise UnusableManifest(
                f"{self._file} expands to more than {_MOST_EXPANSION} times its size, as no list does: nothing was "
                "imported; unpack it to see what it holds"
            )


class _Member(io.RawIOBase):
    """One file of an archive, as it is expanded."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, expansion: _Expansion) -> None:
        self._expansion = expansion
        self._name = printable(member.filename)
        try:
            self._file = archive.open(member)
        except _DAMAGED as error:
            raise _damaged(self._name) from error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        filled = 0
        try:
            while filled < len(view) and (part := self._file.read(len(view) - filled)):
                view[filled : filled + len(part)] = part
                filled += len(part)
                self._expansion.count(len(part))
        except _DAMAGED as error:
            raise _damaged(self._name) from error
        return filled


def _damaged(file: str) -> UnusableManifest:
    return UnusableManifest(f"{file} is a damaged ZIP archive, or one that needs another program: nothing was imported")
