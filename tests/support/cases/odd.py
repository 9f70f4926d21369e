"""Certificates as factories really write them, which cryptography refuses, and what is no good all the same.

Each is made here, byte by byte: no real device's certificate is in the repository.
"""

from jitr.errors import Reason
from jitr.rules import CheckMode
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import (
    BIT_STRING,
    BMP,
    COMMON_NAME,
    INTEGER,
    OCTET_STRING,
    OID,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    SEQUENCE,
    T61,
    UTF8,
    as_pem,
    attribute,
    content_of,
    der_of,
    distinguished_name,
    elements,
    issued_with,
    signed,
    tbs_with,
    tlv,
)
from tests.support.cases.issuing import Application, applying, factory
from tests.support.cases.usage import BASIC_CONSTRAINTS, KEY_USAGE, SUBJECT_ALTERNATIVE_NAME, with_extensions_of

ORGANIZATION, SERIAL_NUMBER, SKI = b"\x55\x04\x0a", b"\x55\x04\x05", b"\x55\x1d\x0e"
TRUE, FALSE, ONE = b"\x01\x01\xff", b"\x01\x01\x00", b"\x01\x01\x01"


def extension(oid: bytes, value: bytes, critical: bytes = b"") -> bytes:
    return tlv(SEQUENCE, tlv(OID, oid), critical, tlv(OCTET_STRING, value))


def with_organization(value: bytes, kind: int) -> Application:
    """The valid subject with an organization in any encoding."""
    organization = attribute(ORGANIZATION, value, kind=kind)
    rest = (attribute(ORGANIZATIONAL_UNIT, b"Mark-2"), attribute(COMMON_NAME, b"sensor-0001"))
    return issued_with(subject=distinguished_name([organization], *([one] for one in rest)))


def with_issuer(organization: bytes, common_name: bytes, kind: int) -> Application:
    """The CA's name in any encoding, which its key signed."""
    return issued_with(
        issuer=distinguished_name(
            [attribute(ORGANIZATION, organization, kind=kind)], [attribute(COMMON_NAME, common_name, kind=kind)]
        )
    )


def trust_and_go_extensions(serial: bytes = b"0123_45") -> tuple[bytes, ...]:
    """As Microchip's Trust&GO elements have them: the chip's serial number in a directoryName, with an underscore."""
    name = distinguished_name([attribute(SERIAL_NUMBER, serial, kind=PRINTABLE)])
    return (
        extension(SUBJECT_ALTERNATIVE_NAME, tlv(SEQUENCE, tlv(0xA4, name))),
        extension(BASIC_CONSTRAINTS, tlv(SEQUENCE), TRUE),
        extension(KEY_USAGE, bytes.fromhex("03020388"), TRUE),
        extension(SKI, tlv(OCTET_STRING, bytes(20))),
    )


@admitted
def trust_and_go() -> Application:
    """A Trust&GO secure element: PrintableString has no underscore, and the alternative name holds one."""
    return with_extensions_of(*trust_and_go_extensions())


@refused(Reason.SUBJECT_UNSAFE)
def trust_and_go_with_an_asterisk() -> Application:
    """The same with an asterisk, which a policy variable must not carry."""
    return with_extensions_of(*trust_and_go_extensions(b"0123*45"))


@admitted
def organization_in_latin_1() -> Application:
    """The organization is a T61String in Latin-1, as older tools write it."""
    return with_organization("Bj\xf6rn".encode("latin-1"), T61)


@admitted
def ampersand_in_printable_string() -> Application:
    """The organization holds `&`, which PrintableString does not have (forge)."""
    return with_organization(b"A & B", PRINTABLE)


@refused(Reason.UNREADABLE)
def half_a_character() -> Application:
    """The organization is a BMPString of three bytes."""
    return with_organization(b"\0A\0", BMP)


@admitted
def ca_false_written_out() -> Application:
    """BasicConstraints writes out its default, `cA FALSE`."""
    return with_extensions_of(extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, FALSE)))


@admitted
def critical_false_written_out() -> Application:
    """An extension writes out its default, `critical FALSE`."""
    return with_extensions_of(extension(KEY_USAGE, bytes.fromhex("03020780"), FALSE))


@refused(Reason.IS_A_CA)
def ca_true_as_01() -> Application:
    """BasicConstraints says CA:TRUE with a BOOLEAN of 01, as some encoders write it."""
    return with_extensions_of(extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, ONE), ONE))


