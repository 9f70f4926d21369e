"""Takes from printed text what an operator takes from it: the commands to paste, and the sentence that says what is
wrong. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a terminal is told beside the text: colours, the cursor's place, the window's title.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]")
_ERASED = "\x1b[2K"  # what stood in the line
_LINE_BEFORE_ERASED = re.compile(r"[^\n]*\n(?:\r|\x1b\[\?25h)*\x1b\[1A\x1b\[2K")
_PROGRAM = r"(?:[A-Z_]+=\S+ )*(?:jitrctl|aws|node_modules/\.bin/cdk) "
_QUOTED = re.compile(rf"`({_PROGRAM}[^`]+)`")
_BARE = re.compile(rf"^ {{4}}({_PROGRAM}.*)$")  # as `fleet status` prints its cures: a line each
# Where a command is the cure. Elsewhere it only shows something, or is an example.
_LINK = re.compile(r"^ ?\d+  ")
_CURE = re.compile(r"^  Cure: |: beside that, [^:]+: |\bcure: `|\bwhat to do: `|\bwhy: `|\bif it is a rotation ")


def as_shown(raw: str) -> str:
    """The text that stays on the screen: without escapes, and of lines that were written over, the last text."""
    text = _LINE_BEFORE_ERASED.sub("", raw.replace("\r\n", "\n"))
    lines = [line.rstrip("\r").rpartition(_ERASED)[2] for line in text.split("\n")]
    return "\n".join(_ESCAPES.sub("", line).rpartition("\r")[2].rstrip() for line in lines).strip("\n")


def find_cures(text: str) -> tuple[str, ...]:
    """The commands that cure, in their order, each once, exactly as they are printed."""
    return tuple(dict.fromkeys(_cures(text)))


def _cures(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if bare := _BARE.match(line):
            yield bare[1]
        elif found := _CURE.search(line):
            yield from _QUOTED.findall(line, found.start())


def find_commands(text: str) -> tuple[str, ...]:
    """All commands in backticks, in their order."""
    return tuple(_QUOTED.findall(text))


def find_sentence(text: str, phrase: str) -> str | None:
    """The sentence with the phrase, without the stage in front of it; None when none has it.

    Of doctor's links, which are numbered, the sentence below them says the same.
    """
    lines = [line for line in text.splitlines() if phrase in line]
    lines.sort(key=lambda line: bool(_LINK.match(line)))
    return re.sub(r"^[\w-]+/[\w-]+: ", "", lines[0].strip()) if lines else None
