"""Finds the line of a value in JSON text, because json gives values without positions.

Decides only where something stands: the text is scanned, and is expected to be text that json has accepted.
"""

import json
import re
from bisect import bisect_left

JsonPath = tuple[str | int, ...]  # keys of objects, and positions in arrays from 0: ("Statement", 0, "Action")

# Deeper nesting than this is no policy; beyond it nothing is found, instead of exhausting the stack.
MAX_DEPTH = 100

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^,\]} \t\r\n]+")


class JsonLines:
    """Where the values of one JSON text stand; of a key that is written twice, the last one, as json has it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[JsonPath, int] = {}
        self._read_value((), 0)

    def line(self, *path: str | int) -> int:
        """Find the line (1-based) of a value, or of the nearest one around it that is in the text."""
        return next((self._lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self._lines), 1)

    def _read_value(self, path: JsonPath, depth: int) -> None:
        self._skip_blank()
        self._lines[path] = bisect_left(self._newlines, self._at) + 1
        opened = self._text[self._at : self._at + 1]
        if opened in ("{", "[") and opened and depth < MAX_DEPTH:
            self._at += 1
            self._read_items(path, depth + 1, keyed=opened == "{")
        else:
            self._match(_STRING if opened == '"' else _SCALAR)

    def _read_items(self, path: JsonPath, depth: int, *, keyed: bool) -> None:
        """Read the items of an object or array, up to behind its end."""
        position = 0
        while True:
            self._skip_blank()
            if self._at >= len(self._text):
                return
            if self._text[self._at] in "]}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            key: str | int = self._read_key() if keyed else position
            self._read_value((*path, key), depth)
            position += 1

    def _read_key(self) -> str:
        written = self._match(_STRING)
        self._skip_blank()
        self._at += 1  # the colon
        return str(json.loads(written or '""'))

    def _skip_blank(self) -> None:
        self._match(_BLANK)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            self._at = len(self._text)  # not the JSON that is expected: what was found before is right
            return ""
        self._at = match.end()
        return match[0]
