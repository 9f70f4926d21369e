"""Certificates that are odd in one named place inside the signed part, truly signed; and any two oddities together.

An oddity is what it puts in the place of some of the PARTS of a TBSCertificate. The base is a P-256 device certificate.
"""

import random
from collections.abc import Iterator, Mapping
from functools import cache

from tests.support.cases.der import (
    BIT_STRING,
    BMP,
    BOOLEAN,
    COMMON_NAME,
    GENERAL,
    GENERALIZED_TIME,
    IA5,
    INTEGER,
    NULL,
    NUMERIC,
    OCTET_STRING,
    OID,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    RSA_ENCRYPTION,
    SEQUENCE,
    SET,
    T61,
    UNIVERSAL,
    UTC_TIME,
    UTF8,
    VISIBLE,
    attribute,
    distinguished_name,
    elements,
    integer,
    sensor,
    signed,
    tbs_with,
    tlv,
    validity,
)
from tests.support.cases.mutation import fuzzed_ca, shapes
from tests.support.cases.reencoding import left_open, long_form
from tests.support.differential.odd_extensions import (
    PRIVATE,
    SAN,
    extension,
    extensions,
    general_names,
    lists_of_extensions,
    single_extensions,
)

Oddity = Mapping[str, bytes]  # part of the TBS → its bytes

ORGANIZATION, SERIAL_NUMBER = b"\x55\x04\x0a", b"\x55\x04\x05"
ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")

_KINDS = {
    "UTF8": UTF8,
    "Printable": PRINTABLE,
    "IA5": IA5,
    "T61": T61,
    "Visible": VISIBLE,
    "General": GENERAL,
    "Numeric": NUMERIC,
    "BMP": BMP,
    "Universal": UNIVERSAL,
    "OCTET STRING": OCTET_STRING,
    "INTEGER": INTEGER,
    "BIT STRING": BIT_STRING,
    "BOOLEAN": BOOLEAN,
    "tag 0": 0x80,
    "SEQUENCE": SEQUENCE,
    "NULL": 5,
}
_TEXTS = {
    "plain": b"Acme",
    "underscore": b"00_17",
    "at sign": b"a@b.example",
    "ampersand": b"A & B",
    "star": b"*",
    "Latin-1": "Bj\xf6rn".encode("latin-1"),
    "UTF-8": "Björn".encode(),
    "NUL": b"A\0",
    "nothing": b"",
    "line feed": b"A\nB",
    "percent": b"A%41",
    "300 letters": b"x" * 300,
    "half a character": b"\0A\0",
    "two bytes each": "Bjö".encode("utf-16-be"),
    "four bytes each": "Bj".encode("utf-32-be"),
    "surrogates": b"\xd8\x3d\xde\x00",
    "beyond Unicode": b"\0\x11\0\0",
}


@cache
def oddities() -> dict[str, Oddity]:
    """All single oddities by name, each as `place: what`."""
    found: dict[str, Oddity] = {
        **{f"organization: {how}": {"subject": _device(ORGANIZATION, value)} for how, value in _strings()},
        **{f"subject: {how}": {"subject": subject} for how, subject in _subjects().items()},
        **{f"issuer: {how}": {"issuer": issuer} for how, issuer in _issuers().items()},
        **{f"version: {how}": {"version": bytes.fromhex(version)} for how, version in _VERSIONS.items()},
        **{f"serial: {how}": {"serial": serial} for how, serial in _serials().items()},
        **{f"validity: {how}": {"validity": times} for how, times in _validities().items()},
        **{f"algorithm: {how}": {"algorithm": tlv(SEQUENCE, inner)} for how, inner in _ALGORITHMS.items()},
        **{f"algorithm: {how}": {"algorithm": one} for how, one in algorithms_in_ber().items()},
        **{f"key: {how}": {"key": key} for how, key in _keys().items()},
        **{f"extension: {how}": {"extensions": extensions(*some)} for how, some in single_extensions().items()},
        **{f"extensions: {how}": {"extensions": some} for how, some in lists_of_extensions().items()},
        "version 1 without extensions": {"version": b"", "extensions": b""},
    }
    names = {f"SAN directoryName: {how}": tlv(0xA4, _device(SERIAL_NUMBER, value)) for how, value in _strings()}
    names |= {f"SAN {how}": name for how, name in general_names().items()}
    for how, name in names.items():
        found[how] = {"extensions": extensions(extension(SAN, tlv(SEQUENCE, name)))}
    return found