@admitted
def null_behind_ecdsa() -> Application:
    """NULL stands behind ecdsa-with-SHA256, inside and outside (JDK 11)."""
    return issued_with(algorithm=bytes.fromhex("300c06082a8648ce3d0403020500"))


@admitted
def version_1_written_out() -> Application:
    """Version 1 is written out, which is its default."""
    return issued_with(version=bytes.fromhex("a003020100"))


@admitted
def issuer_in_another_string_type() -> Application:
    """The CA's name is in PrintableString here, and in UTF8String in the CA's certificate."""
    return with_issuer(b"Acme", b"Acme factory CA", PRINTABLE)


@admitted
def issuer_in_capitals_with_more_spaces() -> Application:
    """The CA's name in capitals and with more spaces is the same name (RFC 5280 §7.1)."""
    return with_issuer(b"ACME", b"Acme  FACTORY CA ", UTF8)


@refused(Reason.ISSUER_NAME_DIFFERS)
def issuer_without_its_spaces() -> Application:
    """The CA's key signed, and the issuer lacks the spaces of the CA's name."""
    return with_issuer(b"Acme", b"AcmefactoryCA", UTF8)


@refused(Reason.KEY_USAGE_REFUSED)
def key_usage_beside_an_alternative_name_that_is_none() -> Application:
    """The alternative name cannot be read; the key usage can, and allows no signature."""
    san = extension(SUBJECT_ALTERNATIVE_NAME, b"\x0c\x01a")
    return with_extensions_of(san, extension(KEY_USAGE, bytes.fromhex("03020520"))).with_rules(policy_variables=())


@refused(Reason.EXTENSIONS_UNREADABLE)
def alternative_name_that_is_none_where_extensions_are_observed() -> Application:
    """The alternative name cannot be read; to observe `extensions` does not hide it from the check `subject`."""
    san = extension(SUBJECT_ALTERNATIVE_NAME, b"\x0c\x01a")
    return with_extensions_of(san).with_rules(checks={"extensions": CheckMode.OBSERVE})


@refused(Reason.EXTENSIONS_UNREADABLE)
def critical_alternative_name_that_is_none() -> Application:
    """The alternative name cannot be read, and is critical."""
    san = extension(SUBJECT_ALTERNATIVE_NAME, b"\x0c\x01a", TRUE)
    return with_extensions_of(san).with_rules(policy_variables=())


@admitted
def private_extension_twice() -> Application:
    """A private extension stands there twice, and nothing needs it."""
    return with_extensions_of(*[extension(b"\x2b\x06\x01\x04\x01\x86\x8d\x1f\x01", b"\x05\0")] * 2)


@refused(Reason.UNREADABLE)
def bytes_behind_the_extensions() -> Application:
    """Something follows the extensions inside the signed part."""
    return issued_with(extensions=tlv(0xA3, tlv(SEQUENCE, extension(KEY_USAGE, bytes.fromhex("03020780")))) + b"\5\0")


@refused(Reason.ENCODING_REFUSED)
def signature_in_more_bytes() -> Application:
    """A leading zero in the signature's first number: the same signature, under another certificate id."""
    tbs, algorithm, bits = elements(der_of(factory().leaf()))
    r, s = elements(content_of(bits)[1:])
    padded = tlv(SEQUENCE, tlv(INTEGER, b"\0", content_of(r)), s)
    return applying(as_pem(tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\0", padded))))


@refused(Reason.ENCODING_REFUSED)
def signature_in_more_bytes_after_long_parameters() -> Application:
    """The same, where the algorithm's parameters are long, and so its length is written in two bytes."""
    algorithm = tlv(SEQUENCE, bytes.fromhex("06082a8648ce3d040302"), tlv(OCTET_STRING, bytes(128)))
    tbs, _, bits = elements(signed(tbs_with(algorithm=algorithm)))
    r, s = elements(content_of(bits)[1:])
    padded = tlv(SEQUENCE, tlv(INTEGER, b"\0", content_of(r)), s)
    return applying(as_pem(tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\0", padded))))


@refused(Reason.ENCODING_REFUSED)
def null_outside_alone() -> Application:
    """NULL stands behind ecdsa-with-SHA256 outside the signed part only."""
    return applying(as_pem(signed(tbs_with(), algorithm=bytes.fromhex("300c06082a8648ce3d0403020500"))))
