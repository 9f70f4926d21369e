"""The twin of a certificate: the same certificate under another id.

An ECDSA signature (r, s) is as good as (r, n - s), n being the order of the CA's curve (SEC 1 §4.1.4, verification).
Whoever holds a device's key and certificate can write the other one, and comes with another fingerprint, so under
another certificate id: what was denied or revoked by its id would not be recognized. There are exactly two such forms:
around the signed part, encoding.py takes one encoding only; and each names the other, so that one lookup more closes
the gap. RSA signatures have one form only.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from jitr.x509 import der
from jitr.x509.certificate import Certificate

# Orders of the base points, SEC 2 §2.4.2, §2.5.1 and §2.6.1; cryptography does not tell them.
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
    """The id (lower-case hex SHA-256 of the DER) of the certificate's twin, should its CA's key be an ECDSA key.

    None where there is no twin: another kind of key, or no signature of such a key.
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
