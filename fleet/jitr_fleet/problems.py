"""Collects the problems of a fleet.toml, each with its line and its cure, and words them."""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jitr.errors import JitrError
from jitr_fleet.locate import KeyPath, Locator

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# C0 and C1, and what changes the order of letters or begins a line (Unicode 16, §23.1 and §23.2).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHOWN = 60  # characters of a value from the file; enough to recognise it


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem: `line` is 1-based, `message` says what is wrong, `cure` what to do."""

    file: Path
    line: int
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}; {self.cure}"


class FleetError(JitrError):
    """A fleet.toml cannot be used; `problems` holds all its problems and those of the files that it names."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """Collects the problems of one file while it is read."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self.locator = Locator(text)
        self.problems: list[Problem] = []

    def refuse(self) -> None:
        """Raise FleetError with all problems, file by file and this one first, each by line; not without any."""
        if self.problems:
            files = list(dict.fromkeys([self.file, *(problem.file for problem in self.problems)]))
            raise FleetError(sorted(self.problems, key=lambda problem: (files.index(problem.file), problem.line)))


@dataclass(frozen=True, slots=True)
class KeyPosition:
    """A key of the file that is being read, to which problems are reported."""

    report: Report
    path: KeyPath = ()

    def at(self, *keys: str | int) -> "KeyPosition":
        return KeyPosition(self.report, (*self.path, *keys))

    def problem(self, message: str, cure: str) -> None:
        """Report a problem with this key's value; `message` continues a sentence that begins with the key."""
        line = self.report.locator.line(*self.path)
        self.report.problems.append(Problem(file=self.report.file, line=line, message=f"{self} {message}", cure=cure))

    def __str__(self) -> str:
        """Write the path as TOML would: ca.factory.thing_groups[1]."""
        written = ""
        for key in self.path:
            if isinstance(key, int):
                written += f"[{key}]"
            else:
                written += ("." if written else "") + (key if _BARE_KEY.fullmatch(key) else show(key))
        return written


def show(value: object) -> str:
    """Show a value from the file in a message: on one line, shortened, and never PEM text, which may be a key."""
    written = escape_controls(json.dumps(value, default=str, ensure_ascii=False))
    if "-----BEGIN" in written:
        return "(PEM text)"
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"


def escape_controls(text: str) -> str:
    """The text with an escape for what a terminal obeys instead of showing it, and for surrogates, which are no text.

    Line feed, tab and carriage return stay.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def guess_word(word: str, known: Iterable[str]) -> str | None:
    """Guess which of the known words was meant by an unknown one; None if none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def suggest(word: str, known: Iterable[str]) -> str:
    """The cure for an unknown word: the known one that was probably meant, or all of them."""
    known = list(known)
    guess = guess_word(word, known)
    if guess:
        return f"did you mean {guess}?"
    return f"known here: {', '.join(known)}" if known else "remove it"
