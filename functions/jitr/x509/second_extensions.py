"""Reads a certificate's extensions from DER, each on its own, for the second reader.

An unreadable extension does not affect the others; `Extensions.unreadable` says why it cannot be read. checks.py and
naming.py decide which ones admission needs. All functions raise Damaged.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.x509.oid import ExtensionOID

from jitr.x509 import der, distinguished_names
from jitr.x509.der import BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE
from jitr.x509.extensions import Extensions
from jitr.x509.parsing import Damaged

# GeneralName's choices (RFC 5280 §4.2.1.6); the content of x400Address and ediPartyName is not read.
_MAIL, _DNS, _URI, _DIRECTORY, _ADDRESS, _REGISTERED_ID, _OTHER_NAME = 0x81, 0x82, 0x86, 0xA4, 0x87, 0x88, 0xA0
_CONSTRUCTED = (0xA3, 0xA5)

# AuthorityKeyIdentifier (§4.2.1.1).
_KEY_ID, _ISSUER = 0x80, (0xA1, 0x82)

# DistributionPoint and DistributionPointName (§4.2.1.13).
_POINT_NAME, _POINT_REASONS, _POINT_ISSUER = _POINT_PARTS = (0xA0, 0x81, 0xA2)
_FULL_NAME, _RELATIVE_NAME = 0xA0, 0xA1

_MOST_UNUSED = 7  # bits of a byte


def read_extensions(extensions: bytes | None) -> Extensions:
    """Read the list of extensions; the value says which of them cannot be read."""
    if extensions is None:
        return Extensions()
    try:
        listed = [_cut(extensions[begin:end]) for _, begin, _, end in der.children(extensions, SEQUENCE)]
    except Damaged as error:
        return Extensions(problem=f"the list of extensions cannot be read: {error}")
    fields: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    times = Counter(oid for oid, _ in listed)
    for oid, rest in listed:
        if times[oid] > 1:
            unreadable[oid] = "it is there twice"
            continue
        try:
            value = _value(rest)
            fields |= _READERS[oid](value) if oid in _READERS else {}
        except Damaged as error:
            unreadable[oid] = str(error)
    critical = tuple(dict.fromkeys(oid for oid, rest in listed if _is_critical(rest)))
    return Extensions(**fields, critical=critical, unreadable=unreadable)


def _cut(extension: bytes) -> tuple[str, list[tuple[int, bytes]]]:
    """An extension's OID, and the elements after it. Without an OID, the whole list is unreadable."""
    (tag, _, start, end), *rest = der.children(extension, SEQUENCE) or [(0, 0, 0, 0)]
    if tag != OID:
        raise Damaged("an extension has no object identifier")
    return der.dotted(extension[start:end]), [(tag, extension[begin:stop]) for tag, begin, _, stop in rest]


def _is_critical(rest: list[tuple[int, bytes]]) -> bool:
    """Whether it is marked as critical; an element that is not a BOOLEAN FALSE in DER counts as the mark."""
    tag, written = rest[0] if rest else (0, b"")
    return tag != OCTET_STRING and written != bytes((BOOLEAN, 1, 0))


def _value(rest: list[tuple[int, bytes]]) -> bytes:
    """The content of extnValue, after an optional BOOLEAN, which may be an explicit default."""
    if len(rest) == 2 and rest[0][0] == BOOLEAN:  # noqa: PLR2004 -- critical and extnValue
        der.boolean(der.content(rest[0][1], BOOLEAN))
        rest = rest[1:]
    if len(rest) != 1:
        raise Damaged("it is not an Extension as in RFC 5280, 4.1")
    return der.content(rest[0][1], OCTET_STRING)


def _basic_constraints(value: bytes) -> Mapping[str, Any]:
    parts = [(tag, value[begin:end]) for tag, begin, _, end in der.children(value, SEQUENCE)]
    is_ca = False
    if parts and parts[0][0] == BOOLEAN:
        is_ca = der.boolean(der.content(parts.pop(0)[1], BOOLEAN))
    if parts and parts[0][0] == INTEGER:
        der.integer(der.content(parts.pop(0)[1], INTEGER))
    if parts:
        raise Damaged("it holds more than cA and pathLenConstraint")
    return {"is_ca": is_ca}


def _key_usage(value: bytes) -> Mapping[str, Any]:
    bits = der.content(value, BIT_STRING)
    if not bits or bits[0] > _MOST_UNUSED or (len(bits) == 1 and bits[0]):
        raise Damaged("it is not a BIT STRING")
    whole = int.from_bytes(bits[1:], "big") >> bits[0] << bits[0]
    first = whole >> 8 * (len(bits) - 2) if whole else 0
    return {
        "signs": bool(first & 0x80),
        "signs_certificates": bool(first & 0x04),
        "signs_crls": bool(first & 0x02),
    }


