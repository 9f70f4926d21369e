"""Makes CRLs in DER: right ones, and such as no CA makes; signed by the authority unless a case says otherwise.

Written out by hand, since pyca's builder refuses most of what a CRL must not be, and takes long for a million entries.
"""

from collections.abc import Iterable
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from tests.support.cases.issuing import DAY, NOW, Authority, SigningKey

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x06
ENUMERATED, UTC_TIME, SEQUENCE = 0x0A, 0x17, 0x30
TRUE = bytes([BOOLEAN, 1, 0xFF])

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")
RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
RSA_SHA1 = bytes.fromhex("300d06092a864886f70d0101050500")

CRL_NUMBER, DELTA_INDICATOR, ISSUING_POINT = "551d14", "551d1b", "551d1c"
REASON_CODE, INVALIDITY_DATE, CERTIFICATE_ISSUER = "551d15", "551d18", "551d1d"
UNKNOWN = "2a0304"


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(value: int) -> bytes:
    width = (value if value >= 0 else ~value).bit_length() // 8 + 1  # -128 is one byte
    return tlv(INTEGER, value.to_bytes(width, "big", signed=True))


def moment(at: datetime) -> bytes:
    return tlv(UTC_TIME, f"{at:%y%m%d%H%M%SZ}".encode())


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    """An extension; `oid` is the hexadecimal content of its object identifier."""
    return tlv(
        SEQUENCE,
        tlv(OBJECT_IDENTIFIER, bytes.fromhex(oid)),
        TRUE if critical else b"",
        tlv(OCTET_STRING, value),
    )


def reason(code: int) -> bytes:
    return extension(REASON_CODE, tlv(ENUMERATED, bytes([code])))


_REVOKED_AT = moment(NOW - DAY)


def entry(serial: int, *extensions: bytes) -> bytes:
    """One revoked certificate."""
    return tlv(SEQUENCE, integer(serial), _REVOKED_AT, tlv(SEQUENCE, *extensions) if extensions else b"")


def issue_crl(
    authority: Authority,
    entries: Iterable[bytes] = (),
    *,
    number: int | None = 1,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + 7 * DAY,
    extensions: Iterable[bytes] = (),
    issuer: bytes | None = None,
    signer: SigningKey | None = None,
    algorithm: bytes | None = None,
    outer_algorithm: bytes | None = None,
    version: int = 2,
) -> bytes:
    """A CRL in DER; as it stands a complete and fresh one."""
    key = signer or authority.key
    algorithm = algorithm or (ECDSA_SHA256 if isinstance(key, ec.EllipticCurvePrivateKey) else RSA_SHA256)
    revoked = list(entries)
    all_extensions = [*([extension(CRL_NUMBER, integer(number))] if number is not None else []), *extensions]
    signed = tlv(
        SEQUENCE,
        integer(1) if version == 2 else b"",
        algorithm,
        issuer if issuer is not None else authority.subject.public_bytes(),
        moment(this_update),
        moment(next_update) if next_update else b"",
        tlv(SEQUENCE, *revoked) if revoked else b"",
        tlv(0xA0, tlv(SEQUENCE, *all_extensions)) if all_extensions else b"",
    )
    return tlv(SEQUENCE, signed, outer_algorithm or algorithm, tlv(BIT_STRING, b"\0" + _signature(key, signed)))


def _signature(key: SigningKey, signed: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
