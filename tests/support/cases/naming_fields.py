"""Devices named by the subject's serialNumber, by a DNS name, or by a part of a name; and what may widen a policy."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import Reason
from jitr.rules import CheckMode
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import SENSOR, Application, applying, factory, name, named
from tests.support.cases.usage import SUBJECT_ALTERNATIVE_NAME, extension, with_extensions_of

SUBJECT_VARIABLE = "iot:certificate.subject.country"
ALTERNATIVE_VARIABLE = "iot:certificate.subject.alternativename.dnsname"


def by_serial_number(*numbers: str) -> Application:
    """A CA whose devices are named as IEEE 802.1AR has it."""
    subject = [(NameOID.ORGANIZATION_NAME, "Acme"), *((NameOID.SERIAL_NUMBER, number) for number in numbers)]
    return applying(factory().leaf(subject)).with_rules(
        common_name=None,
        serial_number="[A-Z]{2}[0-9]{6}",
        thing_name="{serial_number}",
        attributes={},
        policy_variables=(),
    )


def by_dns(*names: str, uris: Sequence[str] = ()) -> Application:
    """A CA whose devices have an empty subject and a DNS name, a part of which is the thing's name."""
    general = [*map(x509.DNSName, names), *map(x509.UniformResourceIdentifier, uris)]
    application = applying(factory().leaf((), critical=[x509.SubjectAlternativeName(general)] if general else []))
    return application.with_rules(
        common_name=None,
        san_dns=r"(?P<unit>[a-z0-9-]+)\.(?P<line>[a-z]+)\.devices\.acme\.example",
        thing_name="{unit}",
        attributes={"line": "{line}"},
        policy_variables=(),
    )


@admitted
def a_serial_number_for_a_name() -> Application:
    """The subject's serialNumber names the device; there is no common name."""
    return by_serial_number("AC004711")


@refused(Reason.SERIAL_NUMBER_REFUSED)
def no_serial_number_in_the_subject() -> Application:
    """The CA's devices are named by serialNumber, and there is none."""
    return by_serial_number()


@refused(Reason.SERIAL_NUMBER_REFUSED)
def two_serial_numbers_in_the_subject() -> Application:
    """There are two serialNumbers, each of which would do."""
    return by_serial_number("AC004711", "AC004712")


@refused(Reason.SERIAL_NUMBER_REFUSED)
def serial_number_with_suffix() -> Application:
    """The pattern matches the beginning of the serialNumber only."""
    return by_serial_number("AC004711-B")


@admitted
def part_of_a_dns_name() -> Application:
    """The first label of the DNS name is the thing's name, the second one an attribute."""
    return by_dns("sensor-0001.alpha.devices.acme.example")


@refused(Reason.SAN_DNS_REFUSED)
def no_dns_name() -> Application:
    """The CA's devices are named by a DNS name, and there is a URI alone."""
    return by_dns(uris=["urn:acme:sensor-0001"])


@refused(Reason.SAN_DNS_REFUSED)
def two_dns_names() -> Application:
    """There are two DNS names, each of which would do."""
    return by_dns("sensor-0001.alpha.devices.acme.example", "sensor-0002.alpha.devices.acme.example")


@refused(Reason.SAN_DNS_REFUSED)
def dns_name_of_another_zone() -> Application:
    """The DNS name goes on behind what the pattern asks for."""
    return by_dns("sensor-0001.alpha.devices.acme.example.org")


@refused(Reason.SAN_DNS_REFUSED)
def group_without_a_match_observed() -> Application:
    """The rules only observe the subject, but the DNS name does not match, so nothing can be named by its group."""
    return by_dns("gateway.example").with_rules(checks={"subject": CheckMode.OBSERVE})


@refused(Reason.COMMON_NAME_REFUSED)
def one_of_two_patterns() -> Application:
    """The serialNumber matches, the common name does not, and the CA asks for both."""
    subject = [(NameOID.COMMON_NAME, "gateway-0001"), (NameOID.SERIAL_NUMBER, "AC004711")]
    return applying(factory().leaf(subject)).with_rules(serial_number="[A-Z]{2}[0-9]{6}", attributes={})


@admitted
def named_by_its_key() -> Application:
    """The subject key identifier names the device."""
    identifier = x509.SubjectKeyIdentifier(bytes.fromhex("0AFF" * 10))
    return applying(factory().leaf(extensions=[identifier])).with_rules(thing_name="{subject_key_identifier}")


