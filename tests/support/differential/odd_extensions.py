"""Extensions that are odd in one named place: their values, their lists, and the names in subjectAltName."""

from tests.support.cases.der import (
    BOOLEAN,
    COMMON_NAME,
    IA5,
    NULL,
    OCTET_STRING,
    OID,
    SEQUENCE,
    SET,
    UTF8,
    attribute,
    integer,
    tlv,
)
from tests.support.cases.reencoding import left_open, long_form

BASIC_CONSTRAINTS, KEY_USAGE, SAN, EKU = b"\x55\x1d\x13", b"\x55\x1d\x0f", b"\x55\x1d\x11", b"\x55\x1d\x25"
SKI, AKI, POLICIES, CRL_POINTS = b"\x55\x1d\x0e", b"\x55\x1d\x23", b"\x55\x1d\x20", b"\x55\x1d\x1f"
NAME_CONSTRAINTS, ISSUER_NAMES = b"\x55\x1d\x1e", b"\x55\x1d\x12"
PRIVATE = b"\x2b\x06\x01\x04\x01\x86\x8d\x1f\x01"
TRUE, FALSE, ONE = b"\x01\x01\xff", b"\x01\x01\x00", b"\x01\x01\x01"
CLIENT_AUTH = bytes.fromhex("06082b06010505070302")


def extension(oid: bytes, value: bytes, *, critical: bytes = b"") -> bytes:
    """One extension; `critical` is its BOOLEAN as it is written."""
    return tlv(SEQUENCE, tlv(OID, oid), critical, tlv(OCTET_STRING, value))


def extensions(*some: bytes) -> bytes:
    return tlv(0xA3, tlv(SEQUENCE, *some))


