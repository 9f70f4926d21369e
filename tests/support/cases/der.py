"""Certificates byte by byte, for what no library makes: a valid leaf with parts of it replaced, and signed again."""

import base64
import ssl
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.cases.issuing import Application, Authority, applying, factory

# The elements of a TBSCertificate (RFC 5280 §4.1), the first and the last of which may be absent.
PARTS = ("version", "serial", "algorithm", "issuer", "validity", "subject", "key", "extensions")

INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8, PRINTABLE, IA5, UTC_TIME, GENERALIZED_TIME = (
    *(0x02, 0x03, 0x04, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18),
)
BMP, UNIVERSAL, SEQUENCE, SET = 0x1E, 0x1C, 0x30, 0x31
BOOLEAN, NUMERIC, T61, VISIBLE, GENERAL = 0x01, 0x12, 0x14, 0x1A, 0x1B
NULL = b"\x05\x00"
COMMON_NAME = b"\x55\x04\x03"
ORGANIZATIONAL_UNIT = b"\x55\x04\x0b"
RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
P_256, P_192, PRIME239V1 = (bytes.fromhex(f"2a8648ce3d0301{last}") for last in ("07", "01", "04"))


def as_pem(der: bytes) -> str:
    """Well-formed PEM around any bytes."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def der_of(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element, its length in the shortest form."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def elements(der: bytes) -> list[bytes]:
    """The elements inside a constructed element, each with its tag and length."""
    content, found = content_of(der), []
    while content:
        end = _whole(content)
        found.append(content[:end])
        content = content[end:]
    return found


def content_of(der: bytes) -> bytes:
    """An element without its tag and length."""
    return der[_header(der) :]


def attribute(oid: bytes, value: bytes, *, kind: int = UTF8) -> bytes:
    """One attribute of a name: type and value."""
    return tlv(SEQUENCE, tlv(OID, oid), tlv(kind, value))


def distinguished_name(*rdns: Sequence[bytes]) -> bytes:
    """A name of relative names, each of which holds attributes."""
    return tlv(SEQUENCE, *(tlv(SET, *rdn) for rdn in rdns))


def sensor(common_name: bytes, *, kind: int = UTF8) -> bytes:
    """The valid subject's name with another common name, in any encoding."""
    return distinguished_name(
        [attribute(ORGANIZATIONAL_UNIT, b"Mark-2")], [attribute(COMMON_NAME, common_name, kind=kind)]
    )


def validity(begins: bytes, ends: bytes, *, kinds: tuple[int, int] = (GENERALIZED_TIME, GENERALIZED_TIME)) -> bytes:
    """A validity whose times are written as they are given."""
    return tlv(SEQUENCE, tlv(kinds[0], begins), tlv(kinds[1], ends))


def integer(number: int) -> bytes:
    """An integer in the fewest bytes, two's complement."""
    magnitude = number if number >= 0 else ~number
    return tlv(INTEGER, number.to_bytes(magnitude.bit_length() // 8 + 1, signed=True))


def rsa_key_of(modulus: int, exponent: int = 65_537) -> bytes:
    """A public key of any numbers."""
    return tlv(SEQUENCE, RSA_ENCRYPTION, tlv(BIT_STRING, b"\0", tlv(SEQUENCE, integer(modulus), integer(exponent))))


def ec_key_of(curve: bytes, point: bytes) -> bytes:
    """A public key on any curve, at any point."""
    return tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, EC_PUBLIC_KEY), tlv(OID, curve)), tlv(BIT_STRING, b"\0", point))


def signed(tbs: bytes, *, authority: Authority | None = None, algorithm: bytes | None = None) -> bytes:
    """A certificate in DER: the part that is signed, and a true signature under it (ECDSA with SHA-256)."""
    key = (authority or factory()).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return tlv(SEQUENCE, tbs, algorithm or _algorithm(tbs), tlv(BIT_STRING, b"\0", signature))


def tbs_with(base: str | bytes | None = None, **replaced: bytes) -> bytes:
    """What is signed of a certificate (PEM or DER), the valid leaf's if none is given, with some PARTS replaced."""
    der = base if isinstance(base, bytes) else der_of(base or factory().leaf())
    parts = _parts(elements(der)[0])
    return tlv(SEQUENCE, *((parts | replaced)[part] for part in PARTS))


def issued_with(base: str | bytes | None = None, **replaced: bytes) -> Application:
    """A device whose certificate is truly signed by the factory, with some of its PARTS replaced."""
    return applying(as_pem(signed(tbs_with(base, **replaced))))


def _parts(tbs: bytes) -> dict[str, bytes]:
    found = elements(tbs)
    if found[0][0] != 0xA0:
        found.insert(0, b"")
    return dict(zip(PARTS, [*found, b""], strict=False))


def _algorithm(tbs: bytes) -> bytes:
    return _parts(tbs)["algorithm"]


def _header(der: bytes) -> int:
    """The number of bytes of tag and length."""
    return 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)


def _whole(der: bytes) -> int:
    """The number of bytes of the first element; of one whose length is left open (BER), with the zeros at its end."""
    if der[1] != 0x80:
        return _header(der) + _length(der)
    at = 2
    while der[at : at + 2] != b"\0\0":
        at += _whole(der[at:])
    return at + 2


def _length(der: bytes) -> int:
    return der[1] if der[1] < 0x80 else int.from_bytes(der[2 : _header(der)])
