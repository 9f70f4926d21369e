"""What the fleet's entries, or an operator, say of the device."""

from dataclasses import replace
from typing import Any

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.errors import Reason
from jitr.rules import EnrollmentRule
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import ACCOUNT, Application, applying

OTHER_ACCOUNT = "222222222222"


def of_thing(rule: EntryRule = EntryRule.ALLOW, **fields: Any) -> Entry:
    """An entry for the valid case's thing name."""
    return Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=rule, **fields)


def of_certificate(application: Application, rule: EntryRule = EntryRule.ALLOW, **fields: Any) -> Entry:
    """An entry for the certificate that is applied with."""
    return Entry(subject=Subject(SubjectKind.CERTIFICATE, application.device.certificate_id), rule=rule, **fields)


def listed() -> Application:
    return applying().with_rules(enrollment=EnrollmentRule.LISTED)


def to_be_approved() -> Application:
    return applying().with_rules(enrollment=EnrollmentRule.APPROVE)


@refused(Reason.ENTRY_DENIES)
def thing_name_denied() -> Application:
    """The CA is open, and an entry denies the thing name."""
    return applying().with_enrollment(of_thing(EntryRule.DENY))


@refused(Reason.ENTRY_DENIES)
def certificate_denied_and_thing_name_allowed() -> Application:
    """The thing name is on the list, and this certificate of it is denied: a stolen one, say."""
    application = listed()
    return application.with_enrollment(of_thing(), of_certificate(application, EntryRule.DENY))


@refused(Reason.ENTRY_DENIES)
def thing_name_denied_and_certificate_allowed() -> Application:
    """The certificate is on the list, and its thing name is denied."""
    application = listed()
    return application.with_enrollment(of_certificate(application), of_thing(EntryRule.DENY))


@refused(Reason.ENTRY_DENIES)
def denied_and_approved() -> Application:
    """An operator approved the certificate, and an entry denies it."""
    application = to_be_approved()
    return application.with_enrollment(of_certificate(application, EntryRule.DENY), approved=True)


@refused(Reason.OTHER_ACCOUNT)
def of_another_account() -> Application:
    """The entry names another account."""
    return applying().with_enrollment(of_thing(accounts=(OTHER_ACCOUNT,)))


@refused(Reason.OTHER_ACCOUNT)
def of_another_account_and_approved() -> Application:
    """The entry names another account, and an operator approved the device here."""
    return to_be_approved().with_enrollment(of_thing(accounts=(OTHER_ACCOUNT,)), approved=True)


@admitted
def of_this_account_among_others() -> Application:
    """The entry names this account and another one."""
    return listed().with_enrollment(of_thing(accounts=(OTHER_ACCOUNT, ACCOUNT)))


@refused(Reason.ENTRY_UNUSABLE)
def entry_with_a_group_that_nobody_made() -> Application:
    """The entry puts the device into a thing group that fleet.toml does not name."""
    return applying().with_enrollment(of_thing(additions=Additions(thing_groups=("beta",))))


@refused(Reason.ENTRY_UNUSABLE)
def entry_with_an_attribute_that_aws_iot_does_not_take() -> Application:
    """The entry gives the thing an attribute with a space in it."""
    return applying().with_enrollment(of_thing(additions=Additions(attributes={"site": "Bad Ulm"})))


@refused(Reason.ENTRY_UNUSABLE)
def entry_that_nobody_understands() -> Application:
    """The entry was written by hand, and says neither allow nor deny."""
    return applying().with_enrollment(of_thing(problem="its 'rule' is missing"))


@admitted
def entry_with_everything() -> Application:
    """The entry gives the device a type, a group and attributes of its own, all of which the CA offers."""
    additions = Additions(thing_type="meter", thing_groups=("beta",), attributes={"model": "Mark-3", "site": "Ulm"})
    return (
        applying()
        .with_rules(extra_types=("meter",), extra_groups=("beta",))
        .with_enrollment(of_thing(additions=additions, may_follow=True))
    )


@refused(Reason.NOT_LISTED)
def not_listed() -> Application:
    """The CA admits listed devices only, and no entry speaks of this one."""
    return listed()


@refused(Reason.NOT_LISTED)
def no_longer_listed() -> Application:
    """The device was on the list, and its entry was removed."""
    return listed().with_enrollment(of_thing(EntryRule.REMOVED))


@admitted
def listed_by_thing_name() -> Application:
    """The CA admits listed devices only, and an entry allows the thing name."""
    return listed().with_enrollment(of_thing())


@admitted
def listed_by_certificate() -> Application:
    """The CA admits listed devices only, and an entry allows the certificate."""
    application = listed()
    return application.with_enrollment(of_certificate(application))


@refused(Reason.AWAITING_APPROVAL)
def not_approved_yet() -> Application:
    """The CA admits approved devices only, and nobody has spoken."""
    return to_be_approved()


@admitted
def approved() -> Application:
    """The CA admits approved devices only, and an operator approved this one."""
    return to_be_approved().with_enrollment(approved=True)


@admitted
def listed_instead_of_approved() -> Application:
    """The CA admits approved devices only, and an entry allows this one."""
    return to_be_approved().with_enrollment(of_thing())


@admitted
def approved_instead_of_listed() -> Application:
    """The CA admits listed devices only, and an operator approved this one."""
    return replace(listed(), enrollment=replace(listed().enrollment, approved=True))


def of_device(device: str, rule: EntryRule = EntryRule.ALLOW, **fields: Any) -> Entry:
    """An entry about one certificate, by its id."""
    return Entry(subject=Subject(SubjectKind.CERTIFICATE, device), rule=rule, **fields)