def single_extensions() -> dict[str, list[bytes]]:
    ca_false, usage, purposes = tlv(SEQUENCE), bytes.fromhex("03020780"), tlv(SEQUENCE, CLIENT_AUTH)
    uri = tlv(SEQUENCE, tlv(0x86, b"urn:acme:1"))
    values: dict[str, tuple[bytes, bytes]] = {
        "CA:FALSE": (BASIC_CONSTRAINTS, ca_false),
        "CA:FALSE written out": (BASIC_CONSTRAINTS, tlv(SEQUENCE, FALSE)),
        "CA:TRUE": (BASIC_CONSTRAINTS, tlv(SEQUENCE, TRUE)),
        "CA:TRUE as 01": (BASIC_CONSTRAINTS, tlv(SEQUENCE, ONE)),
        "CA:FALSE with a path length": (BASIC_CONSTRAINTS, tlv(SEQUENCE, integer(0))),
        "CA:TRUE with a negative path length": (BASIC_CONSTRAINTS, tlv(SEQUENCE, TRUE, integer(-1))),
        "CA:TRUE with a path length of 20 bytes": (BASIC_CONSTRAINTS, tlv(SEQUENCE, TRUE, integer(2**159))),
        "basicConstraints of a number": (BASIC_CONSTRAINTS, integer(5)),
        "basicConstraints empty": (BASIC_CONSTRAINTS, b""),
        "basicConstraints and a byte": (BASIC_CONSTRAINTS, ca_false + b"\0"),
        "basicConstraints of two BOOLEANs": (BASIC_CONSTRAINTS, tlv(SEQUENCE, FALSE, FALSE)),
        "CA:FALSE with a long length": (BASIC_CONSTRAINTS, long_form(SEQUENCE, b"")),
        "CA:FALSE with length left open": (BASIC_CONSTRAINTS, left_open(SEQUENCE, b"")),
        "CA:TRUE in a BOOLEAN of two bytes": (BASIC_CONSTRAINTS, tlv(SEQUENCE, tlv(BOOLEAN, b"\xff\xff"))),
        "CA:TRUE in a BOOLEAN of none": (BASIC_CONSTRAINTS, tlv(SEQUENCE, tlv(BOOLEAN))),
        "usage digitalSignature": (KEY_USAGE, usage),
        "usage in eight bits": (KEY_USAGE, bytes.fromhex("03020080")),
        "usage in sixteen bits": (KEY_USAGE, bytes.fromhex("0303078000")),
        "usage with unused bits set": (KEY_USAGE, bytes.fromhex("030207ff")),
        "usage of nothing": (KEY_USAGE, bytes.fromhex("030100")),
        "usage of zeros": (KEY_USAGE, bytes.fromhex("03020000")),
        "usage in three bytes": (KEY_USAGE, bytes.fromhex("030400800000")),
        "usage without an unused byte": (KEY_USAGE, bytes.fromhex("0300")),
        "usage with nine unused bits": (KEY_USAGE, bytes.fromhex("03020980")),
        "usage in an octet string": (KEY_USAGE, bytes.fromhex("04020780")),
        "usage certSign": (KEY_USAGE, bytes.fromhex("03020204")),
        "purpose client": (EKU, purposes),
        "purposes none": (EKU, tlv(SEQUENCE)),
        "purpose twice": (EKU, tlv(SEQUENCE, CLIENT_AUTH, CLIENT_AUTH)),
        "purpose unknown": (EKU, tlv(SEQUENCE, tlv(OID, PRIVATE))),
        "purpose a string": (EKU, tlv(SEQUENCE, tlv(UTF8, b"client"))),
        "purpose without a sequence": (EKU, CLIENT_AUTH),
        "SAN of nothing": (SAN, tlv(SEQUENCE)),
        "SAN empty": (SAN, b""),
        "SAN and a byte": (SAN, uri + b"\0"),
        "SAN of a string": (SAN, tlv(UTF8, b"a")),
        "SKI": (SKI, tlv(OCTET_STRING, bytes(20))),
        "SKI empty": (SKI, tlv(OCTET_STRING)),
        "SKI no octet string": (SKI, bytes(20)),
        "AKI of another key": (AKI, tlv(SEQUENCE, tlv(0x80, bytes(20)))),
        "AKI empty": (AKI, tlv(SEQUENCE)),
        "AKI with a serial alone": (AKI, tlv(SEQUENCE, tlv(0x82, b"\5"))),
        "AKI no sequence": (AKI, tlv(OCTET_STRING, bytes(20))),
        "policies": (POLICIES, tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, PRIVATE)))),
        "policies none": (POLICIES, tlv(SEQUENCE)),
        "policies twice one": (POLICIES, tlv(SEQUENCE, *[tlv(SEQUENCE, tlv(OID, PRIVATE))] * 2)),
        "CRL points": (CRL_POINTS, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://a/")))))),
        "CRL points none": (CRL_POINTS, tlv(SEQUENCE)),
        "CRL points with a Latin-1 URI": (
            *(CRL_POINTS, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://\xfc/")))))),
        ),
        "name constraints": (NAME_CONSTRAINTS, tlv(SEQUENCE, tlv(0xA0, tlv(SEQUENCE, tlv(0x82, b"a"))))),
        "name constraints damaged": (NAME_CONSTRAINTS, b"\5"),
        "issuer names": (ISSUER_NAMES, uri),
        "private": (PRIVATE, b"\5\0"),
        "private of any bytes": (PRIVATE, b"\xff\xff\xff"),
    }
    written = {"": b"", " critical": TRUE, " critical FALSE": FALSE, " critical 01": ONE}
    return {
        f"{how}{mark}": [extension(oid, value, critical=flag)]
        for how, (oid, value) in values.items()
        for mark, flag in written.items()
    }


def lists_of_extensions() -> dict[str, bytes]:
    usage = extension(KEY_USAGE, bytes.fromhex("03020780"))
    uri = extension(SAN, tlv(SEQUENCE, tlv(0x86, b"urn:acme:1")))
    return {
        "none": tlv(0xA3, tlv(SEQUENCE)),
        "no list": tlv(0xA3),
        "one twice": extensions(usage, usage),
        "a private one twice": extensions(*[extension(PRIVATE, NULL)] * 2),
        "two SANs": extensions(uri, extension(SAN, tlv(SEQUENCE, tlv(0x86, b"urn:acme:2")))),
        "two lists": extensions(usage) + extensions(uri),
        "two lists in one": tlv(0xA3, tlv(SEQUENCE, usage), tlv(SEQUENCE, uri)),
        "under another tag": tlv(0xA4, tlv(SEQUENCE, usage)),
        "without a value": extensions(tlv(SEQUENCE, tlv(OID, PRIVATE))),
        "with a fourth element": extensions(tlv(SEQUENCE, tlv(OID, PRIVATE), TRUE, tlv(OCTET_STRING), NULL)),
        "critical as a number": extensions(extension(PRIVATE, NULL, critical=integer(1))),
        "critical in two bytes": extensions(extension(PRIVATE, NULL, critical=b"\x01\x02\xff\xff")),
        "a value in no octet string": extensions(tlv(SEQUENCE, tlv(OID, KEY_USAGE), bytes.fromhex("03020780"))),
        "a value in two parts": extensions(
            tlv(SEQUENCE, tlv(OID, KEY_USAGE), tlv(0x24, *(tlv(OCTET_STRING, part) for part in (b"\3\2", b"\7\x80"))))
        ),
        "an empty OID": extensions(extension(b"", NULL)),
        "an OID with a leading zero": extensions(extension(b"\x55\x80\x1d\x0f", NULL)),
        "a long length": extensions(long_form(SEQUENCE, usage[2:])),
        "length left open": extensions(left_open(SEQUENCE, usage[2:])),
        "a byte after them": extensions(usage) + b"\0",
        "NULL after them": extensions(usage) + NULL,
    }


def general_names() -> dict[str, bytes]:
    texts = {
        "plain": b"urn:acme:1",
        "Latin-1": b"urn:f\xfchler",
        "UTF-8": "urn:fühler".encode(),
        "blank": b"urn: a",
        "empty": b"",
        "NUL": b"urn:a\0b",
        "underscore": b"a_b.example",
        "star": b"*.example",
        "percent": b"urn:%41",
    }
    places = {"mail": 0x81, "DNS": 0x82, "URI": 0x86}
    other = tlv(0xA0, tlv(OID, PRIVATE), tlv(0xA0, tlv(UTF8, b"a")))
    return {
        **{f"{place}: {how}": tlv(tag, text) for place, tag in places.items() for how, text in texts.items()},
        **{f"IP: {size} bytes": tlv(0x87, bytes(size)) for size in (0, 3, 4, 5, 8, 16, 32)},
        "otherName": other,
        "otherName without a value": tlv(0xA0, tlv(OID, PRIVATE)),
        "x400Address": tlv(0xA3, NULL),
        "ediPartyName": tlv(0xA5, tlv(0xA1, tlv(UTF8, b"a"))),
        "registeredID": tlv(0x88, PRIVATE),
        "registeredID empty": tlv(0x88),
        "of tag 9": tlv(0x89, b"a"),
        "URI constructed": tlv(0xA6, tlv(IA5, b"urn:a")),
        "two URIs": tlv(0x86, b"urn:a") + tlv(0x86, b"urn:b"),
        "directoryName empty": tlv(0xA4, tlv(SEQUENCE)),
        "directoryName implicit": tlv(0xA4, content := tlv(SET, attribute(COMMON_NAME, b"a"))),
        "directoryName twice in one": tlv(0xA4, tlv(SEQUENCE, content), tlv(SEQUENCE, content)),
    }