@refused(Reason.SUBJECT_FIELD_MISSING)
def no_key_identifier() -> Application:
    """The subject key identifier is to name the device, and there is none."""
    return applying(factory().leaf()).with_rules(thing_name="{subject_key_identifier}")


@admitted
def wildcards_that_nothing_uses() -> Application:
    """Organization, title and a DNS name hold wildcards; neither the policy nor a template can use them."""
    subject = (*SENSOR, (NameOID.STATE_OR_PROVINCE_NAME, "*"), (NameOID.TITLE, "$"))
    names = x509.SubjectAlternativeName([x509.DNSName("*.example.com"), x509.DirectoryName(name(named("a#b")))])
    return applying(factory().leaf(subject, extensions=[names])).with_rules(policy_variables=())


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_under_a_policy_with_variables() -> Application:
    """A field that no template uses holds `*`, and the policy names a variable, though of another field."""
    pem = factory().leaf((*SENSOR, (NameOID.STATE_OR_PROVINCE_NAME, "*")))
    return applying(pem).with_rules(policy_variables=(SUBJECT_VARIABLE,))


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_the_name_alone() -> Application:
    """The policy names no variable, but the device is named by a value with `+`."""
    return applying(factory().leaf(named("sensor+"))).with_rules(
        common_name=".*", thing_name="{certificate_id}", attributes={}, policy_variables=()
    )


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_in_a_template() -> Application:
    """The policy names no variable, but an attribute is made of a value with `#`."""
    pem = factory().leaf((*SENSOR, (NameOID.LOCALITY_NAME, "hall#1")))
    return applying(pem).with_rules(attributes={"hall": "{locality}"}, policy_variables=())


@refused(Reason.SUBJECT_UNSAFE)
def wildcard_around_a_group() -> Application:
    """A group of the DNS name is the thing's name, and the rest of the DNS name holds `*`."""
    return by_dns("sensor-0001.*.acme.example").with_rules(
        san_dns=r"(?P<unit>[a-z0-9-]+)\..*", thing_name="{unit}", attributes={}
    )


def with_a_name_that_cannot_be_read() -> Application:
    """A subject alternative name that is a string."""
    return with_extensions_of(extension(SUBJECT_ALTERNATIVE_NAME, b"\x0c\x01a"))


@refused(Reason.EXTENSIONS_UNREADABLE)
def alternative_name_that_a_policy_can_use() -> Application:
    """The subject alternative name cannot be read, and the policy can use what it holds."""
    return with_a_name_that_cannot_be_read().with_rules(policy_variables=(ALTERNATIVE_VARIABLE,))


@admitted
def alternative_name_that_no_policy_can_use() -> Application:
    """The subject alternative name cannot be read, and the policy names variables of the subject alone."""
    return with_a_name_that_cannot_be_read().with_rules(policy_variables=(SUBJECT_VARIABLE,))


@refused(Reason.EXTENSIONS_UNREADABLE)
def alternative_name_that_a_template_uses() -> Application:
    """The subject alternative name cannot be read, and an attribute is made of it."""
    return with_a_name_that_cannot_be_read().with_rules(attributes={"dns": "{san_dns}"}, policy_variables=())


@admitted
def critical_distribution_points_with_a_crl() -> Application:
    """CRL distribution points are critical, and the CA's CRL is enforced."""
    return applying(factory().leaf(critical=[_distribution_points()]))


@refused(Reason.CRITICAL_EXTENSION_UNKNOWN)
def critical_distribution_points_without_a_crl() -> Application:
    """CRL distribution points are critical, and no CRL is looked at."""
    return applying(factory().leaf(critical=[_distribution_points()])).with_rules(checks={})


@refused(Reason.CRITICAL_EXTENSION_UNKNOWN)
def critical_distribution_points_with_a_crl_observed() -> Application:
    """CRL distribution points are critical, and what the CRL says is only observed."""
    application = applying(factory().leaf(critical=[_distribution_points()]))
    return application.with_rules(checks={"revocation": CheckMode.OBSERVE})


def _distribution_points() -> x509.CRLDistributionPoints:
    uri = x509.UniformResourceIdentifier("http://crl.acme.example/factory.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([uri], None, None, None)])
