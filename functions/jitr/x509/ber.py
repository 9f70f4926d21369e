"""BER (X.690): elements whose lengths are not in the one form of DER, written anew in DER.

For the signature's AlgorithmIdentifier inside the signed part alone (encoding.py). Lengths say nothing of what an
element means, so the element in DER means the same. What a primitive element holds is left as it is.
"""

from jitr.x509.der import NULL, encode
from jitr.x509.parsing import Damaged

_CONSTRUCTED, _LONG_FORM, _LONG_TAG = 0x20, 0x80, 0x1F
_END = b"\0\0"  # of an element whose length is left open (§8.1.5)
_DEEPEST = 8  # RSASSA-PSS has five levels


def to_der(ber: bytes, at: int, end: int, *, depth: int = 0) -> tuple[bytes, int]:
    """The element that begins at a place, in DER, and where it ends, which is at `end` at the latest.

    Raises Damaged.
    """
    if end - at < 2 or depth > _DEEPEST:  # noqa: PLR2004 -- a tag and a length
        raise Damaged("it is cut short" if end - at < 2 else "it is nested too deep")  # noqa: PLR2004
    tag, length, start = ber[at], ber[at + 1], at + 2
    if tag & _LONG_TAG == _LONG_TAG:
        raise Damaged(f"it holds an element of type 0x{tag:02x}, which nothing in a certificate has")
    if length == _LONG_FORM:
        return _left_open(ber, tag, start, end, depth)
    if length & _LONG_FORM:
        count = length ^ _LONG_FORM
        length, start = int.from_bytes(ber[start : min(start + count, end)], "big"), start + count
    stop = start + length
    if stop > end:
        raise Damaged("it is cut short")
    if tag == NULL:
        return ber[at:stop], stop  # openssl takes no other length of it either
    if not tag & _CONSTRUCTED:
        return encode(tag, ber[start:stop]), stop
    contents = []
    while start < stop:
        content, start = to_der(ber, start, stop, depth=depth + 1)
        contents.append(content)
    return encode(tag, *contents), stop


def _left_open(ber: bytes, tag: int, start: int, end: int, depth: int) -> tuple[bytes, int]:
    if not tag & _CONSTRUCTED:
        raise Damaged("a length is left open where nothing can end it")
    contents = []
    while ber[start : min(start + 2, end)] != _END:
        content, start = to_der(ber, start, end, depth=depth + 1)
        contents.append(content)
    return encode(tag, *contents), start + 2
