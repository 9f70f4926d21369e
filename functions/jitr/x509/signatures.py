"""Reads AlgorithmIdentifiers, and verifies the signatures of certificates and CRLs.

The library's own reader refuses identifiers that CAs do write (NULL after ecdsa-with-SHA256, no NULL after
sha256WithRSAEncryption). It also verifies no MD5 or SHA-1 signatures, so a weak signature would be reported as a wrong
one. checks.py decides whether a hash is strong enough.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from jitr.frozen import value
from jitr.x509 import der
from jitr.x509.der import INTEGER, OID, SEQUENCE
from jitr.x509.parsing import Damaged, call_cryptography

# By the content of the OID in hex: RFC 8017 appendix A.2.4, RFC 5758, RFC 3279, and NIST's for SHA-3 and DSA.
_PSS = "2a864886f70d01010a"
_ALGORITHMS = {
    "2a864886f70d010104": ("md5WithRSAEncryption", "md5"),
    "2a864886f70d010105": ("sha1WithRSAEncryption", "sha1"),
    "2b0e03021d": ("sha1WithRSAEncryption", "sha1"),  # OIW's, used by old Microsoft tools
    "2a864886f70d01010e": ("sha224WithRSAEncryption", "sha224"),
    "2a864886f70d01010b": ("sha256WithRSAEncryption", "sha256"),
    "2a864886f70d01010c": ("sha384WithRSAEncryption", "sha384"),
    "2a864886f70d01010d": ("sha512WithRSAEncryption", "sha512"),
    "2a8648ce3d0401": ("ecdsa-with-SHA1", "sha1"),
    "2a8648ce3d040301": ("ecdsa-with-SHA224", "sha224"),
    "2a8648ce3d040302": ("ecdsa-with-SHA256", "sha256"),
    "2a8648ce3d040303": ("ecdsa-with-SHA384", "sha384"),
    "2a8648ce3d040304": ("ecdsa-with-SHA512", "sha512"),
    **{
        f"608648016503040{arc:03x}": (name.format(bits), f"sha3-{bits}")
        for first, name in ((0x309, "ecdsa-with-SHA3-{}"), (0x30D, "sha3-{}WithRSAEncryption"))
        for arc, bits in enumerate((224, 256, 384, 512), first)
    },
    "2a8648ce380403": ("dsa-with-sha1", "sha1"),
    "608648016503040301": ("dsa-with-sha224", "sha224"),
    "608648016503040302": ("dsa-with-sha256", "sha256"),
}
_NAMES = {_PSS: "rsassaPss", "2b6570": "ed25519", "2b6571": "ed448"}
_EDWARDS = ("ed25519", "ed448")
_MGF1 = "2a864886f70d010108"
_HASHES = {
    "2a864886f70d0205": "md5",
    "2b0e03021a": "sha1",
    "608648016503040204": "sha224",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
    "608648016503040207": "sha3-224",
    "608648016503040208": "sha3-256",
    "608648016503040209": "sha3-384",
    "60864801650304020a": "sha3-512",
}
_CLASSES: dict[str, type[hashes.HashAlgorithm]] = {
    kind.name: kind
    for kind in (
        *(hashes.MD5, hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512),
        *(hashes.SHA3_224, hashes.SHA3_256, hashes.SHA3_384, hashes.SHA3_512),
    )
}
_NULL = b"\x05\x00"
_PSS_HASH, _PSS_MASK, _PSS_SALT, _PSS_TRAILER = 0xA0, 0xA1, 0xA2, 0xA3


@value
class SignatureFacts:
    """How a certificate or CRL was signed: the algorithm's name, and its hashes, for RSASSA-PSS also the mask's."""

    algorithm: str  # the name of its OID, or the OID
    hashes: tuple[str, ...]  # lower-case names; empty for an unknown algorithm
    salt_length: int | None = None  # bytes; of RSASSA-PSS only


@lru_cache(maxsize=16)
def signature_facts(algorithm: bytes) -> SignatureFacts:
    """Read an AlgorithmIdentifier; only RSASSA-PSS uses the parameters.

    Raises Damaged when it does not begin with an OID.
    """
    try:
        identifier, parameters = _parts(algorithm)
        named = der.dotted(identifier)
    except Damaged as error:
        raise Damaged(f"signature algorithm: {error}") from error
    oid = identifier.hex()
    if oid in _ALGORITHMS:
        name, hashed = _ALGORITHMS[oid]
        return SignatureFacts(algorithm=name, hashes=(hashed,))
    if oid == _PSS:
        try:
            return _pss_facts(parameters)
        except Damaged:
            pass  # reported as an unknown algorithm
    return SignatureFacts(algorithm=_NAMES.get(oid, named), hashes=())


def is_signed_by(key: CertificatePublicKeyTypes, signature: bytes, signed: bytes, facts: SignatureFacts) -> bool:
    """Whether the key made the signature over these bytes."""
    try:
        call_cryptography(lambda: _verify(key, signature, signed, facts))
    except (Damaged, InvalidSignature):
        return False
    return True


def _verify(key: CertificatePublicKeyTypes, signature: bytes, signed: bytes, facts: SignatureFacts) -> None:
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and facts.algorithm in _EDWARDS:
        key.verify(signature, signed)
        return
    if not facts.hashes:
        raise Damaged("its signature algorithm is unknown")
    hashed, mask = _CLASSES[facts.hashes[0]](), _CLASSES[facts.hashes[-1]]()
    if isinstance(key, rsa.RSAPublicKey) and facts.salt_length is not None:
        key.verify(signature, signed, padding.PSS(padding.MGF1(mask), facts.salt_length), hashed)
    elif isinstance(key, rsa.RSAPublicKey) and facts.algorithm.endswith("WithRSAEncryption"):
        key.verify(signature, signed, padding.PKCS1v15(), hashed)
    elif isinstance(key, ec.EllipticCurvePublicKey) and facts.algorithm.startswith("ecdsa"):
        key.verify(signature, signed, ec.ECDSA(hashed))
    else:
        raise Damaged("its signature is of another kind than the key")


def _parts(algorithm: bytes) -> tuple[bytes, bytes]:
    """The OID's content, and the parameters; NULL counts as no parameters.

    Raises Damaged.
    """
    first, *rest = der.children(algorithm, SEQUENCE) or [(0, 0, 0, 0)]
    if first[0] != OID:
        raise Damaged("an algorithm has no object identifier")
    identifier = algorithm[first[2] : first[3]]
    parameters = algorithm[first[3] :]
    if len(rest) > 1 or (parameters[:1] == _NULL[:1] and parameters != _NULL):
        raise Damaged("an algorithm has invalid parameters")
    return identifier, b"" if parameters == _NULL else parameters


def _pss_facts(parameters: bytes) -> SignatureFacts:
    """Read RSASSA-PSS parameters (RFC 8017 appendix A.2.3); defaults may be explicit.

    Raises Damaged.
    """
    given = {tag: parameters[start:end] for tag, _, start, end in der.children(parameters, SEQUENCE)}
    if given.keys() - {_PSS_HASH, _PSS_MASK, _PSS_SALT, _PSS_TRAILER}:
        raise Damaged("RSASSA-PSS has unknown parameters")
    hashed = _hash_name(given[_PSS_HASH]) if _PSS_HASH in given else "sha1"
    mask = "sha1"
    if _PSS_MASK in given:
        function, of = _parts(given[_PSS_MASK])
        if function.hex() != _MGF1:
            raise Damaged("RSASSA-PSS has an unknown mask")
        mask = _hash_name(of)
    salt = _number(given[_PSS_SALT]) if _PSS_SALT in given else 20
    if salt < 0 or (_PSS_TRAILER in given and _number(given[_PSS_TRAILER]) != 1):
        raise Damaged("RSASSA-PSS has unknown parameters")
    return SignatureFacts(algorithm=_NAMES[_PSS], hashes=(hashed, mask), salt_length=salt)


def _hash_name(algorithm: bytes) -> str:
    identifier, _ = _parts(algorithm)
    if identifier.hex() not in _HASHES:
        raise Damaged("a hash is unknown")
    return _HASHES[identifier.hex()]


def _number(element: bytes) -> int:
    return der.integer(der.content(element, INTEGER))
