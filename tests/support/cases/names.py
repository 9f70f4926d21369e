"""Can legal names be made from the subject? What does not fit is refused, never rewritten."""

from cryptography.x509.oid import NameOID

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import SENSOR, Application, Subject, applying, factory, named


def of_model(model: str) -> Subject:
    """The valid subject with another organizational unit, which becomes the attribute `model`."""
    return (SENSOR[0], (NameOID.ORGANIZATIONAL_UNIT_NAME, model), SENSOR[2])


@refused(Reason.SUBJECT_FIELD_MISSING)
def template_field_missing() -> Application:
    """The attribute `model` is made from the organizational unit, and the subject holds none."""
    return applying(factory().leaf((SENSOR[0], SENSOR[2])))


@refused(Reason.SUBJECT_FIELD_MISSING)
def template_field_twice() -> Application:
    """The attribute `model` is made from the organizational unit, and the subject holds two."""
    return applying(factory().leaf((*SENSOR, (NameOID.ORGANIZATIONAL_UNIT_NAME, "Mark-3"))))


@refused(Reason.NAME_NOT_LEGAL)
def space_in_thing_name() -> Application:
    """The pattern allows a space in the common name, AWS IoT none in a thing name."""
    return applying(factory().leaf(named("sensor 0001"))).with_rules(common_name="sensor.[0-9]{4}")


@refused(Reason.NAME_NOT_LEGAL)
def umlaut_in_thing_name() -> Application:
    """The pattern allows an umlaut in the common name, AWS IoT none in a thing name."""
    return applying(factory().leaf(named("fühler-0001"))).with_rules(common_name=".*-[0-9]{4}")


@refused(Reason.NAME_NOT_LEGAL)
def other_digits_in_thing_name() -> Application:
    r"""`\d` in the pattern matches Arabic digits, which are none in a thing name."""
    return applying(factory().leaf(named("sensor-\u0660\u0660\u0660\u0661"))).with_rules(common_name=r"sensor-\d{4}")


@refused(Reason.NAME_NOT_LEGAL)
def thing_name_too_long() -> Application:
    """The template and the common name make 129 characters."""
    return applying().with_rules(thing_name="x" * 118 + "{common_name}")


@admitted
def longest_thing_name() -> Application:
    """The template and the common name make 128 characters."""
    return applying().with_rules(thing_name="x" * 117 + "{common_name}")


@refused(Reason.NAME_NOT_LEGAL)
def space_in_attribute() -> Application:
    """The organizational unit holds a space, and AWS IoT allows none in an attribute."""
    return applying(factory().leaf(of_model("Mark 2")))


@refused(Reason.NAME_NOT_LEGAL)
def umlaut_in_attribute() -> Application:
    """The organizational unit is not ASCII."""
    return applying(factory().leaf(of_model("Größe")))


@admitted
def name_from_the_certificate() -> Application:
    """The thing is named by the certificate's own serial number, the attribute by its id."""
    application = applying(factory().leaf(SENSOR[1:]))
    return application.with_rules(
        thing_name="{organizational_unit}:{certificate_serial}", attributes={"id": "{certificate_id}"}
    )
