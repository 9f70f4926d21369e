"""Do the extensions, when there are any, say that this is a device, and nothing that nobody understands?"""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from jitr.errors import Reason
from jitr.rules import CheckMode
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import OCTET_STRING, OID, SEQUENCE, issued_with, tlv
from tests.support.cases.issuing import Application, applying, factory

BASIC_CONSTRAINTS, SUBJECT_ALTERNATIVE_NAME, KEY_USAGE = b"\x55\x1d\x13", b"\x55\x1d\x11", b"\x55\x1d\x0f"
PRIVATE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def key_usage(*allowed: str) -> x509.KeyUsage:
    """A key usage that allows these alone."""
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{usage: usage in allowed for usage in every})


def with_extensions_of(*extensions: bytes) -> Application:
    """A device whose certificate holds these extensions, byte by byte."""
    return issued_with(extensions=tlv(0xA3, tlv(SEQUENCE, *extensions)))


def extension(oid: bytes, value: bytes) -> bytes:
    return tlv(SEQUENCE, tlv(OID, oid), tlv(OCTET_STRING, value))


@refused(Reason.IS_A_CA)
def a_ca() -> Application:
    """BasicConstraints says CA:TRUE."""
    return applying(factory().leaf(critical=[x509.BasicConstraints(ca=True, path_length=0)]))


@admitted
def basic_constraints_of_a_device() -> Application:
    """BasicConstraints says CA:FALSE, as critical."""
    return applying(factory().leaf(critical=[x509.BasicConstraints(ca=False, path_length=None)]))


@refused(Reason.KEY_USAGE_REFUSED)
def usage_without_signature() -> Application:
    """Key usage allows to encipher keys, as RSA servers did once, and no signature."""
    return applying(factory().leaf(critical=[key_usage("key_encipherment")]))


@refused(Reason.KEY_USAGE_REFUSED)
def usage_of_nothing() -> Application:
    """Key usage allows nothing at all."""
    return with_extensions_of(extension(KEY_USAGE, bytes.fromhex("030100")))


@admitted
def usage_with_signature() -> Application:
    """Key usage allows digital signatures and more."""
    return applying(factory().leaf(critical=[key_usage("digital_signature", "key_agreement")]))


@refused(Reason.EXTENDED_KEY_USAGE_REFUSED)
def for_servers() -> Application:
    """Extended key usage is that of a server."""
    return applying(factory().leaf(extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]))


@admitted
def for_clients_and_servers() -> Application:
    """Extended key usage is that of a server and a client, as step's template makes it."""
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return applying(factory().leaf(extensions=[x509.ExtendedKeyUsage(purposes)]))


@admitted
def for_anything() -> Application:
    """Extended key usage is anyExtendedKeyUsage: the CA restricts nothing."""
    return applying(factory().leaf(extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])]))


@refused(Reason.CRITICAL_EXTENSION_UNKNOWN)
def unknown_and_critical() -> Application:
    """A private extension is marked as critical."""
    return applying(factory().leaf(critical=[PRIVATE]))


@refused(Reason.CRITICAL_EXTENSION_UNKNOWN)
def known_by_name_only() -> Application:
    """Name constraints are critical; they are for CAs, and nobody here would heed them."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)
    return applying(factory().leaf(critical=[constraints]))


@admitted
def unknown_and_not_critical() -> Application:
    """A private extension, not critical."""
    return applying(factory().leaf(extensions=[PRIVATE]))


@admitted
def critical_policies() -> Application:
    """Certificate policies are critical; no particular one is asked for here."""
    policies = [x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), None)]
    return applying(factory().leaf(critical=[x509.CertificatePolicies(policies)]))


@refused(Reason.EXTENSIONS_UNREADABLE)
def extension_twice() -> Application:
    """BasicConstraints stands there twice."""
    ca_false = extension(BASIC_CONSTRAINTS, tlv(SEQUENCE))
    return with_extensions_of(ca_false, ca_false)


@refused(Reason.EXTENSIONS_UNREADABLE)
def damaged_extension() -> Application:
    """BasicConstraints holds what is none."""
    return with_extensions_of(extension(BASIC_CONSTRAINTS, b"\x02\x01\x05"))


@admitted
def address_of_five_bytes() -> Application:
    """The subject alternative name holds an IP address of five bytes, which names nothing here."""
    return with_extensions_of(extension(SUBJECT_ALTERNATIVE_NAME, tlv(SEQUENCE, tlv(0x87, bytes(5)))))


@admitted
def damaged_extension_observed() -> Application:
    """BasicConstraints holds what is none, and the rules only observe the extensions."""
    return damaged_extension().with_rules(checks={"extensions": CheckMode.OBSERVE})
