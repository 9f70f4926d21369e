"""One common name, the right one, and nothing that widens a policy."""

from cryptography.x509.oid import NameOID

from jitr.errors import Reason
from tests.cases.case import admitted, refused
from tests.cases.issuing import SENSOR, Application, applying, factory, named


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


@admitted
def unsafe_where_nobody_looks() -> Application:
    """A field that no policy variable speaks of, the user id, holds a wildcard."""
    return applying(factory().leaf((*SENSOR, (NameOID.USER_ID, "*"))))
