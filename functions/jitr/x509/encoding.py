"""Cuts a certificate into its parts, and accepts only one encoding outside the signed part.

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue BIT STRING }     (RFC 5280 §4.1)

The signature covers tbsCertificate only. Any holder of a certificate can encode the bytes around it differently. That
gives another SHA-256, so another certificate id, and a denial or revocation by id would not apply. OpenSSL 3.0 verifies
13 such forms. Accepted is exactly one: DER, the outer AlgorithmIdentifier identical to the signed one, a BIT STRING of
whole bytes, (r, s) of ECDSA as positive numbers in the fewest bytes, and no bytes after the end. If the CA signed an
AlgorithmIdentifier in BER, the outer one must be the same bytes: that too is one form. The second form of an ECDSA
signature remains: signature_twin.py.
"""

from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.x509 import der
from jitr.x509.ber import to_der
from jitr.x509.der import BIT_STRING, INTEGER, SEQUENCE, NonCanonicalEncoding
from jitr.x509.parsing import Damaged

_EXPLICIT_VERSION = 0xA0
# ecdsa-with-SHA1, those with SHA-2 (RFC 5758 §3.2), those with SHA-3: the OIDs' contents without the last byte.
_ECDSA = (bytes.fromhex("06072a8648ce3d0401"), bytes.fromhex("06082a8648ce3d0403"))
_ECDSA_SHA3 = bytes.fromhex("06096086480165030403")
_ECDSA_SHA3_ARCS = range(9, 13)


@value
class Encoded:
    """One certificate in the accepted encoding, cut into its parts; all but the serial number with tag and length."""

    der: bytes
    tbs: bytes  # what the CA signed
    algorithm: bytes  # AlgorithmIdentifier of the signature, as the CA signed it
    algorithm_in_der: bytes  # the same with lengths in DER
    signature: bytes  # the content of the BIT STRING
    version: bytes  # empty: absent
    serial: int
    issuer: bytes
    validity: bytes
    subject: bytes
    public_key: bytes  # SubjectPublicKeyInfo
    rest: tuple[tuple[int, bytes], ...]  # unique ids and extensions: tag and element

    @classmethod
    def of(cls, whole: bytes) -> "Encoded":
        """Cut a certificate into its parts.

        Raises Rejected(ENCODING_REFUSED) when it is in another encoding; Damaged when it cannot be read.
        """
        try:
            begin, stop = _signed_part(whole)
        except NonCanonicalEncoding as error:
            raise _refused(str(error)) from error
        parts = _Parts.of(whole[begin:stop])
        try:
            signature = _signature(whole, stop, parts)
        except NonCanonicalEncoding as error:
            raise _refused(str(error)) from error
        issuer, validity, subject, key = parts.fields
        return cls(
            der=whole,
            tbs=whole[begin:stop],
            algorithm=parts.algorithm,
            algorithm_in_der=parts.algorithm_in_der,
            signature=signature,
            version=parts.version,
            serial=_serial(parts.serial),
            issuer=issuer,
            validity=validity,
            subject=subject,
            public_key=key,
            rest=parts.rest,
        )


@value
class _Parts:
    """The elements of the signed part."""

    version: bytes
    serial: bytes
    algorithm: bytes
    algorithm_in_der: bytes
    fields: tuple[bytes, bytes, bytes, bytes]  # issuer, validity, subject, public key
    rest: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, tbs: bytes) -> "_Parts":
        """Raises Damaged."""
        start, end = der.content_range(tbs, SEQUENCE)
        version, serial = b"", der.element(tbs, start, end)
        if serial[0] == _EXPLICIT_VERSION:
            version, serial = tbs[serial[1] : serial[3]], der.element(tbs, serial[3], end)
        begin = serial[3]
        algorithm, stop = to_der(tbs, begin, end)
        others = [(tag, tbs[at:to]) for tag, at, _, to in der.elements(tbs, stop, end)]
        if [serial[0], algorithm[0], *(tag for tag, _ in others[:4])] != [INTEGER, *[SEQUENCE] * 5]:
            raise Damaged("its signed part does not hold what RFC 5280, 4.1 lists")
        (_, issuer), (_, validity), (_, subject), (_, key), *rest = others
        return cls(
            version=version,
            serial=tbs[serial[1] : serial[3]],
            algorithm=tbs[begin:stop],
            algorithm_in_der=algorithm,
            fields=(issuer, validity, subject, key),
            rest=tuple(rest),
        )


