"""Reads lists of devices in any known form: files, folders of them, and ZIP archives of them.

A file's form is recognized by its first bytes, never by its name. A form that is not known is refused with a sentence
that names the columns of a list.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from jitrctl.manifests import archive, delimited, microchip, pem
from jitrctl.manifests.own_list import COLUMNS_IN_WORDS
from jitrctl.manifests.rows import Skipped, UnusableManifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader
    from typing import BinaryIO

    from jitrctl.manifests.jws import Signers
    from jitrctl.manifests.rows import Item, Reader

NO_LIST = "was not read, since it is no list by its name"
_HEAD = 65_536  # bytes that a form is recognized by
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it (7z x FILE), the archives in it too, and import the folder of "
    "certificates",
    b"\x1f\x8b": "compressed with gzip: unpack it (gunzip FILE)",
    b"BZh": "compressed with bzip2: unpack it (bunzip2 FILE)",
    b"\xfd7zXZ\0": "compressed with xz: unpack it (unxz FILE)",
    b"Rar!": "a RAR archive: unpack it, and import the folder",
    b"%PDF": f"a PDF, and no list; {COLUMNS_IN_WORDS}",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as CSV in UTF-8",
}
_PEM = re.compile(rb"^-----BEGIN ", re.MULTILINE)
_DER = re.compile(rb"\x30[\x80-\x84]")
# Files that stand beside lists and are none.
_BESIDE = re.compile(r"(?:readme|license|licence)(?:\..*)?|.*\.(?:pdf|md|html?)|\..*", re.IGNORECASE)


def read_files(paths: Sequence[Path], signers: Signers) -> Iterator[Item]:
    """The items of these files and folders, in order; a folder's by name.

    Where there are signers, a file that is not signed is refused: it could replace one that is.

    Raises UnusableManifest, also after some items.
    """
    for path in paths:
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                folders.sort()
                for file in sorted(files):
                    yield from _read_beside(Path(folder, file), signers)
        else:
            yield from _read_path(path, str(path), signers)


def _read_beside(path: Path, signers: Signers) -> Iterator[Item]:
    name = "".join(one if one.isprintable() else "_" for one in str(path))
    if _BESIDE.fullmatch(path.name):
        yield Skipped(place=name, why=NO_LIST)
    else:
        yield from _read_path(path, name, signers)


def _read_path(path: Path, name: str, signers: Signers) -> Iterator[Item]:
    with _opened(path) as content:
        head = content.peek(_HEAD)[:_HEAD]
        if not head.startswith(_ZIP):
            yield from _read_content(content, head, name, signers)
            return
        if not content.seekable():
            raise UnusableManifest(f"{name} is a ZIP archive in a pipe: name its file instead")
        for member, open_member in archive.members(cast("BinaryIO", content), name):
            place = f"{name}/{member}"
            parts = PurePosixPath(member).parts
            if "__MACOSX" in parts or _BESIDE.fullmatch(parts[-1]):
                yield Skipped(place=place, why=NO_LIST)
                continue
            with open_member() as file:
                of_member = cast("BufferedReader", file).peek(_HEAD)[:_HEAD]
                if of_member.startswith(_ZIP):
                    raise UnusableManifest(f"{place} is a ZIP in a ZIP: unpack the outer one, and import the folder")
                yield from _read_content(file, of_member, place, signers)


def _read_content(content: BinaryIO, head: bytes, file: str, signers: Signers) -> Iterator[Item]:
    reader = _reader(head, file)
    if signers and reader is not microchip.read:
        raise UnusableManifest(
            f"{file} is not signed, and --signer verifies Microchip's signed manifests: nothing was imported; import "
            "it without --signer if you trust it"
        )
    yield from reader(content, file, signers)


def _reader(head: bytes, file: str) -> Reader:
    """The reader of the form that begins so.

    Raises UnusableManifest.
    """
    for mark, what in _PACKED.items():
        if head.startswith(mark):
            raise UnusableManifest(f"{file} is {what}")
    if _DER.match(head):
        return pem.read_der
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise UnusableManifest(f"{file} cannot be read as UTF-8 text: save the list as UTF-8; {COLUMNS_IN_WORDS}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"[", b"{")):
        return microchip.read
    if text.startswith(b"<"):
        raise UnusableManifest(f"{file} is XML or HTML, which no known list is; {COLUMNS_IN_WORDS}")
    if _PEM.search(text) and not delimited.is_known(text):
        return pem.read
    return delimited.read


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb", buffering=_HEAD) as content:
            yield cast("BufferedReader", content)
    except OSError as error:
        raise UnusableManifest(f"{path} cannot be read: {error.strerror}") from error