def singles() -> dict[str, bytes]:
    """A certificate in DER for each oddity."""
    return {name: _signed(oddity) for name, oddity in oddities().items()}


def pairs(how_many: int, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """So many certificates that are odd in two parts at once."""
    names = list(oddities())
    for _ in range(how_many):
        one, other = dice.sample(names, 2)
        while oddities()[one].keys() & oddities()[other].keys():
            one, other = dice.sample(names, 2)
        yield f"{one} + {other}", _signed({**oddities()[one], **oddities()[other]})


def _signed(oddity: Oddity) -> bytes:
    # Outside the signed part everything is as it must be.
    algorithm = oddity.get("algorithm", tlv(SEQUENCE, ECDSA_SHA256))
    return signed(tbs_with(_base(), **oddity), authority=fuzzed_ca(), algorithm=algorithm)


@cache
def _base() -> bytes:
    return shapes()["P-256, no extensions"]


def _strings() -> list[tuple[str, bytes]]:
    return [(f"{kind}, {text}", tlv(tag, value)) for kind, tag in _KINDS.items() for text, value in _TEXTS.items()]


def _device(oid: bytes, value: bytes) -> bytes:
    """A name with an attribute of any value, and the valid common name."""
    odd = tlv(SEQUENCE, tlv(OID, oid), value)
    return distinguished_name(
        [odd], [attribute(ORGANIZATIONAL_UNIT, b"Mark-2")], [attribute(COMMON_NAME, b"sensor-0001")]
    )


def _subjects() -> dict[str, bytes]:
    name, unit = attribute(COMMON_NAME, b"sensor-0001"), attribute(ORGANIZATIONAL_UNIT, b"Mark-2")
    return {
        "nothing": tlv(SEQUENCE),
        "an empty SET": tlv(SEQUENCE, tlv(SET), tlv(SET, name)),
        "a SET out of order": distinguished_name([unit, name]) + b"",
        "a SET in order": distinguished_name(sorted([unit, name])),
        "an attribute twice in a SET": distinguished_name([name, name]),
        "an attribute without its value": distinguished_name([tlv(SEQUENCE, tlv(OID, COMMON_NAME))]),
        "an attribute of three": distinguished_name([tlv(SEQUENCE, tlv(OID, COMMON_NAME), tlv(UTF8, b"a"), NULL)]),
        "an attribute of type 1.2.3": distinguished_name([attribute(b"\x2a\x03", b"a")], [name]),
        "an empty OID": distinguished_name([attribute(b"", b"a")], [name]),
        "an OID with a leading zero": distinguished_name([attribute(b"\x55\x80\x04\x03", b"a")], [name]),
        "an OID cut short": distinguished_name([attribute(b"\x55\x84", b"a")], [name]),
        "a long length": long_form(SEQUENCE, tlv(SET, name)),
        "length left open": left_open(SEQUENCE, tlv(SET, name)),
        "a string in two parts": distinguished_name(
            [tlv(SEQUENCE, tlv(OID, COMMON_NAME), tlv(UTF8 | 0x20, tlv(UTF8, b"sensor-"), tlv(UTF8, b"0001")))]
        ),
        "a sequence of sequences": tlv(SEQUENCE, tlv(SEQUENCE, name)),
        "no sequence": tlv(SET, tlv(SET, name)),
        "ten common names": distinguished_name(*([attribute(COMMON_NAME, b"a%d" % n)] for n in range(10))),
        "T61 in Latin-1": sensor("f\xfchler-0001".encode("latin-1"), kind=T61),
    }


def _issuers() -> dict[str, bytes]:
    """The CA's name, O=Acme CN=Acme factory CA, as others would write it, and other names."""
    return {
        f"{how} {kind}": distinguished_name(
            [attribute(ORGANIZATION, o, kind=tag)], [attribute(COMMON_NAME, cn, kind=tag)]
        )
        for kind, tag in (("UTF8", UTF8), ("Printable", PRINTABLE), ("T61", T61), ("IA5", IA5))
        for how, (o, cn) in {
            "as it is": (b"Acme", b"Acme factory CA"),
            "in capitals": (b"ACME", b"ACME FACTORY CA"),
            "with more spaces": (b" Acme ", b"Acme   factory  CA"),
            "without spaces": (b"Acme", b"AcmefactoryCA"),
            "another": (b"Acme", b"Acme factory CB"),
            "with a tab": (b"Acme", b"Acme\tfactory CA"),
        }.items()
    } | {
        "BMP": distinguished_name(
            [attribute(ORGANIZATION, "Acme".encode("utf-16-be"), kind=BMP)],
            [attribute(COMMON_NAME, "Acme factory CA".encode("utf-16-be"), kind=BMP)],
        ),
        "in one SET": distinguished_name(
            [attribute(COMMON_NAME, b"Acme factory CA"), attribute(ORGANIZATION, b"Acme")]
        ),
        "turned round": distinguished_name(
            [attribute(COMMON_NAME, b"Acme factory CA")], [attribute(ORGANIZATION, b"Acme")]
        ),
        "nothing": tlv(SEQUENCE),
        "common name alone": distinguished_name([attribute(COMMON_NAME, b"Acme factory CA")]),
    }


_VERSIONS = {
    "1 written out": "a003020100",
    "2": "a003020101",
    "4": "a003020103",
    "6": "a003020105",
    "256": "a00402020100",
    "left out": "",
    "negative": "a0030201ff",
    "padded": "a00402020002",
    "twice": "a003020102a003020102",
    "implicit": "800102",
    "two numbers": "a006020102020102",
    "empty": "a000",
}


def _serials() -> dict[str, bytes]:
    return {
        "0": integer(0),
        "negative": integer(-5),
        "greatest negative of 20 bytes": integer(-(2**159)),
        "21 bytes": integer(2**160),
        "100 bytes": integer(2**792 + 1),
        "padded": tlv(INTEGER, b"\0\5"),
        "padded negative": tlv(INTEGER, b"\xff\xfb"),
        "empty": tlv(INTEGER),
        "long length": long_form(INTEGER, b"\5"),
        "octet string": tlv(OCTET_STRING, b"\5"),
    }


def _validities() -> dict[str, bytes]:
    good = b"20401031000000Z"
    times: dict[str, tuple[int, bytes]] = {
        "UTC without seconds": (UTC_TIME, b"2610310000Z"),
        "UTC with an offset": (UTC_TIME, b"261031000000+0000"),
        "UTC without Z": (UTC_TIME, b"261031000000"),
        "UTC in 1950": (UTC_TIME, b"500101000000Z"),
        "UTC second 60": (UTC_TIME, b"261031000060Z"),
        "UTC with a blank": (UTC_TIME, b"261031 00000Z"),
        "UTC in four digits": (UTC_TIME, b"20261031000000Z"),
        "generalized before 2050": (GENERALIZED_TIME, b"20261031000000Z"),
        "generalized with a fraction": (GENERALIZED_TIME, b"20261031000000.5Z"),
        "generalized without seconds": (GENERALIZED_TIME, b"202610310000Z"),
        "generalized with an offset": (GENERALIZED_TIME, b"20261031000000+0100"),
        "generalized in year 0": (GENERALIZED_TIME, b"00000101000000Z"),
        "generalized small z": (GENERALIZED_TIME, b"20261031000000z"),
        "30 February": (GENERALIZED_TIME, b"20260230000000Z"),
        "as a string": (PRINTABLE, b"20261031000000Z"),
        "empty": (UTC_TIME, b""),
    }
    found = {f"begins {how}": validity(t, good, kinds=(k, GENERALIZED_TIME)) for how, (k, t) in times.items()}
    ends = {
        f"ends {how}": validity(b"20261001000000Z", t, kinds=(GENERALIZED_TIME, k)) for how, (k, t) in times.items()
    }
    return (
        found
        | ends
        | {
            "ends never": validity(b"20261001000000Z", b"99991231235959Z"),
            "ends before it begins": validity(b"20301001000000Z", b"20261231235959Z"),
            "three times": tlv(SEQUENCE, *elements(validity(b"20261001000000Z", good)), tlv(GENERALIZED_TIME, good)),
            "long length": long_form(SEQUENCE, validity(b"20261001000000Z", good)[2:]),
        }
    )


_ALGORITHMS = {
    "NULL parameters": ECDSA_SHA256 + NULL,
    "empty sequence for parameters": ECDSA_SHA256 + tlv(SEQUENCE),
    "two parameters": ECDSA_SHA256 + NULL + NULL,
    "NULL of a byte": ECDSA_SHA256 + b"\x05\x01\x00",
    "NULL with a long length": ECDSA_SHA256 + b"\x05\x81\x00",
    "an OID with a long length": long_form(OID, ECDSA_SHA256[2:]),
    "nothing": b"",
    "unknown": tlv(OID, PRIVATE),
    "of another hash": ECDSA_SHA256[:-1] + b"\x03",
    "a curve as parameters": ECDSA_SHA256 + bytes.fromhex("06082a8648ce3d030107"),
}


def algorithms_in_ber() -> dict[str, bytes]:
    """ecdsa-with-SHA256 with other lengths than DER has."""
    return {
        "length in one byte more": long_form(SEQUENCE, ECDSA_SHA256),
        "length in 60 bytes more": long_form(SEQUENCE, ECDSA_SHA256, more=60),
        "length left open": left_open(SEQUENCE, ECDSA_SHA256),
        "NULL behind it, both with long lengths": long_form(SEQUENCE, ECDSA_SHA256 + b"\x05\x81\x00"),
        "an empty sequence left open for parameters": tlv(SEQUENCE, ECDSA_SHA256, left_open(SEQUENCE, b"")),
        "an OID whose length is left open": tlv(SEQUENCE, b"\x06\x80", ECDSA_SHA256[2:], b"\0\0"),
        "left open, without an end": b"\x30\x80" + ECDSA_SHA256,
    }


def _keys() -> dict[str, bytes]:
    plain = elements(elements(_base())[0])[6]
    algorithm, bits = elements(plain)
    oid, curve = elements(algorithm)
    point = bits[3:]
    compressed = bytes([2 + (point[-1] & 1)]) + point[1:33]
    rsa_bits = elements(elements(elements(shapes()["version 1, RSA"])[0])[5])[1]
    modulus, exponent = elements(rsa_bits[rsa_bits.index(b"\x00\x30") + 1 :])

    def ec_with(parameters: bytes = curve, string: bytes = b"\0" + point, kind: int = BIT_STRING) -> bytes:
        return tlv(SEQUENCE, tlv(SEQUENCE, oid, parameters), tlv(kind, string))

    def rsa_with(first: bytes = modulus, second: bytes = exponent, head: bytes = RSA_ENCRYPTION) -> bytes:
        return tlv(SEQUENCE, head, tlv(BIT_STRING, b"\0", tlv(SEQUENCE, first, second)))

    rsa_oid = elements(RSA_ENCRYPTION)[0]
    return {
        "EC compressed": ec_with(string=b"\0" + compressed),
        "EC hybrid": ec_with(string=b"\0" + bytes([6 + (point[-1] & 1)]) + point[1:]),
        "EC at infinity": ec_with(string=b"\0\0"),
        "EC off the curve": ec_with(string=b"\0" + point[:-1] + bytes([point[-1] ^ 1])),
        "EC empty": ec_with(string=b"\0"),
        "EC without a curve": ec_with(parameters=b""),
        "EC with NULL for a curve": ec_with(parameters=NULL),
        "EC of an unknown curve": ec_with(parameters=tlv(OID, PRIVATE)),
        "EC with unused bits": ec_with(string=b"\1" + point),
        "EC and a byte more": ec_with(string=b"\0" + point + b"\0"),
        "EC in an octet string": ec_with(kind=OCTET_STRING),
        "EC with NULL after the curve": ec_with(parameters=curve + NULL),
        "RSA": rsa_with(),
        "RSA without NULL": rsa_with(head=tlv(SEQUENCE, rsa_oid)),
        "RSA with other parameters": rsa_with(head=tlv(SEQUENCE, rsa_oid, tlv(SEQUENCE))),
        "RSA padded modulus": rsa_with(first=tlv(INTEGER, b"\0\0", modulus[5:])),
        "RSA negative modulus": rsa_with(first=tlv(INTEGER, modulus[5:])),
        "RSA exponent 3": rsa_with(second=integer(3)),
        "RSA exponent 1": rsa_with(second=integer(1)),
        "RSA exponent even": rsa_with(second=integer(65_536)),
        "RSA exponent padded": rsa_with(second=tlv(INTEGER, b"\0\3")),
        "RSA exponent negative": rsa_with(second=integer(-3)),
        "RSA modulus even": rsa_with(first=integer(2**2047)),
        "RSA modulus 0": rsa_with(first=integer(0)),
        "RSA of PSS": rsa_with(head=tlv(SEQUENCE, bytes.fromhex("06092a864886f70d01010a"))),
        "of an unknown type": tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, PRIVATE)), bits),
        "and an issuerUniqueID": plain + tlv(0x81, b"\0\1"),
        "and a subjectUniqueID": plain + tlv(0x82, b"\0\1"),
        "and both unique ids": plain + tlv(0x81, b"\0\1") + tlv(0x82, b"\0\1"),
        "and both unique ids turned round": plain + tlv(0x82, b"\0\1") + tlv(0x81, b"\0\1"),
        "twice": plain + plain,
    }
