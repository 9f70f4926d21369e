"""Other encodings of one certificate: everything outside the TBS part is written differently, and nothing inside it.

The CA's signature holds for the TBS part alone, so each of these is the same certificate to a lenient reader, under
another certificate id. The TBS part and the numbers of the signature stay what they were.
"""

from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from jitr.x509.signature_twin import _ORDERS
from tests.support.cases.der import BIT_STRING, INTEGER, NULL, SEQUENCE, content_of, elements, integer, tlv

CONSTRUCTED = 0x20
# The one re-encoding that is a valid certificate: twins.py finds it by its id.
TWIN = "signature: (r, n - s)"


def reencodings(der: bytes, ca_key: CertificatePublicKeyTypes) -> dict[str, bytes]:
    """Every other encoding of a certificate in DER, by what is special about it; `ca_key` made its signature."""
    tbs, algorithm, bits = elements(der)
    signature = content_of(bits)[1:]
    found = {
        **_of_the_whole(tbs, algorithm, bits),
        **{f"algorithm: {how}": tlv(SEQUENCE, tbs, other, bits) for how, other in _of_the_algorithm(algorithm)},
        **{f"bit string: {how}": tlv(SEQUENCE, tbs, algorithm, other) for how, other in _of_the_bits(signature)},
        **{
            f"signature: {how}": tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\0", other))
            for how, other in _of_the_signature(signature, ca_key)
        },
    }
    return {how: other for how, other in found.items() if other != der}


def _of_the_whole(tbs: bytes, algorithm: bytes, bits: bytes) -> dict[str, bytes]:
    parts = (tbs, algorithm, bits)
    content = b"".join(parts)
    return {
        "certificate: a byte follows": tlv(SEQUENCE, content) + b"\0",
        "certificate: NULL follows": tlv(SEQUENCE, content) + NULL,
        "certificate: it stands there twice": tlv(SEQUENCE, content) * 2,
        "certificate: a fourth element": tlv(SEQUENCE, content, NULL),
        "certificate: an empty fourth element": tlv(SEQUENCE, content, tlv(SEQUENCE)),
        "certificate: a byte at its end": tlv(SEQUENCE, content, b"\0"),
        "certificate: length in one byte more": long_form(SEQUENCE, content),
        "certificate: length in two bytes more": long_form(SEQUENCE, content, more=2),
        "certificate: length left open": left_open(SEQUENCE, content),
        "certificate: tag in the long form": b"\x3f\x10" + tlv(SEQUENCE, content)[1:],
        "certificate: tag of a SET": tlv(0x31, content),
        "tbs: length in one byte more": tlv(SEQUENCE, long_form(SEQUENCE, content_of(tbs)), algorithm, bits),
        "tbs: length left open": tlv(SEQUENCE, left_open(SEQUENCE, content_of(tbs)), algorithm, bits),
        "elements: the last two change places": tlv(SEQUENCE, tbs, bits, algorithm),
        "elements: the algorithm twice": tlv(SEQUENCE, tbs, algorithm, algorithm, bits),
    }


def _of_the_algorithm(algorithm: bytes) -> Iterator[tuple[str, bytes]]:
    oid, *parameters = elements(algorithm)
    if parameters:
        yield "without its parameters", tlv(SEQUENCE, oid)
        yield "parameters are NULL", tlv(SEQUENCE, oid, NULL)
        yield "parameters twice", tlv(SEQUENCE, oid, *parameters, *parameters)
    else:
        yield "with parameters NULL", tlv(SEQUENCE, oid, NULL)
        yield "with parameters of an empty sequence", tlv(SEQUENCE, oid, tlv(SEQUENCE))
    yield "NULL follows its parameters", tlv(SEQUENCE, oid, *parameters, NULL)
    yield "NULL in three bytes", tlv(SEQUENCE, oid, b"\x05\x81\x00")
    yield "length in one byte more", long_form(SEQUENCE, content_of(algorithm))
    yield "length left open", left_open(SEQUENCE, content_of(algorithm))
    yield "OID with a leading zero", tlv(SEQUENCE, tlv(6, _padded_arc(content_of(oid))), *parameters)
    yield "OID with a long length", tlv(SEQUENCE, long_form(6, content_of(oid)), *parameters)
    yield "another OID", tlv(SEQUENCE, tlv(6, content_of(oid)[:-1] + b"\x04"), *parameters)


