"""Is the key of a kind and size that the rules allow?"""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitr.errors import Reason
from tests.cases.case import admitted, refused
from tests.cases.der import P_192, P_256, ec_key_of, issued_with, rsa_key_of
from tests.cases.issuing import Application, applying, ec_key, factory, rsa_key


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
