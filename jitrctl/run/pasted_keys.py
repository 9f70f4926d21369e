"""Recognizes the content of a key or certificate among the words of a command, such as of `"$(cat key.pem)"`.

A usage error repeats the word that it is about, and so does the answer that nobody knows a device; notes are kept in
the audit log. So such a command is refused before anything looks at its words, and nothing of it is repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Also the first word of an unquoted $(cat key.pem).
_PEM = "-----BEGIN"
# A line of base64 as PEM has them, without the lines around it; not a certificate's id.
_BASE64 = re.compile(r"(?![0-9A-Fa-f]+$)[A-Za-z0-9+/]{40,}={0,2}")

REFUSAL = (
    "a word of this command is what a PEM file holds, and not its name: name the file. If it was a private key, your "
    "shell's history may have it now: remove it there"
)


def hold_file_content(words: Iterable[str]) -> bool:
    """Whether one of a command's words is PEM, or the base64 of a PEM file without its first and last line."""
    return any(_PEM in word or _is_base64(word) for word in words)


def _is_base64(word: str) -> bool:
    lines = word.split()
    return len(lines) > 1 and any(_BASE64.fullmatch(line) for line in lines)
