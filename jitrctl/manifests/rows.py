"""Defines what a reader of a list returns: rows, refused rows, and what is no device.

A row keeps its text in its file's own form (`Origin.raw`), so that refused rows become a file of that form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from jitrctl.manifests.jws import Signers

_MOST_SHOWN = 60  # characters of a file's text in a message
_LONGEST_PROBLEM = 300  # characters; a cell that a message repeats may have 100,000
_KEY = "PRIVATE KEY"  # in the label of every PEM block with a private key (RFC 7468 §10, §11; RFC 5915; PKCS #1)


class UnusableManifest(Unusable):
    """A file cannot be read as a list; the message names it, and says what to do."""


class BadRow(ValueError):
    """A row cannot be used; the message says why, and follows the row's place."""


class Layout(Protocol):
    """Writes refused rows as a file of their form, each with its problem, which the form's reader ignores."""

    @property
    def prefix(self) -> str:
        """What the file begins with."""

    @property
    def separator(self) -> str:
        """What stands between two rows."""

    @property
    def suffix(self) -> str:
        """What the file ends with."""

    def row(self, raw: str, problem: str) -> str:
        """One refused row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a row was found."""

    file: str
    unit: str  # "line", "entry"
    number: int  # from 1
    raw: str = field(default="", repr=False)  # as it is in the file; it may hold a certificate
    layout: Layout = field(repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.number}" if self.unit == "line" else f"{self.file}: {self.where}"

    @property
    def where(self) -> str:
        """The place within its file."""
        return f"{self.unit} {self.number}"

    def refuse(self, problem: str) -> Refusal:
        short = problem if len(problem) <= _LONGEST_PROBLEM else f"{problem[:_LONGEST_PROBLEM]}..."
        return Refusal(origin=self, problem=short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One device of a list."""

    origin: Origin
    certificate_id: str = ""  # as the list gives it, or of the certificate
    certificate: bytes | None = field(default=None, repr=False)  # DER
    name: str = ""  # the thing name, or what the maker calls the device
    chooses_subject: bool = False  # it says itself whether it is about a name or a certificate
    is_unverified: bool = False  # its list is signed, and the signature was not verified
    cells: Mapping[str, str] = field(default_factory=dict)  # jitr's own columns: rule, accounts …


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that cannot be used, and why."""

    origin: Origin
    problem: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something in a list that is no device and no mistake: a CA's certificate, a README."""

    place: str
    why: str


Item = Row | Refusal | Skipped


class Reader(Protocol):
    """Reads one form: the content of one file, as a stream that is read once."""

    def __call__(self, content: BinaryIO, file: str, signers: Signers) -> Iterator[Item]:
        """The rows; raises UnusableManifest."""


def show(text: str) -> str:
    """A short, printable form of a file's text, for a message."""
    return ascii(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}...")


def refuse_private_key(text: str, place: str) -> None:
    """Refuse a file with a private key.

    Raises UnusableManifest, which repeats nothing of it.
    """
    if _KEY in text:
        raise private_key(place)


def private_key(place: str) -> UnusableManifest:
    return UnusableManifest(
        f"{place} holds a private key: nothing was imported; take the keys out of the list, and replace those that "
        "others could read"
    )
