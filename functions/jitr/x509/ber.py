"""Converts elements with BER lengths to DER (X.690).

Used only for the signature's AlgorithmIdentifier inside the signed part (encoding.py). Only lengths change, so the
meaning stays the same. The content of primitive elements is left as it is.
"""

from jitr.x509.der import NULL, encode
from jitr.x509.parsing import Damaged

_CONSTRUCTED, _LONG_FORM, _LONG_TAG = 0x20, 0x80, 0x1F
_END = b"\0\0"  # of an element of indefinite length (§8.1.5)
_DEEPEST = 8  # RSASSA-PSS has five levels


def to_der(ber: bytes, at: int, end: int, *, depth: int = 0) -> tuple[bytes, int]:
    """The element at an offset, in DER, and the offset of its end, which is at most `end`.

    Raises Damaged.
    """
    if end - at < 2 or depth > _DEEPEST:  # noqa: PLR2004 -- a tag and a length
        raise Damaged("it is cut short" if end - at < 2 else "it is nested too deep")  # noqa: PLR2004
    tag, length, start = ber[at], ber[at + 1], at + 2
    if tag & _LONG_TAG == _LONG_TAG:
        raise Damaged(f"it holds an element of type 0x{tag:02x}, which no certificate has")
    if length == _LONG_FORM:
        return _indefinite(ber, tag, start, end, depth)
    if length & _LONG_FORM:
        count = length ^ _LONG_FORM
        length, start = int.from_bytes(ber[start : min(start + count, end)], "big"), start + count
    stop = start + length
    if stop > end:
        raise Damaged("it is cut short")
    if tag == NULL:
        return ber[at:stop], stop  # openssl accepts no other length of NULL either
    if not tag & _CONSTRUCTED:
        return encode(tag, ber[start:stop]), stop
    contents = []
    while start < stop:
        content, start = to_der(ber, start, stop, depth=depth + 1)
        contents.append(content)
    return encode(tag, *contents), stop


def _indefinite(ber: bytes, tag: int, start: int, end: int, depth: int) -> tuple[bytes, int]:
    if not tag & _CONSTRUCTED:
        raise Damaged("a primitive element has an indefinite length")
    contents = []
    while ber[start : min(start + 2, end)] != _END:
        content, start = to_der(ber, start, end, depth=depth + 1)
        contents.append(content)
    return encode(tag, *contents), start + 2
