"""Computes the id of a certificate's twin: the same certificate with the other valid ECDSA signature.

If an ECDSA signature (r, s) is valid, so is (r, n - s), with n the order of the CA's curve (SEC 1 §4.1.4). Any holder
of a certificate can write the other one. It has another fingerprint, so another certificate id, and a denial or
revocation by id would not apply to it. There are exactly two such forms, since encoding.py accepts one encoding
outside the signed part; so one more lookup closes the gap. RSA signatures have one form only.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from jitr.x509 import der
from jitr.x509.certificate import Certificate

# Orders of the base points, SEC 2 §2.4.2, §2.5.1 and §2.6.1; cryptography does not provide them.
_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "secp521r1": int(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA"
        "51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
}


def twin_id(certificate: Certificate, ca: Certificate) -> str | None:
    """The id (lower-case hex SHA-256 of the DER) of the certificate's twin.

    None if there is none: the CA's key is not an ECDSA key on a known curve, or the signature is not of such a key.
    """
    key = ca.public_key
    order = _ORDERS.get(key.curve.name) if isinstance(key, ec.EllipticCurvePublicKey) else None
    if order is None:
        return None
    encoded = certificate.encoded
    try:
        r, s = decode_dss_signature(encoded.signature)
    except ValueError:
        return None
    if not 0 < s < order:
        return None
    signature = der.encode(der.BIT_STRING, b"\0", encode_dss_signature(r, order - s))
    twin = der.encode(der.SEQUENCE, encoded.tbs, encoded.algorithm, signature)
    return hashlib.sha256(twin).hexdigest()
