"""Is it one readable certificate, and the one that AWS speaks of?"""

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitr.errors import Reason
from tests.cases.case import refused
from tests.cases.issuing import Application, applying, ec_key, factory


def as_pem(der: bytes) -> str:
    """Well-formed PEM around any bytes."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def der_of(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


@refused(Reason.UNREADABLE)
def no_pem() -> Application:
    """A text that is not PEM."""
    return applying("certificate")


@refused(Reason.UNREADABLE)
def no_ascii() -> Application:
    """A text with a character that no encoding of PEM has, not even a valid Unicode one."""
    return applying(f"\ud800{factory().leaf()}")


@refused(Reason.UNREADABLE)
def no_base64() -> Application:
    """The armour of PEM around what is not base64."""
    return applying("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n")


@refused(Reason.UNREADABLE)
def empty_body() -> Application:
    """The armour of PEM around nothing."""
    return applying("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")


@refused(Reason.UNREADABLE)
def a_private_key() -> Application:
    """Well-formed PEM of a private key."""
    return applying(ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@refused(Reason.UNREADABLE)
def two_certificates() -> Application:
    """The device's certificate with its CA's behind it, as a device sends them."""
    return applying(factory().leaf() + factory().pem)


@refused(Reason.UNREADABLE)
def cut_short() -> Application:
    """The last byte of the certificate is missing."""
    return applying(as_pem(der_of(factory().leaf())[:-1]))


@refused(Reason.UNREADABLE)
def trailing_byte() -> Application:
    """A byte follows the certificate, so that two ids could name it."""
    return applying(as_pem(der_of(factory().leaf()) + b"\0"))


@refused(Reason.UNREADABLE)
def version_6() -> Application:
    """A version that X.509 does not have."""
    version_3, version_6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"
    return applying(as_pem(der_of(factory().leaf()).replace(version_3, version_6, 1)))


@refused(Reason.UNREADABLE)
def unknown_curve() -> Application:
    """The key claims to be on prime239v1, a curve that cryptography does not know."""
    p_256, prime239v1 = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030104")
    return applying(as_pem(der_of(factory().leaf()).replace(p_256, prime239v1, 1)))


@refused(Reason.FINGERPRINT_MISMATCH)
def another_id() -> Application:
    """AWS describes the certificate under an id that is not the SHA-256 of its DER."""
    return applying().with_device(certificate_id="0" * 64)
