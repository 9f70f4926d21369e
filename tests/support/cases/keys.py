"""Is the key of a kind and size that the rules allow?"""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import (
    BIT_STRING,
    EC_PUBLIC_KEY,
    OCTET_STRING,
    OID,
    P_192,
    P_256,
    SEQUENCE,
    ec_key_of,
    integer,
    issued_with,
    rsa_key_of,
    tlv,
)
from tests.support.cases.issuing import Application, applying, ec_key, factory, rsa_key


@refused(Reason.KEY_SIZE_REFUSED)
def rsa_too_short() -> Application:
    """An RSA key of 1024 bits."""
    return applying(factory().leaf(key=rsa_key(1024)))


@refused(Reason.KEY_SIZE_REFUSED)
def rsa_a_bit_too_short() -> Application:
    """An RSA key one bit shorter than the rules allow."""
    return applying(factory().leaf(key=rsa_key(2047)))


@refused(Reason.KEY_SIZE_REFUSED)
def rsa_too_long() -> Application:
    """An RSA key one bit longer than the rules allow."""
    return applying(factory().leaf(key=rsa_key())).with_rules(rsa_bits=(1024, 2047))


@refused(Reason.KEY_SIZE_REFUSED)
def rsa_16384() -> Application:
    """An RSA key of 16384 bits, the greatest that OpenSSL verifies."""
    return issued_with(key=rsa_key_of(1 << 16_383 | 1))


@refused(Reason.UNREADABLE)
def p_192() -> Application:
    """A key on P-192, which cryptography does not know any more."""
    return issued_with(key=ec_key_of(P_192, b"\4" + bytes(48)))


@admitted
def compressed_point() -> Application:
    """A key on P-256 whose point is written in its compressed form."""
    point = ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return issued_with(key=ec_key_of(P_256, point))


@refused(Reason.KEY_TYPE_REFUSED)
def curve_written_out() -> Application:
    """A key on P-256 that writes the curve's parameters out instead of its name (RFC 5480 §2.1.1)."""
    key = ec_key().public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    head = tlv(SEQUENCE, tlv(OID, EC_PUBLIC_KEY), _p_256_written_out())
    return issued_with(key=tlv(SEQUENCE, head, tlv(BIT_STRING, b"\0", point)))


@refused(Reason.KEY_TYPE_REFUSED)
def ed25519_key() -> Application:
    """An Ed25519 key."""
    return applying(factory().leaf(key=ed25519.Ed25519PrivateKey.generate()))


@refused(Reason.KEY_TYPE_REFUSED)
def dsa_key() -> Application:
    """A DSA key."""
    return applying(factory().leaf(key=_dsa_key()))


@refused(Reason.KEY_TYPE_REFUSED)
def p_224() -> Application:
    """A key on P-224."""
    return applying(factory().leaf(key=ec_key(ec.SECP224R1)))


@refused(Reason.KEY_TYPE_REFUSED)
def bitcoin_curve() -> Application:
    """A key on secp256k1: 256 bits, but not P-256."""
    return applying(factory().leaf(key=ec_key(ec.SECP256K1)))


@refused(Reason.KEY_TYPE_REFUSED)
def curve_not_allowed_here() -> Application:
    """A key on P-384 where the rules allow P-256 alone."""
    return applying(factory().leaf(key=ec_key(ec.SECP384R1))).with_rules(curves=("P-256",))


@cache
def _dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(2048)


def _p_256_written_out() -> bytes:
    """ECParameters of P-256 (SEC 1, C.2): the field, the curve, the base point and its order (SEC 2 §2.4.2)."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
    base = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    field = tlv(SEQUENCE, tlv(OID, bytes.fromhex("2a8648ce3d0101")), integer(prime))
    curve = tlv(SEQUENCE, tlv(OCTET_STRING, (prime - 3).to_bytes(32)), tlv(OCTET_STRING, b))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return tlv(SEQUENCE, integer(1), field, curve, tlv(OCTET_STRING, base), integer(order), integer(1))
