"""Reads the entries of a JSON list one after the other, in bounded memory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jitrctl.manifests.rows import UnusableManifest
from jitrctl.manifests.texts import not_utf8, open_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOBase
    from typing import BinaryIO

LONGEST_ENTRY = 262_144  # characters; 16 certificates with their chains, in base64 twice
_READ = 1_048_576  # characters at a time
_SPACES = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def read_entries(content: BinaryIO, file: str) -> Iterator[tuple[Any, str]]:
    """Each entry of a list, decoded, and as it is written.

    Raises UnusableManifest when the text is not a JSON list in UTF-8, or an entry is too long or nested too deeply.
    """
    with open_text(content) as opened:
        text = _Text(opened, file)
        if text.next_character() != "[":
            raise text.unusable("is JSON, but not a list of signed secure elements, as Microchip's manifest is")
        text.at += 1
        number = 0
        if text.next_character() == "]":
            text.at += 1
        else:
            while True:
                number += 1
                yield text.next_entry(number)
                separator = text.next_character()
                text.at += 1
                if separator == "]":
                    break
                if separator != ",":
                    raise text.unusable(f"is damaged after entry {number}: there is no comma and no end of the list")
        if text.next_character():
            raise text.unusable("goes on behind the end of its list")


class _Text:
    """The text of a file, of which only a part is in memory."""

    def __init__(self, text: TextIOBase, file: str) -> None:
        self._text = text
        self._file = file
        self._part = ""
        self._ended = False
        self.at = 0

    def next_character(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        self._fill(LONGEST_ENTRY)
        spaces = _SPACES.match(self._part, self.at, self.at + LONGEST_ENTRY)
        self.at = spaces.end() if spaces else self.at
        found = self._part[self.at : self.at + 1]
        if found.isspace():
            raise self.unusable(f"has more than {LONGEST_ENTRY:,} spaces in one place")
        return found

    def next_entry(self, number: int) -> tuple[Any, str]:
        self.next_character()
        self._fill(LONGEST_ENTRY)
        begin = self.at
        try:
            value, self.at = _DECODER.raw_decode(self._part, begin)
        except RecursionError as error:
            raise self.unusable(f"entry {number} is nested too deeply") from error
        except ValueError as error:
            long = f", or longer than {LONGEST_ENTRY:,} characters" if len(self._part) - begin > LONGEST_ENTRY else ""
            raise self.unusable(f"entry {number} is not JSON{long}") from error
        if self.at - begin > LONGEST_ENTRY:
            raise self.unusable(f"entry {number} is longer than {LONGEST_ENTRY:,} characters")
        return value, self._part[begin : self.at]

    def unusable(self, problem: str) -> UnusableManifest:
        return UnusableManifest(f"{self._file}: {problem}: nothing was imported")

    def _fill(self, characters: int) -> None:
        """Have so many characters ahead, unless the text ends before."""
        if self._ended or len(self._part) - self.at >= characters:
            return
        parts = [self._part[self.at :]]
        self.at = 0
        length = len(parts[0])
        try:
            while length < characters + _READ and (more := self._text.read(_READ)):
                parts.append(more)
                length += len(more)
        except UnicodeError as error:
            raise not_utf8(self._file) from error
        self._ended = length < characters + _READ
        self._part = "".join(parts)
