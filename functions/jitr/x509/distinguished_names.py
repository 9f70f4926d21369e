"""Reads distinguished names from DER, writes them as text, and compares them by RFC 5280 §7.1.

Names occur in every string type, also with characters that the type does not allow. So a string of single bytes is
read as UTF-8 if it is valid UTF-8, like in cryptography, and otherwise as Latin-1, which is usual for T61String; only a
UTF8String must be valid. This is safe because admission allows only ASCII in names of AWS IoT, and ASCII is the same in
both encodings.

`are_same` makes all comparisons: of issuers with subjects, and of CRLs with their CA. Names that it finds equal are
equal by RFC 5280 §7.1 (RFC 4518): string types, case and repeated spaces do not matter. The reverse does not hold:
characters that RFC 4518 §2.2 maps to nothing are compared as they are.
"""

from functools import lru_cache

from jitr.frozen import value
from jitr.x509 import der
from jitr.x509.der import BIT_STRING, OID, SEQUENCE, SET
from jitr.x509.parsing import Damaged

_UTF8, _T61, _UNIVERSAL, _BMP = 0x0C, 0x14, 0x1C, 0x1E
# OCTET STRING, Numeric, Printable, T61, IA5, UTCTime, GeneralizedTime, Visible: types that cryptography reads as text.
_UTF_8_OR_LATIN_1 = {0x04, 0x12, 0x13, _T61, 0x16, 0x17, 0x18, 0x1A}
# Types that RFC 4518 compares as text.
_COMPARED_AS_TEXT = {_UTF8, 0x12, 0x13, _T61, 0x16, 0x1A, _UNIVERSAL, _BMP}
_LONGEST_COMPARED = 4096  # bytes of a Name
_SPACES = dict.fromkeys((*range(0x09, 0x0E), 0x85), " ")  # RFC 4518 §2.2 maps these to a space

# Short names of RFC 4514 §3 and of cryptography, and names for messages.
_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_LABELS = {
    "2.5.4.3": "common name",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "country",
    "2.5.4.7": "locality",
    "2.5.4.8": "state",
    "2.5.4.10": "organization",
    "2.5.4.11": "organizational unit",
    "2.5.4.46": "dnQualifier",
}
_UNIQUE_IDENTIFIER = "2.5.4.45"
_ESCAPED = str.maketrans({**{special: f"\\{special}" for special in '\\"+,;<>'}, "\0": "\\00"})


@value
class Attribute:
    """One attribute of a name: its type as a dotted OID, and its value as bytes and text."""

    oid: str
    tag: int
    octets: bytes
    text: str

    @property
    def rfc4514(self) -> str:
        """As `CN=sensor-0001`."""
        name = _SHORT.get(self.oid, self.oid)
        return f"{name}=#{self.octets.hex()}" if self.tag == BIT_STRING else f"{name}={_escaped(self.text)}"


# The relative names of a name, each with its attributes, in the order of the encoding.
Name = tuple[tuple[Attribute, ...], ...]


def read(name: bytes) -> Name:
    """Read a Name (RFC 5280 §4.1.2.4); the last few are cached, except long ones.

    Raises Damaged, which names the attribute.
    """
    return _keep(name) if len(name) <= _LONGEST_COMPARED else _read(name)


def _read(name: bytes) -> Name:
    found = []
    for tag, _, start, end in der.children(name, SEQUENCE):
        if tag != SET:
            raise Damaged("a relative name is not a SET")
        attributes = tuple(_attribute(name[begin:stop]) for _, begin, _, stop in der.elements(name, start, end))
        if not attributes:
            raise Damaged("a relative name is empty")
        found.append(attributes)
    return tuple(found)


_keep = lru_cache(maxsize=64)(_read)


def rfc4514(name: Name) -> str:
    """The name as text, the last part first (RFC 4514 §2)."""
    return ",".join("+".join(one.rfc4514 for one in relative) for relative in reversed(name))


def are_same(one: bytes, other: bytes) -> bool:
    """Whether two Names in DER are equal by RFC 5280 §7.1; an unreadable name equals the same bytes only.

    So does a name of more than 4096 bytes: folding 48 kB of combining characters takes a second.
    """
    if one == other:
        return True
    if max(len(one), len(other)) > _LONGEST_COMPARED:
        return False
    try:
        return _compared(one) == _compared(other)
    except Damaged:
        return False


@lru_cache(maxsize=64)
def _compared(name: bytes) -> tuple[tuple[tuple[str, bytes], ...], ...]:
    """Relative names in their order, the attributes of each sorted; a repeated attribute counts twice."""
    return tuple(tuple(sorted((one.oid, _prepared(one)) for one in relative)) for relative in read(name))


def _prepared(attribute: Attribute) -> bytes:
    """A value prepared for comparison (RFC 4518 §2): case folded, normal form KC, repeated spaces as one."""
    if attribute.tag not in _COMPARED_AS_TEXT:
        return bytes((attribute.tag,)) + attribute.octets
    text = attribute.text
    if not text.isascii():
        from unicodedata import normalize  # noqa: PLC0415 -- rarely needed, and its tables are large

        text = normalize("NFKC", normalize("NFKC", text).casefold())
    folded = " ".join(part for part in text.casefold().translate(_SPACES).split(" ") if part)
    return b"\0" + folded.encode("utf-8", "surrogatepass")  # no tag is 0: text is equal to text only


def _attribute(encoded: bytes) -> Attribute:
    parts = der.children(encoded, SEQUENCE)
    if len(parts) != 2 or parts[0][0] != OID:  # noqa: PLR2004 -- AttributeTypeAndValue
        raise Damaged("an attribute is not a type and a value")
    (_, _, start, end), (tag, _, begin, stop) = parts
    oid = der.dotted(encoded[start:end])
    octets = encoded[begin:stop]
    try:
        return Attribute(oid=oid, tag=tag, octets=_without_unused_bits(oid, tag, octets), text=_text(oid, tag, octets))
    except Damaged as error:
        raise Damaged(f"{_LABELS.get(oid, oid)}: {error}") from error


def _without_unused_bits(oid: str, tag: int, octets: bytes) -> bytes:
    return octets[1:] if tag == BIT_STRING and oid == _UNIQUE_IDENTIFIER else octets


def _text(oid: str, tag: int, octets: bytes) -> str:
    """The text of a string.

    Raises Damaged when it is no string, or is not valid in its type.
    """
    if tag == BIT_STRING and oid == _UNIQUE_IDENTIFIER and octets[:1] == b"\0":
        return octets[1:].decode("latin-1")
    if tag in _UTF_8_OR_LATIN_1:
        return text_of(octets)
    encoding = {_UTF8: "utf-8", _BMP: "utf-16-be", _UNIVERSAL: "utf-32-be"}.get(tag)
    if encoding is None:
        raise Damaged(f"its value is of ASN.1 type 0x{tag:02x}, which is no string")
    try:
        return octets.decode(encoding)
    except UnicodeDecodeError as error:
        raise Damaged("its value is not valid in its string type") from error


def text_of(octets: bytes) -> str:
    """The text of a string of single bytes: UTF-8 if it is valid UTF-8, otherwise Latin-1."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _escaped(text: str) -> str:
    """Escape by RFC 4514 §2.4, like cryptography."""
    escaped = text.translate(_ESCAPED)
    if escaped[:1] == "#" or (escaped[:1] == " " and len(escaped) > 1):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") else escaped
