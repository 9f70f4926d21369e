"""Is it one readable certificate, and the one that AWS speaks of?"""

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import (
    INTEGER,
    PRIME239V1,
    UTC_TIME,
    as_pem,
    der_of,
    ec_key_of,
    elements,
    integer,
    issued_with,
    signed,
    tbs_with,
    tlv,
    validity,
)
from tests.support.cases.issuing import Application, applying, ec_key, factory


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


@refused(Reason.ENCODING_REFUSED)
def trailing_byte() -> Application:
    """A byte follows the certificate, so that two ids could name it."""
    return applying(as_pem(der_of(factory().leaf()) + b"\0"))


@refused(Reason.UNREADABLE)
def version_6() -> Application:
    """A version that X.509 does not have."""
    version_3, version_6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"
    return applying(as_pem(der_of(factory().leaf()).replace(version_3, version_6, 1)))


@admitted
def version_2() -> Application:
    """Version 2, which nobody has issued since 1996, and which says nothing that version 3 does not."""
    return issued_with(version=bytes.fromhex("a003020101"))


@refused(Reason.UNREADABLE)
def unknown_curve() -> Application:
    """The key is on prime239v1, a curve that cryptography does not know."""
    return issued_with(key=ec_key_of(PRIME239V1, b"\4" + bytes(60)))


@refused(Reason.UNREADABLE)
def point_off_the_curve() -> Application:
    """The key's point is not on its curve, P-256."""
    return applying(as_pem(signed(tbs_with()).replace(b"\x03\x42\x00\x04", b"\x03\x42\x00\x04\xff", 1)[:-1]))


@refused(Reason.UNREADABLE)
def private_key_beside_it() -> Application:
    """The device's certificate, and its private key behind it."""
    key = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return applying(factory().leaf() + key)


@refused(Reason.ENCODING_REFUSED)
def indefinite_length() -> Application:
    """BER: the length of the certificate is left open, and two zeros end it."""
    return applying(as_pem(b"\x30\x80" + b"".join(elements(signed(tbs_with()))) + b"\0\0"))


@refused(Reason.UNREADABLE)
def length_in_too_many_bytes() -> Application:
    """BER: the length of the serial number is written in two bytes where one would do, and the CA signed it so."""
    return issued_with(serial=bytes((INTEGER, 0x81, 1, 5)))


@refused(Reason.UNREADABLE)
def number_in_too_many_bytes() -> Application:
    """BER: the serial number has a leading zero that says nothing."""
    return issued_with(serial=tlv(INTEGER, b"\0\5"))


@refused(Reason.UNREADABLE)
def no_serial_number() -> Application:
    """The serial number is an integer without a byte."""
    return issued_with(serial=tlv(INTEGER))


@admitted
def serial_number_zero() -> Application:
    """Serial number 0, against RFC 5280 §4.1.2.2, which asks that such certificates be handled all the same."""
    return issued_with(serial=integer(0))


@admitted
def negative_serial_number() -> Application:
    """A serial number below zero: a CA that filled it with random bytes and forgot the sign."""
    return issued_with(serial=integer(-(2**63)))


@admitted
def longest_serial_number() -> Application:
    """A serial number of 21 bytes, one more than RFC 5280 allows."""
    return issued_with(serial=integer(2**160))


@refused(Reason.UNREADABLE)
def time_without_seconds() -> Application:
    """NotBefore is written without its seconds, which X.509 does not allow."""
    return issued_with(validity=validity(b"2610310000Z", b"20401031000000Z", kinds=(UTC_TIME, 0x18)))


@refused(Reason.UNREADABLE)
def thirtieth_of_february() -> Application:
    """NotBefore is a day that there is not."""
    return issued_with(validity=validity(b"20260230000000Z", b"20401031000000Z"))


@refused(Reason.UNREADABLE)
def year_0() -> Application:
    """NotBefore is in the year 0, which Python has not."""
    return issued_with(validity=validity(b"00000101000000Z", b"20401031000000Z"))


@refused(Reason.FINGERPRINT_MISMATCH)
def another_id() -> Application:
    """AWS describes the certificate under an id that is not the SHA-256 of its DER."""
    return applying().with_device(certificate_id="0" * 64)