def _of_the_bits(signature: bytes) -> Iterator[tuple[str, bytes]]:
    for unused in (1, 7, 8, 0xFF):
        yield f"{unused} unused bits", tlv(BIT_STRING, bytes([unused]), signature)
    yield "length in one byte more", long_form(BIT_STRING, b"\0" + signature)
    yield (
        "in two parts",
        tlv(BIT_STRING | CONSTRUCTED, tlv(BIT_STRING, b"\0", signature[:8]), tlv(BIT_STRING, b"\0", signature[8:])),
    )
    yield "in one part", tlv(BIT_STRING | CONSTRUCTED, tlv(BIT_STRING, b"\0", signature))
    yield "length left open", left_open(BIT_STRING | CONSTRUCTED, tlv(BIT_STRING, b"\0", signature))
    yield "as an octet string", tlv(4, b"\0", signature)


def _of_the_signature(signature: bytes, key: CertificatePublicKeyTypes) -> Iterator[tuple[str, bytes]]:
    yield "a byte follows", signature + b"\0"
    yield "NULL follows", signature + NULL
    yield "a byte before it", b"\0" + signature
    if isinstance(key, ec.EllipticCurvePublicKey):
        order = _ORDERS[key.curve.name]
        yield from _of_ecdsa(signature, order)
    if isinstance(key, rsa.RSAPublicKey):
        modulus = key.public_numbers().n
        number = int.from_bytes(signature) + modulus
        yield "modulus added", number.to_bytes((number.bit_length() + 7) // 8)
        if signature[0] == 0:
            yield "without its leading zero", signature[1:]


def _of_ecdsa(signature: bytes, order: int) -> Iterator[tuple[str, bytes]]:
    r, s = decode_dss_signature(signature)
    content = content_of(signature)
    numbers: dict[str, Callable[[int], bytes]] = {
        "with a leading zero": lambda number: tlv(INTEGER, b"\0", content_of(integer(number))),
        "with two leading zeros": lambda number: tlv(INTEGER, b"\0\0", content_of(integer(number))),
        "with a long length": lambda number: long_form(INTEGER, content_of(integer(number))),
        "negated": lambda number: integer(-number),
        "less the order": lambda number: integer(number - order),
        "plus the order": lambda number: integer(number + order),
        "without its sign byte": lambda number: tlv(INTEGER, content_of(integer(number)).lstrip(b"\0")),
        "as an enumerated": lambda number: tlv(0x0A, content_of(integer(number))),
    }
    for how, written in numbers.items():
        yield f"r {how}", tlv(SEQUENCE, written(r), integer(s))
        yield f"s {how}", tlv(SEQUENCE, integer(r), written(s))
    yield TWIN.removeprefix("signature: "), tlv(SEQUENCE, integer(r), integer(order - s))
    yield "a third number", tlv(SEQUENCE, content, integer(0))
    yield "NULL after the numbers", tlv(SEQUENCE, content, NULL)
    yield "length in one byte more", long_form(SEQUENCE, content)
    yield "length left open", left_open(SEQUENCE, content)
    yield "the numbers change places", tlv(SEQUENCE, integer(s), integer(r))


def long_form(tag: int, content: bytes, *, more: int = 1) -> bytes:
    """An element whose length takes `more` bytes than it needs."""
    short = tlv(tag, content)
    needed = 0 if len(content) < 0x80 else short[1] & 0x7F
    length = len(content).to_bytes(needed + more)
    return bytes((tag, 0x80 | len(length))) + length + content


def left_open(tag: int, content: bytes) -> bytes:
    """An element of indefinite length, ended by two zeros: BER."""
    return bytes((tag, 0x80)) + content + b"\0\0"


def _padded_arc(oid: bytes) -> bytes:
    """An OID whose second arc begins with a zero that says nothing."""
    return oid[:1] + b"\x80" + oid[1:]
