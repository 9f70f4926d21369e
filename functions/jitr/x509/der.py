"""Reads and writes DER (X.690): elements, and the primitive values of certificates and CRLs.

It is strict where one value could have two encodings: lengths are definite and in the shortest form, and no bytes
follow the last element. All functions raise Damaged with a one-line reason, never an IndexError.
"""

from jitr.x509.parsing import Damaged

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A
SEQUENCE, SET = 0x30, 0x31

_LONG_FORM = 0x80  # lengths below it are one byte (X.690 §8.1.3.4)
_LONG_TAG = 0x1F  # the tag's number follows in more bytes (§8.1.2.4); nothing in a certificate has one
_MOST_LENGTH_BYTES = 4
_MOST_OID_BYTES = 1024  # cryptography accepts 63; Python refuses to print numbers of more than 4300 digits

# An element: its tag, where it begins, where its content begins and ends.
Element = tuple[int, int, int, int]


class NonCanonicalEncoding(Damaged):
    """The bytes can be read, but are not the DER encoding of their value."""


def element(der: bytes, at: int, end: int) -> Element:
    """The element at an offset; it must end at `end` or before.

    Raises Damaged; NonCanonicalEncoding for lengths in BER.
    """
    if end - at < 2:  # noqa: PLR2004 -- a tag and a length
        raise Damaged("it is cut short")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & _LONG_FORM:
        count = length ^ _LONG_FORM
        if count == 0:
            raise NonCanonicalEncoding("a length is indefinite (BER)")
        octets = der[start : min(start + count, end)]
        if len(octets) < count or count > _MOST_LENGTH_BYTES + end - at:
            raise Damaged("it is cut short")
        length, start = int.from_bytes(octets, "big"), start + count
        if octets[0] == 0 or length < _LONG_FORM:
            raise NonCanonicalEncoding("a length is not written in its shortest form (BER)")
    if tag & _LONG_TAG == _LONG_TAG:
        raise Damaged(f"it holds an element of type 0x{tag:02x}, which no certificate has")
    if start + length > end:
        raise Damaged("it is cut short")
    return tag, at, start, start + length


def elements(der: bytes, at: int, end: int) -> list[Element]:
    """The elements between two offsets.

    Raises Damaged.
    """
    found = []
    while at < end:
        found.append(element(der, at, end))
        at = found[-1][3]
    return found


def children(der: bytes, tag: int) -> list[Element]:
    """The elements inside one element, which must have this tag and fill all these bytes.

    Raises Damaged.
    """
    start, end = content_range(der, tag)
    return elements(der, start, end)


def content_range(der: bytes, tag: int) -> tuple[int, int]:
    """The offsets of the content of one element, which must have this tag and fill all these bytes.

    Raises Damaged.
    """
    found, _, start, end = element(der, 0, len(der))
    if found != tag:
        raise Damaged(f"an element of type 0x{found:02x} is in the place of one of type 0x{tag:02x}")
    if end != len(der):
        raise Damaged("bytes follow the element")
    return start, end


def content(der: bytes, tag: int) -> bytes:
    """The content of one element, which must have this tag and fill all these bytes.

    Raises Damaged.
    """
    return der[slice(*content_range(der, tag))]


def integer(octets: bytes) -> int:
    """The value of an INTEGER's content.

    Raises Damaged; NonCanonicalEncoding when it is longer than necessary (X.690 §8.3.2).
    """
    if not octets:
        raise Damaged("a number has no bytes")
    number = int.from_bytes(octets, "big", signed=True)
    if len(octets) > number_width(number):
        raise NonCanonicalEncoding("a number is written in more bytes than it needs (BER)")
    return number


def number_width(number: int) -> int:
    """The length of an INTEGER's content in bytes: -128 takes one, 128 two."""
    return (number if number >= 0 else ~number).bit_length() // 8 + 1


def boolean(octets: bytes) -> bool:
    """The value of a BOOLEAN's content: any byte but 0 is true, as in BER, which mbedTLS and others write.

    Raises Damaged.
    """
    if len(octets) != 1:
        raise Damaged("a BOOLEAN is not one byte")
    return octets != b"\0"


def dotted(octets: bytes) -> str:
    """The text of an OBJECT IDENTIFIER's content, as `2.5.4.3` (X.690 §8.19).

    Raises Damaged.
    """
    if not octets or octets[-1] & 0x80:
        raise Damaged("an object identifier is cut short")
    if len(octets) > _MOST_OID_BYTES:
        raise Damaged(f"an object identifier has {len(octets)} bytes, the limit is {_MOST_OID_BYTES}")
    arcs, arc = [], 0
    for octet in octets:
        if arc == 0 and octet == 0x80:  # noqa: PLR2004 -- a leading zero
            raise Damaged("an object identifier is written in more bytes than it needs")
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def encode(tag: int, *contents: bytes) -> bytes:
    """One element in DER."""
    inside = b"".join(contents)
    length = len(inside)
    if length < _LONG_FORM:
        return bytes((tag, length)) + inside
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(octets))) + octets + inside
