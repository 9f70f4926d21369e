"""Reads the devices of an order from a file: ids, fingerprints, serial numbers, thing names, files and PEM, mixed.

One device a line; a PEM block has several lines, and is named by its first. Nothing is guessed: a line that cannot be
understood is a problem with its number. A line that is no name may be a secret by mistake, so a problem shows at most
its first characters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import names_file, read_file
from jitrctl.device.registry_scan import is_marked_serial, parse_serial
from jitrctl.device.search import parse_device
from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 100_000  # devices of one order
_MOST_BYTES = 256 * 1024 * 1024
_SHOWN = 20  # characters of a line in a problem
_BEGIN, _END = "-----BEGIN", "-----END"


# RFC 5280 §4.2.1.9: CA:TRUE is a CA's certificate. An order on it would be kept, and would end no device.
IS_CA = (
    "is a CA's certificate, and no device's: `jitrctl ca revoke NAME` takes out a CA; a device whose certificate says "
    "CA:TRUE is named by its id"
)


class Form(StrEnum):
    """How a line names a device; the value is its key in --json."""

    ID = "ids"  # of a certificate, or its fingerprint
    SERIAL = "serials"
    NAME = "names"  # of a thing
    FILE = "files"
    PEM = "pems"

    def describe(self, number: int) -> str:
        """In words: 3 serial numbers."""
        one = {Form.SERIAL: "serial number", Form.PEM: "PEM block"}.get(self, self.value.removesuffix("s"))
        return f"{number:,} {one}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProblem:
    """A line from which no device follows."""

    line: int
    text: str  # the line, shortened
    why: str

    def __str__(self) -> str:
        return f"line {self.line} ({self.text}): {self.why}"


@dataclass(slots=True, kw_only=True)
class FileDevices:
    """The devices of a file, each with the first line that names it."""

    certificates: dict[str, int] = field(default_factory=dict)  # by certificate id
    things: dict[str, int] = field(default_factory=dict)  # by thing name
    serials: dict[str, int] = field(default_factory=dict)  # by serial number, as records have it
    problems: list[LineProblem] = field(default_factory=list)
    forms: Counter[Form] = field(default_factory=Counter)  # of the lines that can be understood
    lines: int = 0  # that name a device, or should

    def refuse(self, line: int, text: str, why: str) -> None:
        self.problems.append(LineProblem(line=line, text=_shorten(text), why=why))


def read_order_file(path: Path) -> FileDevices:
    """Read a file of devices; empty lines, and lines that begin with `#`, are skipped.

    Raises Unusable when it cannot be read, is no text in UTF-8, is too long, or names no device.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Unusable(f"{path} has more than {_MOST_BYTES // 1024 // 1024} MB: split it")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"{path} is not text in UTF-8: convert it, such as with `iconv -f UTF-16 -t UTF-8`") from error
    found = FileDevices()
    for number, content in _split(text):
        found.lines += 1
        _read_one(found, number, content)
    if not found.lines:
        raise Unusable(f"{path} names no device: write one a line")
    if found.lines > MOST:
        raise Unusable(f"{path} names {found.lines:,} devices, and one order may be on {MOST:,}: split it")
    return found


def _split(text: str) -> Iterator[tuple[int, str]]:
    """The devices of a file as they are written, each with the number of its first line; PEM blocks are whole."""
    block: list[str] = []
    began = 0
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content.startswith(_BEGIN):
            if block:
                yield began, "\n".join(block)
            block, began = [content], number
        elif block:
            block.append(content)
            if content.startswith(_END):
                yield began, "\n".join(block)
                block = []
        elif content and not content.startswith("#"):
            yield number, content
    if block:
        yield began, "\n".join(block)


def _read_one(found: FileDevices, number: int, content: str) -> None:
    if content.startswith(_BEGIN):
        _read_pem(found, number, content)
        return
    if is_marked_serial(content) and (serial := parse_serial(content)):
        try:
            keys = parse_device(content)  # a fingerprint has colons too
        except Unusable:
            keys = None
        if keys is None or not keys.certificates:
            found.serials.setdefault(serial, number)
            found.forms[Form.SERIAL] += 1
            return
    try:
        if names_file(content) and not certificate_id_in(content):
            _read_certificate_file(found, number, content)
            return
        keys = parse_device(content, _shorten(content))
    except Unusable as error:
        found.refuse(number, content, str(error).removeprefix(f"{_shorten(content)} "))
        return
    found.forms[Form.NAME if keys.things else Form.ID] += 1
    for certificate_id in keys.certificates:
        found.certificates.setdefault(certificate_id, number)
    for thing in keys.things:
        found.things.setdefault(thing, number)


def _read_certificate_file(found: FileDevices, number: int, content: str) -> None:
    """Raises Unusable."""
    file = read_file(Path(content))
    if file.note:
        found.refuse(number, content, "holds several certificates: give that file itself with --from")
        return
    _read_certificate(found, number, content, file.pem, Form.FILE)


def _read_pem(found: FileDevices, number: int, block: str) -> None:
    first, *_, last = block.split("\n")
    if first != "-----BEGIN CERTIFICATE-----":
        found.refuse(number, "PEM", "is no certificate")
    elif not last.startswith(_END):
        found.refuse(number, "PEM", "has no end")
    else:
        _read_certificate(found, number, "PEM", f"{block}\n", Form.PEM)


def _read_certificate(found: FileDevices, number: int, text: str, pem: str, form: Form) -> None:
    try:
        certificate = Certificate.from_pem(pem)
    except Rejected as error:
        found.refuse(number, text, f"cannot be read: {error.detail}")
        return
    if certificate.is_ca():
        found.refuse(number, text, IS_CA)
        return
    found.certificates.setdefault(certificate.fingerprint, number)
    found.forms[form] += 1


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