def _signed_part(whole: bytes) -> tuple[int, int]:
    """The offsets of the signed part.

    Raises Damaged; NonCanonicalEncoding for the bytes around it. The CA signed the encoding of the part itself.
    """
    tag, _, start, end = der.element(whole, 0, len(whole))
    if tag != SEQUENCE:
        raise Damaged("it does not begin as a certificate does")
    if end != len(whole):
        raise NonCanonicalEncoding("bytes follow the certificate")
    try:
        tag, begin, _, stop = der.element(whole, start, end)
    except NonCanonicalEncoding as error:
        raise Damaged(f"signed part: {error}") from error
    if tag != SEQUENCE:
        raise Damaged("it does not hold a signed part")
    return begin, stop


def _signature(whole: bytes, at: int, parts: _Parts) -> bytes:
    """The signature, after the signed part and the outer algorithm, which must equal the signed one.

    Raises Damaged, NonCanonicalEncoding.
    """
    end = len(whole)
    is_same = whole.startswith(parts.algorithm, at)
    if not is_same and parts.algorithm != parts.algorithm_in_der:
        # It is not known which of the two the CA would write outside, so this may be the original encoding.
        raise Damaged("signature algorithm: it is in BER in the signed part, and different outside")
    tag, _, _, stop = (SEQUENCE, 0, 0, at + len(parts.algorithm)) if is_same else der.element(whole, at, end)
    found = der.elements(whole, stop, end)
    if (tag, *(one for one, *_ in found[:1])) != (SEQUENCE, BIT_STRING):
        raise Damaged("it does not hold a signed part, an algorithm and a signature")
    if found[1:]:
        raise NonCanonicalEncoding("bytes follow the signature")
    if not is_same:
        raise NonCanonicalEncoding("the signature algorithm outside the signed part differs from the one inside")
    _, _, start, end = found[0]
    if whole[start : start + 1] != b"\0":
        raise NonCanonicalEncoding("the signature is not a whole number of bytes")
    signature = whole[start + 1 : end]
    if _is_ecdsa(parts.algorithm_in_der):
        _refuse_loose_numbers(signature)
    return signature


def _is_ecdsa(algorithm: bytes) -> bool:
    """Raises Damaged."""
    _, begin, _, end = next(iter(der.children(algorithm, SEQUENCE)), (0, 0, 0, 0))
    identifier = algorithm[begin:end]
    if identifier.startswith(_ECDSA):
        return True
    return identifier.startswith(_ECDSA_SHA3) and identifier[-1] in _ECDSA_SHA3_ARCS


def _refuse_loose_numbers(signature: bytes) -> None:
    """Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 5480, appendix A), both positive.

    Raises NonCanonicalEncoding.
    """
    try:
        numbers = [signature[start:end] for tag, _, start, end in der.children(signature, SEQUENCE) if tag == INTEGER]
        written = [der.integer(octets) for octets in numbers]
    except Damaged as error:
        raise NonCanonicalEncoding(f"the signature is not two numbers in DER: {error}") from error
    whole = der.encode(SEQUENCE, *(der.encode(INTEGER, octets) for octets in numbers))
    if len(written) != 2 or min(written) <= 0 or whole != signature:  # noqa: PLR2004 -- r and s
        raise NonCanonicalEncoding("the signature is not two positive numbers")


def _serial(element: bytes) -> int:
    try:
        return der.integer(der.content(element, INTEGER))
    except Damaged as error:
        raise Damaged(f"serial number: {error}") from error


def _refused(why: str) -> Rejected:
    return Rejected(Reason.ENCODING_REFUSED, f"{why}; outside the signed part, only DER is accepted")
