"""Recognizes a CSV file's form by its first row, and reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.manifests import espressif, nordic, own_list
from jitrctl.manifests.records import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from jitrctl.manifests.jws import Signers
    from jitrctl.manifests.rows import Item


def is_known(head: bytes) -> bool:
    """Whether a text that begins so has a known first row; certificates in a cell look like a bundle else."""
    line = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    first = [cell.strip(' \r"') for cell in line.split(",")]
    return own_list.is_heading(first) or espressif.is_heading(first)


def read(content: BinaryIO, file: str, signers: Signers) -> Iterator[Item]:
    """The rows of a CSV file in any known form.

    Raises UnusableManifest; for a form that is not known it names the columns of a list.
    """
    del signers  # a CSV file is not signed; reading.py refuses it where a signature is wanted
    records = read_records(content, file)
    first = next(records, Record(line=1, cells=[]))
    if nordic.is_row(first.cells):
        yield from nordic.read(first, records, file)
    elif own_list.is_bare_ids(first.cells):
        yield from own_list.read_bare_ids(first, records, file)
    elif espressif.is_heading(first.cells) and not own_list.is_heading(first.cells):
        yield from espressif.read(first, records, file)
    else:
        yield from own_list.read(first, records, file)
