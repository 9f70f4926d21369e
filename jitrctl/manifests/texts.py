"""Opens a list as text in UTF-8, and reads its lines in bounded memory."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitrctl.manifests.rows import UnusableManifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LONGEST_LINE = 131_072  # characters; twice the longest certificate that AWS IoT takes


@contextmanager
def open_text(content: BinaryIO, *, newline: str | None = None, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
    """The content as text, without a byte order mark; the content stays open."""
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline, errors=errors)
    try:
        yield text
    finally:
        if not content.closed:
            text.detach()


def read_line(text: io.TextIOBase, file: str, number: int) -> str:
    """The next line of a text with its end; empty at the end of the text.

    Raises UnusableManifest when it is not UTF-8, or longer than any row.
    """
    try:
        line = text.readline(LONGEST_LINE + 1)
    except UnicodeError as error:
        raise not_utf8(file) from error
    if len(line) > LONGEST_LINE:
        raise UnusableManifest(
            f"{file}:{number}: is longer than {LONGEST_LINE:,} characters, as no row of a list is: nothing was imported"
        )
    return line


def not_utf8(file: str) -> UnusableManifest:
    return UnusableManifest(f"{file} cannot be read as UTF-8 text: nothing was imported; save the list as UTF-8")
