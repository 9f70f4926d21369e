"""Is it one readable certificate, and the one that AWS speaks of?"""

import base64
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitr.errors import Reason
from tests.cases.case import refused
from tests.cases.issuing import Application, applying, ec_key, factory, openssl


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
def explicit_curve() -> Application:
    """An EC key that spells out its curve instead of naming it (RFC 5480 §2.1.1 forbids it)."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        openssl(folder, *"ecparam -name prime256v1 -genkey -param_enc explicit -noout -out device.key".split())
        openssl(folder, *"req -x509 -key device.key -out device.pem -subj /O=Acme/OU=Mark-2/CN=sensor-0001".split())
        return applying((folder / "device.pem").read_text())


@refused(Reason.FINGERPRINT_MISMATCH)
def another_id() -> Application:
    """AWS describes the certificate under an id that is not the SHA-256 of its DER."""
    return applying().with_device(certificate_id="0" * 64)
