"""Makes the verification certificate that proves possession of a CA's key to AWS IoT: the request, and the signing.

It is a certificate with the account's registration code as its common name, signed by the CA. Its own key proves
nothing and is not used again; so it is made for the request and dropped, unless the operator keeps it.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jitr.x509 import der
from jitr.x509.encoding import Encoded
from jitr_fleet.pem import REGISTRATION_CODE
from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitr_fleet.model import Ca

CaKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
# Clocks differ, and a verification certificate that is not valid yet is refused.
_BACKDATED = timedelta(minutes=10)
_BITS_FOR_SHA256, _BITS_FOR_SHA384 = 256, 384


def request(code: str) -> tuple[bytes, bytes]:
    """Make a signing request (PEM) for a registration code; also returns its key (PEM, not encrypted)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, code)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(Encoding.PEM), pem


def verification_certificate(csr: bytes, ca: Ca, key: CaKey, *, days: int, now: datetime | None = None) -> bytes:
    """Sign a request of `request` with the CA's key; returns the verification certificate (PEM).

    Raises Unusable when the request or the key is not what is expected.
    """
    asked = _read_request(csr)
    if key.public_key() != ca.certificate.public_key:
        raise Unusable(f"the key is not that of CA {ca.name}: give the key that belongs to {ca.certificate_path}")
    begins = (now or datetime.now(UTC)).replace(microsecond=0) - _BACKDATED
    made = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(asked.subject)  # replaced by the CA's in _reissue
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, _hash(key))
    )
    return _reissue(Encoded.of(made.public_bytes(Encoding.DER)), ca.certificate.encoded.subject, key)


def _reissue(made: Encoded, issuer: bytes, key: CaKey) -> bytes:
    """Replace a certificate's issuer, and sign it again (PEM).

    The CA's name is copied byte for byte: AWS IoT finds the CA by it, and cryptography encodes some names differently
    and refuses others.
    """
    serial = der.encode(der.INTEGER, made.serial.to_bytes(der.number_width(made.serial), "big", signed=True))
    rest = b"".join(element for _, element in made.rest)
    parts = (made.version, serial, made.algorithm, issuer, made.validity, made.subject, made.public_key, rest)
    signed = der.encode(der.SEQUENCE, *parts)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(signed, ec.ECDSA(_hash(key)))
    else:
        signature = key.sign(signed, padding.PKCS1v15(), _hash(key))
    bits = der.encode(der.BIT_STRING, b"\0", signature)
    return ssl.DER_cert_to_PEM_cert(der.encode(der.SEQUENCE, signed, made.algorithm, bits)).encode("ascii")


def read_key(pem: bytes, password: Callable[[], str]) -> CaKey:
    """Read a CA's private key (PEM); `password` is called only when it is encrypted.

    Raises Unusable.
    """
    try:
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except TypeError:  # "Password was not given but private key is encrypted"
            key = serialization.load_pem_private_key(pem, password=password().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unusable("the CA's key cannot be read: give a PEM file, and its password if it is encrypted") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise Unusable(f"the CA's key is {type(key).__name__}: AWS IoT takes CAs with RSA and EC keys")
    return key


def _read_request(csr: bytes) -> x509.CertificateSigningRequest:
    try:
        asked = x509.load_pem_x509_csr(csr)
        good = asked.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise Unusable("the request cannot be read: give the file that `jitrctl ca csr` wrote") from error
    names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not good or len(names) != 1 or not REGISTRATION_CODE.fullmatch(str(names[0].value)):
        raise Unusable("the request's common name is no registration code: give the file that `jitrctl ca csr` wrote")
    return asked


def _hash(key: CaKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """As strong as the key: RFC 5480, section 4, for EC."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > _BITS_FOR_SHA256:
        return hashes.SHA384() if key.key_size <= _BITS_FOR_SHA384 else hashes.SHA512()
    return hashes.SHA256()
