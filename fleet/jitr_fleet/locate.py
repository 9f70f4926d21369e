"""Finds the line of a key in TOML text, since tomllib gives values without positions.

It scans text that tomllib has accepted, and ignores what values mean. Text that is not TOML raises nothing: keys before
the place at which the scanner stops are still found.
"""

import contextlib
import re
import tomllib
from bisect import bisect_left

# A key path as written: names, and an index for each array element: ("account", "dev", "regions", 1).
KeyPath = tuple[str | int, ...]

# No one writes deeper nesting by hand; beyond it the scanner stops instead of exhausting the stack.
MAX_DEPTH = 100

_SPACE = re.compile(r"[ \t\r]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?""""{0,2}'''  # up to two quotes may stand right before the closing three
    r"""|'''.*?''''{0,2}"""
    r'''|"(?:[^"\\\n]|\\.)*"'''
    r"""|'[^'\n]*'""",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


class Locator:
    """The lines of the keys, tables and array elements of one TOML text."""

    def __init__(self, text: str) -> None:
        self._lines = _Scanner(text).scan()

    def line(self, *path: str | int) -> int:
        """Find the line (1-based) of `path`, or of the nearest table around it that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 1


class _LostError(Exception):
    """The scanner cannot read the text."""


class _Scanner:
    """One pass over the text; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.newlines = [match.start() for match in re.finditer("\n", text)]
        self.repeats: dict[KeyPath, int] = {}  # how often [[path]] has been opened

    def scan(self) -> dict[KeyPath, int]:
        with contextlib.suppress(_LostError):  # the lines found before are right; `line` falls back to them
            self._document()
        return self.lines

    def _document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table, depth=0)

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        path = self._resolve(self._dotted_key())
        self._expect("]" * brackets)
        self._remember_parents(path, 0, line)
        if brackets == 1:
            self.lines[path] = line  # even when [path.below] stood above it
            return path
        self.lines.setdefault(path, line)
        self.repeats[path] = self.repeats.get(path, 0) + 1
        path = (*path, self.repeats[path] - 1)
        self.lines[path] = line
        return path

    def _resolve(self, names: list[str]) -> KeyPath:
        """Turn the names of a header into a path: a parent opened as [[parent]] means its newest element."""
        path: KeyPath = ()
        for name in names:
            if path in self.repeats:
                path = (*path, self.repeats[path] - 1)
            path = (*path, name)
        return path

    def _pair(self, table: KeyPath, *, depth: int) -> None:
        line = self._line()
        path = (*table, *self._dotted_key())
        self._remember_parents(path, len(table), line)
        self.lines[path] = line
        self._expect("=")
        self._value(path, depth=depth)

    def _remember_parents(self, path: KeyPath, start: int, line: int) -> None:
        for length in range(start + 1, len(path)):
            self.lines.setdefault(path[:length], line)

    def _value(self, path: KeyPath, *, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _LostError
        self._skip(_SPACE)
        if self._take("["):
            self._array(path, depth=depth + 1)
        elif self._take("{"):
            self._inline_table(path, depth=depth + 1)
        else:
            self._match(_STRING if self.text.startswith(('"', "'"), self.at) else _SCALAR)

    def _array(self, path: KeyPath, *, depth: int) -> None:
        index = 0
        while True:
            self._skip(_BLANK)
            if self._take("]"):
                return
            self.lines[(*path, index)] = self._line()
            self._value((*path, index), depth=depth)
            index += 1
            self._skip(_BLANK)
            if not self._take(","):
                self._expect("]")
                return

    def _inline_table(self, path: KeyPath, *, depth: int) -> None:
        while True:
            self._skip(_BLANK)  # TOML 1.0 keeps it on one line, 1.1 does not
            if self._take("}"):
                return
            self._pair(path, depth=depth)
            self._skip(_BLANK)
            if not self._take(","):
                self._expect("}")
                return

    def _dotted_key(self) -> list[str]:
        names = [self._key()]
        while self._take("."):
            names.append(self._key())
        return names

    def _key(self) -> str:
        self._skip(_SPACE)
        written = self._match(_KEY)
        self._skip(_SPACE)
        if written[0] not in "\"'":
            return written
        try:
            return str(tomllib.loads(f"key = {written}")["key"])
        except ValueError as error:
            raise _LostError from error

    def _line(self) -> int:
        return bisect_left(self.newlines, self.at) + 1

    def _take(self, expected: str) -> bool:
        if not self.text.startswith(expected, self.at):
            return False
        self.at += len(expected)
        return True

    def _expect(self, expected: str) -> None:
        if not self._take(expected):
            raise _LostError

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if not match:
            raise _LostError
        self.at = match.end()
        return match.group()
