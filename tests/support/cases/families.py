"""Certificates of real families of secure elements, libraries and CAs, as their issuers write them.

Each is made here, byte by byte, from public descriptions and reports; none is a real device's. What is said of a
family is what can be found of it in public; docs/devices.md has the sources, and what to write in fleet.toml.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jitr.errors import Reason
from jitr.frozen import value
from jitr.rules import CheckMode
from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import (
    BIT_STRING,
    COMMON_NAME,
    GENERALIZED_TIME,
    IA5,
    OCTET_STRING,
    OID,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    SEQUENCE,
    T61,
    UTC_TIME,
    as_pem,
    attribute,
    der_of,
    distinguished_name,
    elements,
    integer,
    signed,
    tbs_with,
    tlv,
    validity,
)
from tests.support.cases.issuing import Application, Authority, applying, ec_key, factory
from tests.support.cases.revoking import entry, issue_crl, reason

ORGANIZATION, SERIAL_NUMBER, COUNTRY = b"\x55\x04\x0a", b"\x55\x04\x05", b"\x55\x04\x06"
BASIC_CONSTRAINTS, KEY_USAGE, SAN, EKU = b"\x55\x1d\x13", b"\x55\x1d\x0f", b"\x55\x1d\x11", b"\x55\x1d\x25"
SKI, AKI, CRL_POINTS, POLICIES = b"\x55\x1d\x0e", b"\x55\x1d\x23", b"\x55\x1d\x1f", b"\x55\x1d\x20"
TRUE, ONE = b"\x01\x01\xff", b"\x01\x01\x01"
SIGNS, SIGNS_AND_ENCIPHERS, SIGNS_AND_AGREES = (bytes.fromhex(bits) for bits in ("03020780", "030205a0", "03020388"))
SERVER_AUTH, CLIENT_AUTH = (tlv(OID, bytes.fromhex(f"2b060105050703{last}")) for last in ("01", "02"))
STEP_PROVISIONER = bytes.fromhex("2b0601040182a464c62840") + b"\1"  # 1.3.6.1.4.1.37476.9000.64.1
KEY_ID = bytes(range(20))


@value
class Family:
    """One family: a certificate of it, and what fleet.toml says of the CA that signed it."""

    name: str
    issued_by: str  # who writes certificates like this one
    pem: str
    rules: Mapping[str, Any]  # of the CA, besides `checks`; rules.CaRules' names, which are fleet.toml's
    checks: Mapping[str, CheckMode]
    is_read_again: bool  # the library refuses it

    @property
    def application(self) -> Application:
        """A device of the family that connects; the attributes of the valid case are not asked of it."""
        checks = {"revocation": CheckMode.OFF, **self.checks}
        return applying(self.pem).with_rules(**{"attributes": {}, **self.rules}, checks=checks)


def extension(oid: bytes, content: bytes, critical: bytes = b"") -> bytes:
    return tlv(SEQUENCE, tlv(OID, oid), critical, tlv(OCTET_STRING, content))


def extensions(*some: bytes) -> bytes:
    return tlv(0xA3, tlv(SEQUENCE, *some))


def key_identifiers() -> tuple[bytes, bytes]:
    return (
        extension(SKI, tlv(OCTET_STRING, KEY_ID)),
        extension(AKI, tlv(SEQUENCE, tlv(0x80, KEY_ID[::-1]))),
    )


def printable(*attributes: tuple[bytes, bytes]) -> bytes:
    """A name all in PrintableString, whatever the characters."""
    return distinguished_name(*([attribute(oid, text, kind=PRINTABLE)] for oid, text in attributes))


def issued(**replaced: bytes) -> str:
    return as_pem(signed(tbs_with(**replaced)))


def trust_and_go() -> Family:
    """The chip's MAC address stands in a directoryName's serialNumber, with an underscore that the type has not."""
    name = distinguished_name([attribute(SERIAL_NUMBER, b"eui48_0004A3000001", kind=PRINTABLE)])
    return Family(
        name="Trust&GO",
        issued_by="Microchip's signers of ATECC608 Trust&GO elements",
        pem=issued(
            serial=integer(0x5A0123BC526C69CFA001),
            subject=distinguished_name(
                [attribute(ORGANIZATION, b"Microchip Technology Inc", kind=PRINTABLE)],
                [attribute(COMMON_NAME, b"sn01230000000000A001", kind=PRINTABLE)],
            ),
            validity=validity(b"261001000000Z", b"20541001000000Z", kinds=(UTC_TIME, GENERALIZED_TIME)),
            extensions=extensions(
                extension(SAN, tlv(SEQUENCE, tlv(0xA4, name))),
                extension(BASIC_CONSTRAINTS, tlv(SEQUENCE), TRUE),
                extension(KEY_USAGE, SIGNS_AND_AGREES, TRUE),
                *key_identifiers(),
            ),
        ),
        rules={"common_name": "sn0123[0-9A-F]{14}"},
        checks={},
        is_read_again=True,
    )


def forge() -> Family:
    """All names in PrintableString, also `&`, `_` and `@`; the CA's too, which it writes in UTF8String itself."""
    return Family(
        name="forge",
        issued_by="node-forge, with which many fleets' own tools sign",
        pem=issued(
            issuer=printable((ORGANIZATION, b"Acme"), (COMMON_NAME, b"Acme factory CA")),
            subject=printable(
                (ORGANIZATION, b"Acme & Sons"), (ORGANIZATIONAL_UNIT, b"line_4@plant"), (COMMON_NAME, b"sensor-0001")
            ),
            extensions=extensions(
                extension(BASIC_CONSTRAINTS, tlv(SEQUENCE)),
                extension(KEY_USAGE, SIGNS_AND_ENCIPHERS),
                extension(EKU, tlv(SEQUENCE, CLIENT_AUTH)),
            ),
        ),
        rules={},
        checks={},
        is_read_again=True,
    )


