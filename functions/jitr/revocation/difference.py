"""Finds the serial numbers on which two CRLs of a CA differ; pure.

Both are sorted rows (x509/crl_entries.py), so one pass over both finds them: a second for a million entries.
"""

from collections.abc import Iterator, Mapping

Rows = Mapping[int, bytes]


def changed_serials(new: Rows, old: Rows) -> Iterator[int]:
    """The serial numbers that only one of the lists has, or that they have with different reasons."""
    for width in sorted({*new, *old}):
        last = None
        for row in _only_in_one(new.get(width, b""), old.get(width, b""), width + 1):
            if row[:width] != last:
                last = row[:width]
                yield int.from_bytes(last, "big", signed=True)


def _only_in_one(new: bytes, old: bytes, step: int) -> Iterator[bytes]:
    at, before = 0, 0
    while at < len(new) or before < len(old):
        row, other = new[at : at + step], old[before : before + step]
        if row == other:
            at, before = at + step, before + step
        elif not other or (row and row < other):
            yield row
            at += step
        else:
            yield other
            before += step