def _purposes(value: bytes) -> Mapping[str, Any]:
    purposes = der.children(value, SEQUENCE)
    if any(tag != OID for tag, *_ in purposes):
        raise Damaged("a purpose is not an object identifier")
    return {"purposes": frozenset(der.dotted(value[start:end]) for _, _, start, end in purposes)}


def _alternative_names(value: bytes) -> Mapping[str, Any]:
    names = _general_names(value, *der.content_range(value, SEQUENCE))
    return {
        "alternative_uris": names.get(_URI, ()),
        "alternative_dns_names": names.get(_DNS, ()),
        "other_alternative_names": (*names.get(_MAIL, ()), *names.get(_DIRECTORY, ())),
    }


def _general_names(value: bytes, at: int, end: int) -> Mapping[int, tuple[str, ...]]:
    """The names between two offsets, as text, by their tag; names that are not text are left out."""
    names: dict[int, list[str]] = {}
    for tag, _, start, stop in der.elements(value, at, end):
        octets = value[start:stop]
        if tag in (_MAIL, _DNS, _URI):
            names.setdefault(tag, []).append(distinguished_names.text_of(octets))
        elif tag == _DIRECTORY:
            try:
                read = distinguished_names.read(octets)
            except Damaged as error:
                raise Damaged(f"directoryName, {error}") from error
            names.setdefault(tag, []).append(distinguished_names.rfc4514(read))
        elif tag == _REGISTERED_ID:
            der.dotted(octets)
        elif tag == _OTHER_NAME:
            if [kind for kind, *_ in der.elements(value, start, stop)] != [OID, 0xA0]:
                raise Damaged("an otherName is not a type and a value")
        elif tag not in (_ADDRESS, *_CONSTRUCTED):
            raise Damaged(f"a name is of type 0x{tag:02x}, which does not exist")
    return {tag: tuple(found) for tag, found in names.items()}


def _subject_key_identifier(value: bytes) -> Mapping[str, Any]:
    return {"subject_key_identifier": (der.content(value, OCTET_STRING).hex(),)}


def _authority_key_identifier(value: bytes) -> Mapping[str, Any]:
    tags = [tag for tag, *_ in der.children(value, SEQUENCE)]
    # The CA's name and serial number come together, or not at all.
    if tags not in ([], [_KEY_ID], [_KEY_ID, *_ISSUER], [*_ISSUER]):
        raise Damaged("it is not as in RFC 5280, 4.2.1.1")
    return {}


def _name_constraints(value: bytes) -> Mapping[str, Any]:
    tags = [tag for tag, *_ in der.children(value, SEQUENCE)]
    if tags != [tag for tag in (0xA0, 0xA1) if tag in tags]:
        raise Damaged("it is not as in RFC 5280, 4.2.1.10")
    return {}


def _distribution_points(value: bytes) -> Mapping[str, Any]:
    """The URIs of all full names; reasons and issuers of a point are ignored."""
    uris: list[str] = []
    for point, _, at, end in der.children(value, SEQUENCE):
        parts = der.elements(value, at, end)
        tags = [tag for tag, *_ in parts]
        if point != SEQUENCE or tags != [tag for tag in _POINT_PARTS if tag in tags]:
            raise Damaged("a distribution point is not as in RFC 5280, 4.2.1.13")
        if not {_POINT_NAME, _POINT_ISSUER}.intersection(tags):
            raise Damaged("a distribution point has neither a name nor an issuer")
        if tags[:1] == [_POINT_NAME]:
            (kind, _, start, stop), *more = der.elements(value, *parts[0][2:]) or [(0, 0, 0, 0)]
            if more or kind not in (_FULL_NAME, _RELATIVE_NAME):
                raise Damaged("a distribution point's name is of an unknown type")
            if kind == _FULL_NAME:
                uris += _general_names(value, start, stop).get(_URI, ())
    return {"distribution_points": frozenset(uris)}


_READERS: Mapping[str, Callable[[bytes], Mapping[str, Any]]] = {
    oid.dotted_string: read
    for oid, read in (
        (ExtensionOID.BASIC_CONSTRAINTS, _basic_constraints),
        (ExtensionOID.KEY_USAGE, _key_usage),
        (ExtensionOID.EXTENDED_KEY_USAGE, _purposes),
        (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, _alternative_names),
        (ExtensionOID.SUBJECT_KEY_IDENTIFIER, _subject_key_identifier),
        (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, _authority_key_identifier),
        (ExtensionOID.CRL_DISTRIBUTION_POINTS, _distribution_points),
        (ExtensionOID.NAME_CONSTRAINTS, _name_constraints),
    )
}