def jdk() -> Family:
    """NULL stands behind ecdsa-with-SHA256, inside and outside the signed part."""
    return Family(
        name="JDK",
        issued_by="keytool -gencert of JDK 11",
        pem=issued(
            algorithm=bytes.fromhex("300c06082a8648ce3d0403020500"),
            extensions=extensions(*key_identifiers()),
        ),
        rules={},
        checks={},
        is_read_again=True,
    )


def mbed_tls() -> Family:
    """BOOLEAN TRUE is written as 01, and the issuer in PrintableString, the CA's own subject being in UTF8String."""
    return Family(
        name="mbedTLS",
        issued_by="old versions of mbedTLS and PolarSSL (cert_write)",
        pem=issued(
            issuer=printable((ORGANIZATION, b"Acme"), (COMMON_NAME, b"Acme factory CA")),
            extensions=extensions(
                extension(BASIC_CONSTRAINTS, tlv(SEQUENCE)),
                *key_identifiers(),
                extension(KEY_USAGE, SIGNS, ONE),
            ),
        ),
        rules={},
        checks={},
        is_read_again=True,
    )


def step_ca() -> Family:
    """The requested DNS name is the alternative name, its label the device; an extension names a provisioner."""
    return Family(
        name="step-ca",
        issued_by="step-ca, its default template",
        pem=issued(
            subject=distinguished_name([attribute(COMMON_NAME, b"sensor-0001.devices.acme.example")]),
            extensions=extensions(
                extension(KEY_USAGE, SIGNS, TRUE),
                extension(EKU, tlv(SEQUENCE, SERVER_AUTH, CLIENT_AUTH)),
                *key_identifiers(),
                extension(SAN, tlv(SEQUENCE, tlv(0x82, b"sensor-0001.devices.acme.example"))),
                extension(STEP_PROVISIONER, tlv(SEQUENCE, integer(1))),
            ),
        ),
        rules={
            "common_name": None,
            "san_dns": r"(?P<unit>[a-z0-9-]+)\.devices\.acme\.example",
            "thing_name": "{unit}",
        },
        checks={},
        is_read_again=False,
    )


def aws_private_ca() -> Family:
    """The template EndEntityClientAuthCertificate/V1, with a CRL's distribution point that is not critical."""
    point = b"http://acme-crl.s3.eu-central-1.amazonaws.com/crl/00000000-0000-4000-8000-000000000000.crl"
    return Family(
        name="AWS Private CA",
        issued_by="AWS Private CA, template EndEntityClientAuthCertificate/V1",
        pem=issued(
            serial=integer(0x7F00112233445566778899AABBCCDDEE),
            extensions=extensions(
                extension(BASIC_CONSTRAINTS, tlv(SEQUENCE)),
                *reversed(key_identifiers()),
                extension(KEY_USAGE, SIGNS_AND_ENCIPHERS, TRUE),
                extension(EKU, tlv(SEQUENCE, CLIENT_AUTH)),
                extension(CRL_POINTS, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, tlv(0xA0, tlv(0x86, point)))))),
            ),
        ),
        rules={},
        checks={},
        is_read_again=False,
    )


