"""The twin of a certificate, made without its code: the second form of the CA's ECDSA signature; no key is needed."""

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from tests.support.cases.issuing import pem_of

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def twin_of(pem: str, order: int = P256) -> str:
    """The same certificate with (r, n - s) for its signature (r, s), n being the order of the CA's curve."""
    certificate = load_pem_x509_certificate(pem.encode())
    r, s = decode_dss_signature(certificate.signature)
    der = certificate.public_bytes(Encoding.DER)
    head = der[: der.rindex(certificate.signature)]
    other = encode_dss_signature(r, order - s)
    # The lengths of the bit string (one byte, or two after 0x81) and of the whole (two after 0x82) follow.
    long_form = len(certificate.signature) + 1 >= 0x80
    content = b"\0" + other
    length = bytes([0x81, len(content)]) if len(content) >= 0x80 else bytes([len(content)])
    body = head[4 : -4 if long_form else -3] + b"\x03" + length + content
    return pem_of(load_der_x509_certificate(head[:2] + len(body).to_bytes(2) + body))
