"""Reads certificates: a bundle in PEM (RFC 7468), with any text around the blocks, or one certificate in DER.

Certificates of CAs in a bundle, as in a chain, are skipped. NXP, Infineon and others deliver certificates so, each
device's in a file of its own: Infineon's bundle for OPTIGA Trust M Express is 7z archives of `chipID_E0E0.pem`.
Source: github.com/aws-iot-builder-tools/thingpress@3b5a50f, test/artifacts/manifest-infineon.7z (README.txt in it).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.x509.pem import LABELS
from jitrctl.manifests.certificates import LONGEST_PEM, IsCa, decode_body, row_of
from jitrctl.manifests.rows import BadRow, Item, Origin, Skipped, UnusableManifest, refuse_private_key, show
from jitrctl.manifests.texts import open_text, read_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from jitrctl.manifests.jws import Signers

_MOST_AROUND = 262_144  # characters of other text; `openssl x509 -text` writes some 5,000 for each certificate
_BEGIN = re.compile(r"-----BEGIN ([^\r\n]{0,64}?)-----\s*")
_END = re.compile(r"-----END [^\r\n]{0,64}?-----\s*")


@dataclass(frozen=True, slots=True)
class PemLayout:
    """Refused certificates as PEM, each below a line of text with its problem."""

    prefix: str = ""
    separator: str = ""
    suffix: str = ""

    def row(self, raw: str, problem: str) -> str:
        return f"# {problem}\n{raw}"


def read(content: BinaryIO, file: str, signers: Signers) -> Iterator[Item]:
    """The devices' certificates of a bundle; a device's name is its subject's common name.

    Raises UnusableManifest when the bundle holds a private key, or a block that does not end.
    """
    del signers
    number, block, around = 0, _Block(), 0
    # Text around the blocks is in any encoding.
    with open_text(content, errors="replace") as text:
        while line := read_line(text, file, number := number + 1):
            refuse_private_key(line, f"{file}:{number}")
            if begin := _BEGIN.fullmatch(line):
                if block.label is not None:
                    break
                block = _Block(label=begin[1], line=number)
            elif block.label is not None and _END.fullmatch(line):
                origin = Origin(file=file, unit="line", number=block.line, raw=block.text(), layout=PemLayout())
                yield _item(origin, block)
                block, around = _Block(), 0
            elif block.label is not None:
                block.add(line)
                if block.length > LONGEST_PEM:
                    break
            elif (around := around + len(line)) > _MOST_AROUND:
                raise UnusableManifest(
                    f"{file}:{number}: more than {_MOST_AROUND:,} characters stand between two certificates: nothing "
                    "was imported"
                )
    if block.label is not None:
        raise UnusableManifest(
            f"{file}:{block.line}: begins with -----BEGIN {show(block.label)[1:-1]}----- and has no -----END line: "
            "nothing was imported"
        )


def read_der(content: BinaryIO, file: str, signers: Signers) -> Iterator[Item]:
    """The one certificate of a file in DER."""
    del signers
    der = content.read(LONGEST_PEM)
    raw = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode('ascii')}-----END CERTIFICATE-----\n"
    origin = Origin(file=file, unit="certificate", number=1, raw=raw, layout=PemLayout())
    try:
        yield row_of(origin, der)
    except IsCa as error:
        yield Skipped(place=file, why=str(error))
    except BadRow as error:
        raise UnusableManifest(
            f"{file} is no list and no certificate that can be read ({error}): nothing was imported"
        ) from error


def _item(origin: Origin, block: _Block) -> Item:
    if block.label not in LABELS:
        return origin.refuse(f"is -----BEGIN {show(block.label or '')[1:-1]}-----, not a certificate")
    try:
        return row_of(origin, decode_body(block.body))
    except IsCa as error:
        return Skipped(place=str(origin), why=str(error))
    except BadRow as error:
        return origin.refuse(str(error))


class _Block:
    """The PEM block that is being read; without a label there is none."""

    def __init__(self, label: str | None = None, line: int = 0) -> None:
        self.label = label
        self.line = line
        self.length = 0
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)
        self.length += len(line)

    @property
    def body(self) -> str:
        return "".join(self._lines)

    def text(self) -> str:
        return f"-----BEGIN {self.label}-----\n{self.body}-----END {self.label}-----\n"