def ejbca() -> Family:
    """The most specific attribute first, serialNumber besides, and critical CRL distribution points."""
    point = b"http://pki.acme.example/crls/factory.crl"
    return Family(
        name="EJBCA",
        issued_by="EJBCA, an end entity profile with CN and serialNumber",
        pem=issued(
            serial=integer(2**158 + 5),
            subject=distinguished_name(
                [attribute(COMMON_NAME, b"sensor-0001")],
                [attribute(SERIAL_NUMBER, b"12345678", kind=PRINTABLE)],
                [attribute(ORGANIZATION, b"Acme")],
                [attribute(COUNTRY, b"SE", kind=PRINTABLE)],
            ),
            extensions=extensions(
                extension(BASIC_CONSTRAINTS, tlv(SEQUENCE), TRUE),
                extension(AKI, tlv(SEQUENCE, tlv(0x80, KEY_ID[::-1]))),
                extension(EKU, tlv(SEQUENCE, CLIENT_AUTH)),
                extension(CRL_POINTS, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, tlv(0xA0, tlv(0x86, point))))), TRUE),
                extension(POLICIES, tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, b"\x2a\x03\x04")))),
                extension(SKI, tlv(OCTET_STRING, KEY_ID)),
                extension(KEY_USAGE, SIGNS, TRUE),
            ),
        ),
        rules={"serial_number": "[0-9]{8}", "attributes": {"serial": "{serial_number}"}},
        checks={"revocation": CheckMode.ENFORCE},
        is_read_again=False,
    )


def openssl_1_0() -> Family:
    """X.509 v1, and what is no PrintableString is a T61String in Latin-1: the string mask before openssl 1.1."""
    return Family(
        name="openssl 1.0",
        issued_by="openssl x509 -req -sha256 of openssl 1.0, without a configuration",
        pem=issued(
            version=b"",
            extensions=b"",
            serial=integer(0x9C1D2E3F40516273),
            subject=distinguished_name(
                [attribute(ORGANIZATION, "Björn Fabriks AB".encode("latin-1"), kind=T61)],
                [attribute(COMMON_NAME, b"sensor-0001", kind=PRINTABLE)],
                [attribute(bytes.fromhex("2a864886f70d010901"), b"line_4@acme.example", kind=IA5)],
            ),
        ),
        rules={},
        checks={},
        is_read_again=True,
    )


MAKERS = (trust_and_go, forge, jdk, mbed_tls, step_ca, aws_private_ca, ejbca, openssl_1_0)


def odd_ca() -> Authority:
    """A CA whose own certificate the library refuses: its name is PrintableString with `&` and `_`."""
    name = printable((ORGANIZATION, b"Acme & Sons"), (COMMON_NAME, b"Acme_factory_CA"))
    key = ec_key(owner="ca")
    point = key.public_key().public_numbers()
    bits = b"\0\4" + point.x.to_bytes(32) + point.y.to_bytes(32)
    p_256 = tlv(SEQUENCE, tlv(OID, bytes.fromhex("2a8648ce3d0201")), tlv(OID, bytes.fromhex("2a8648ce3d030107")))
    tbs = tbs_with(
        factory().pem,
        issuer=name,
        subject=name,
        key=tlv(SEQUENCE, p_256, tlv(BIT_STRING, bits)),
        extensions=extensions(extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, TRUE), TRUE)),
    )
    return Authority(as_pem(signed(tbs, authority=Authority("", key))), key)


def issued_by_odd_ca(authority: Authority, **replaced: bytes) -> str:
    """A device's certificate of that CA: its subject's bytes are copied verbatim into the issuer."""
    subject = elements(elements(der_of(authority.pem))[0])[5]
    return as_pem(signed(tbs_with(issuer=subject, **replaced), authority=authority))


def _list(make: Callable[[], Family]) -> None:
    def application() -> Application:
        return make().application

    application.__name__, application.__doc__ = f"family_{make.__name__}", make.__doc__
    admitted(application)


for _make in MAKERS:
    _list(_make)


@admitted
def device_of_an_odd_ca() -> Application:
    """Its CA's own certificate is read by the second reader, and its name is copied verbatim into the device's."""
    authority = odd_ca()
    return applying(issued_by_odd_ca(authority), authority=authority)


@admitted
def odd_device_of_an_odd_ca() -> Application:
    """Its CA's certificate and its own are both read by the second reader."""
    authority = odd_ca()
    subject = printable((ORGANIZATION, b"A & B"), (ORGANIZATIONAL_UNIT, b"Mark-2"), (COMMON_NAME, b"sensor-0001"))
    return applying(issued_by_odd_ca(authority, subject=subject), authority=authority)


@refused(Reason.REVOKED_BY_CA)
def device_of_an_odd_ca_in_its_crl() -> Application:
    """The CRL of a CA that only the second reader takes, its name verbatim, lists the device."""
    authority, serial = odd_ca(), 4711
    pem = issued_by_odd_ca(authority, serial=integer(serial))
    ca = Certificate.from_pem(authority.pem)
    crl = issue_crl(authority, [entry(serial, reason(1))], issuer=ca.encoded.subject)
    return replace(applying(pem, authority=authority), revocations=RevocationList.read(crl, ca))
