"""A certificate's outer encoding: the part that the CA signed, and around it the one way to write the rest.

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue BIT STRING }     (RFC 5280 §4.1)

The signature covers tbsCertificate only. Whoever has a certificate can write the bytes around it differently, and comes
with another SHA-256, so under another certificate id: what is denied or revoked by its id would not be recognized.
OpenSSL 3.0 verifies five such forms. So exactly one is accepted here: DER throughout, the outer AlgorithmIdentifier
byte for byte the one that was signed, a BIT STRING of whole bytes, (r, s) of ECDSA as positive numbers in the fewest
bytes, and nothing behind. What is left is the second form of an ECDSA signature: twins.py.
"""

from jitr import der
from jitr.damage import Damaged
from jitr.der import BIT_STRING, INTEGER, SEQUENCE, NotTheOneEncoding
from jitr.errors import Reason, Rejected
from jitr.value import value

_EXPLICIT_VERSION = 0xA0
# ecdsa-with-SHA1, those with SHA-2 (RFC 5758 §3.2), those with SHA-3: the OIDs' contents without the last byte.
_ECDSA = (bytes.fromhex("06072a8648ce3d0401"), bytes.fromhex("06082a8648ce3d0403"))
_ECDSA_SHA3 = bytes.fromhex("06096086480165030403")
_ECDSA_SHA3_ARCS = range(9, 13)


@value
class Encoded:
    """One certificate in its one encoding, cut into its parts; all but the serial number with tag and length."""

    der: bytes
    tbs: bytes  # what the CA signed
    algorithm: bytes  # AlgorithmIdentifier of the signature
    signature: bytes  # the content of the BIT STRING
    version: bytes  # empty when it is left out
    serial: int
    issuer: bytes
    validity: bytes
    subject: bytes
    public_key: bytes  # SubjectPublicKeyInfo
    rest: tuple[tuple[int, bytes], ...]  # what follows, by tag: unique ids, and extensions

    @classmethod
    def of(cls, whole: bytes) -> "Encoded":
        """Cut a certificate into its parts.

        Raises Rejected(ENCODING_REFUSED) when it is written in another way than the one; Damaged when it cannot be
        read.
        """
        try:
            tbs, algorithm, signature = _outer(whole)
        except NotTheOneEncoding as error:
            raise _refused(str(error)) from error
        return cls._cut(whole, tbs, algorithm, signature)

    @classmethod
    def _cut(cls, whole: bytes, tbs: bytes, algorithm: bytes, signature: bytes) -> "Encoded":
        parts = [(tag, tbs[begin:end]) for tag, begin, _, end in der.children(tbs, SEQUENCE)]
        version = parts.pop(0)[1] if parts and parts[0][0] == _EXPLICIT_VERSION else b""
        if [tag for tag, _ in parts[:6]] != [INTEGER, *[SEQUENCE] * 5]:
            raise Damaged("its signed part does not hold what RFC 5280, 4.1 lists")
        (_, serial), (_, inner), (_, issuer), (_, validity), (_, subject), (_, key), *rest = parts
        if inner != algorithm:
            raise _refused("the signature algorithm outside the signed part is not written as the one inside")
        return cls(
            der=whole,
            tbs=tbs,
            algorithm=algorithm,
            signature=signature,
            version=version,
            serial=_serial(serial),
            issuer=issuer,
            validity=validity,
            subject=subject,
            public_key=key,
            rest=tuple(rest),
        )


def _outer(whole: bytes) -> tuple[bytes, bytes, bytes]:
    """The three parts of the whole.

    Raises Damaged, NotTheOneEncoding.
    """
    tag, _, start, end = der.element(whole, 0, len(whole))
    if tag != SEQUENCE:
        raise Damaged("it does not begin as a certificate does")
    if end != len(whole):
        raise NotTheOneEncoding("bytes follow the certificate")
    parts = der.elements(whole, start, end)
    if [tag for tag, *_ in parts[:3]] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        raise Damaged("it does not hold a signed part, an algorithm and a signature")
    if parts[3:]:
        raise NotTheOneEncoding("something follows the signature")
    tbs, algorithm = (whole[begin:end] for _, begin, _, end in parts[:2])
    _, _, start, end = parts[2]
    if whole[start : start + 1] != b"\0":
        raise NotTheOneEncoding("the signature is not a whole number of bytes")
    signature = whole[start + 1 : end]
    if _is_ecdsa(algorithm):
        _refuse_loose_numbers(signature)
    return tbs, algorithm, signature


def _is_ecdsa(algorithm: bytes) -> bool:
    """Raises Damaged."""
    _, begin, _, end = next(iter(der.children(algorithm, SEQUENCE)), (0, 0, 0, 0))
    identifier = algorithm[begin:end]
    if identifier.startswith(_ECDSA):
        return True
    return identifier.startswith(_ECDSA_SHA3) and identifier[-1] in _ECDSA_SHA3_ARCS


def _refuse_loose_numbers(signature: bytes) -> None:
    """Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 5480, appendix A), both positive.

    Raises NotTheOneEncoding.
    """
    try:
        numbers = [signature[start:end] for tag, _, start, end in der.children(signature, SEQUENCE) if tag == INTEGER]
        written = [der.integer(octets) for octets in numbers]
    except Damaged as error:
        raise NotTheOneEncoding(f"the signature is not two numbers in DER: {error}") from error
    whole = der.encoded(SEQUENCE, *(der.encoded(INTEGER, octets) for octets in numbers))
    if len(written) != 2 or min(written) <= 0 or whole != signature:  # noqa: PLR2004 -- r and s
        raise NotTheOneEncoding("the signature is not two positive numbers")


def _serial(element: bytes) -> int:
    try:
        return der.integer(der.content(element, INTEGER))
    except Damaged as error:
        raise Damaged(f"serial number: {error}") from error


def _refused(why: str) -> Rejected:
    return Rejected(
        Reason.ENCODING_REFUSED, f"{why}; of the encodings around the signed part, only one is accepted: DER"
    )
