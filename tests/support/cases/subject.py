"""One common name, the right one, and nothing that widens a policy."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import (
    BMP,
    COMMON_NAME,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    attribute,
    distinguished_name,
    issued_with,
    sensor,
)
from tests.support.cases.issuing import SENSOR, Application, applying, factory, name, named


@refused(Reason.COMMON_NAME_MISSING)
def no_common_name() -> Application:
    """The subject holds everything but a common name."""
    return applying(factory().leaf(SENSOR[:2]))


@refused(Reason.COMMON_NAME_MISSING)
def empty_subject() -> Application:
    """The subject holds nothing."""
    return applying(factory().leaf(()))


@refused(Reason.COMMON_NAME_AMBIGUOUS)
def two_common_names() -> Application:
    """The subject holds two common names, each of which would do."""
    return applying(factory().leaf((*SENSOR, (NameOID.COMMON_NAME, "sensor-0002"))))


@refused(Reason.COMMON_NAME_AMBIGUOUS)
def common_name_twice() -> Application:
    """The subject holds the same common name twice."""
    return applying(factory().leaf((*SENSOR, SENSOR[-1])))


@refused(Reason.COMMON_NAME_REFUSED)
def another_common_name() -> Application:
    """The common name is of another product."""
    return applying(factory().leaf(named("gateway-0001")))


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_with_prefix() -> Application:
    """The pattern matches the end of the common name only."""
    return applying(factory().leaf(named("old-sensor-0001")))


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_with_suffix() -> Application:
    """The pattern matches the beginning of the common name only."""
    return applying(factory().leaf(named("sensor-0001-b")))


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_with_newline() -> Application:
    """A line feed ends the common name, which `$` in a pattern would pass over."""
    return applying(factory().leaf(named("sensor-0001\n"))).with_rules(common_name="sensor-[0-9]{4,}$")


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_in_capitals() -> Application:
    """The common name differs from the pattern in case."""
    return applying(factory().leaf(named("Sensor-0001")))


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_common_name() -> Application:
    """The common name holds `#`, under a pattern that allows anything."""
    return applying(factory().leaf(named("sensor-#"))).with_rules(common_name=".*")


@refused(Reason.SUBJECT_UNSAFE)
def policy_variable_in_organization() -> Application:
    """A field that no template uses holds `${`, which begins a policy variable."""
    return applying(factory().leaf((*SENSOR, (NameOID.STATE_OR_PROVINCE_NAME, "${iot:ClientId}"))))


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_second_value() -> Application:
    """A field stands there twice, and its second value holds `*`."""
    pem = factory().leaf((*SENSOR, (NameOID.LOCALITY_NAME, "Ulm"), (NameOID.LOCALITY_NAME, "*")))
    return applying(pem)


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_title() -> Application:
    """The title, which a policy can name and a template cannot, holds `+`."""
    return applying(factory().leaf((*SENSOR, (NameOID.TITLE, "+"))))


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_alternative_name() -> Application:
    """A DNS name in the subject alternative name is `*.example.com`."""
    return applying(factory().leaf(extensions=[x509.SubjectAlternativeName([x509.DNSName("*.example.com")])]))


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_directory_name() -> Application:
    """A directory name in the subject alternative name holds `#`."""
    directory_name = x509.DirectoryName(name([(NameOID.COMMON_NAME, "a#b")]))
    return applying(factory().leaf(extensions=[x509.SubjectAlternativeName([directory_name])]))


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_with_nul() -> Application:
    """A NUL ends the common name, behind which C programs read nothing."""
    return issued_with(subject=sensor(b"sensor-0001\0.example.com"))


@refused(Reason.NAME_NOT_LEGAL)
def nul_that_the_pattern_allows() -> Application:
    """A NUL ends the common name, and the pattern allows anything."""
    return issued_with(subject=sensor(b"sensor-0001\0")).with_rules(common_name="(?s:.*)")


@refused(Reason.UNREADABLE)
def common_name_in_latin_1() -> Application:
    """The common name says that it is UTF-8 and is Latin-1."""
    return issued_with(subject=sensor("f\xfchler-1".encode("latin-1")))


@refused(Reason.SUBJECT_UNSAFE)
def asterisk_in_printable_string() -> Application:
    """The common name is a PrintableString and holds `*`, which there is none in."""
    return issued_with(subject=sensor(b"sensor-*", kind=PRINTABLE))


@admitted
def common_name_in_two_byte_characters() -> Application:
    """The common name is a BMPString, two bytes for each character."""
    return issued_with(subject=sensor("sensor-0001".encode("utf-16-be"), kind=BMP))


@admitted
def several_fields_in_one_name() -> Application:
    """One relative name of the subject holds several fields, joined with `+` when written."""
    both = [attribute(ORGANIZATIONAL_UNIT, b"Mark-2"), attribute(COMMON_NAME, b"sensor-0001")]
    return issued_with(subject=distinguished_name(both))


@refused(Reason.COMMON_NAME_AMBIGUOUS)
def common_name_twice_in_one_name() -> Application:
    """One relative name of the subject holds the common name twice."""
    twice = [attribute(COMMON_NAME, b"sensor-0001"), attribute(COMMON_NAME, b"sensor-0001")]
    return issued_with(subject=distinguished_name([attribute(ORGANIZATIONAL_UNIT, b"Mark-2")], twice))


@refused(Reason.UNREADABLE)
def nothing_in_a_name() -> Application:
    """One relative name of the subject holds nothing."""
    return issued_with(subject=distinguished_name([]))


@admitted
def common_name_of_64() -> Application:
    """The common name is as long as X.520 allows."""
    return issued_with(subject=sensor(b"sensor-" + b"1" * 57))


@admitted
def common_name_of_65() -> Application:
    """The common name is longer than X.520 allows, and still a legal thing name."""
    return issued_with(subject=sensor(b"sensor-" + b"1" * 58))


@refused(Reason.COMMON_NAME_REFUSED)
def common_name_of_257() -> Application:
    """The common name matches, but is too long to be tried."""
    return issued_with(subject=sensor(b"sensor-" + b"1" * 250))


def named_by_uri(*uris: str) -> Application:
    """A CA whose devices have no common name but a URI in the subject alternative name."""
    names = x509.SubjectAlternativeName([x509.DNSName("example.com"), *map(x509.UniformResourceIdentifier, uris)])
    application = applying(factory().leaf((), critical=[names]))
    return application.with_rules(
        common_name=None, san_uri="urn:acme:sensor-[0-9]{4,}", thing_name="{san_uri}", attributes={"dns": "{san_dns}"}
    )


@admitted
def a_uri_for_a_name() -> Application:
    """The subject is empty, and the subject alternative name holds the device's URI, critical as RFC 5280 asks."""
    return named_by_uri("urn:acme:sensor-0001")


@refused(Reason.SAN_URI_REFUSED)
def no_uri() -> Application:
    """The CA's devices are named by a URI, and there is none."""
    return named_by_uri()


@refused(Reason.SAN_URI_REFUSED)
def two_uris() -> Application:
    """There are two URIs, each of which would do."""
    return named_by_uri("urn:acme:sensor-0001", "urn:acme:sensor-0002")


@refused(Reason.SAN_URI_REFUSED)
def another_uri() -> Application:
    """The URI is of another product."""
    return named_by_uri("urn:acme:gateway-0001")


@refused(Reason.NAME_NOT_LEGAL)
def uri_that_is_no_thing_name() -> Application:
    """The pattern allows slashes in the URI, AWS IoT none in a thing name."""
    return named_by_uri("spiffe://acme/sensor-0001").with_rules(san_uri="spiffe://acme/.*")


@admitted
def unsafe_where_nobody_looks() -> Application:
    """A field that no policy variable speaks of, the user id, holds a wildcard."""
    return applying(factory().leaf((*SENSOR, (NameOID.USER_ID, "*"))))
