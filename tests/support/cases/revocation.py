"""What the CA's CRL says of the certificate, and whether there is one to ask."""

from dataclasses import replace
from datetime import datetime

from cryptography import x509

from jitr.errors import Reason
from jitr.rules import CheckMode, OnStaleCrl
from jitr.x509.certificate import Certificate
from jitr.x509.crl import CrlProblem, RevocationList
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import DAY, NOW, SECOND, Application, applying, factory
from tests.support.cases.revoking import ISSUING_POINT, entry, extension, issue_crl, reason, tlv

KEY_COMPROMISE, HOLD = 1, 6
POINT = "http://ca.example/1.crl"


def under(*entries: bytes, next_update: datetime = NOW + DAY, this_update: datetime = NOW - DAY) -> Application:
    """A device that knocks while a CRL with these entries is published."""
    return listing(applying(), *entries, next_update=next_update, this_update=this_update)


def listing(
    application: Application,
    *entries: bytes,
    next_update: datetime = NOW + DAY,
    this_update: datetime = NOW - DAY,
    extensions: tuple[bytes, ...] = (),
) -> Application:
    der = issue_crl(
        factory(), [*entries, entry(1)], this_update=this_update, next_update=next_update, extensions=extensions
    )
    return replace(application, revocations=RevocationList.read(der, Certificate.from_pem(factory().pem)))


def serial_of(application: Application) -> int:
    return x509.load_pem_x509_certificate(application.device.pem.encode()).serial_number


def revoked(code: int = KEY_COMPROMISE, *, next_update: datetime = NOW + DAY) -> Application:
    """A device that knocks while its certificate is listed."""
    application = applying()
    return listing(application, entry(serial_of(application), reason(code)), next_update=next_update)


@refused(Reason.REVOKED_BY_CA)
def listed_as_revoked() -> Application:
    """The CA's list says that the key is compromised."""
    return revoked()


@refused(Reason.REVOKED_BY_CA)
def listed_as_revoked_by_a_stale_list() -> Application:
    """The list is old, but what was revoked stays revoked."""
    return revoked(next_update=NOW - SECOND)


@refused(Reason.REVOKED_BY_CA)
def listed_as_revoked_where_stale_lists_do_not_matter() -> Application:
    """The list is old and the rules let devices in then, but not the ones that it lists."""
    return revoked(next_update=NOW - SECOND).with_rules(
        checks={"revocation": CheckMode.ENFORCE}, on_stale_crl=OnStaleCrl.ADMIT
    )


@refused(Reason.SUSPENDED_BY_CA)
def listed_as_on_hold() -> Application:
    """The CA's list says certificateHold, which the next list can take back."""
    return revoked(HOLD)


@admitted
def listed_is_another_one() -> Application:
    """The list holds the certificate whose serial number is greater by one."""
    application = applying()
    return listing(application, entry(serial_of(application) + 1))


@refused(Reason.CRL_MISSING)
def no_list() -> Application:
    """Nobody has published a list."""
    return replace(applying(), revocations=None)


@admitted
def no_list_where_that_does_not_matter() -> Application:
    """Nobody has published a list, and the rules let devices in then."""
    return replace(applying(), revocations=None).with_rules(on_stale_crl=OnStaleCrl.ADMIT)


@refused(Reason.CRL_STALE)
def stale_list() -> Application:
    """The next list was due a second ago."""
    return under(next_update=NOW - SECOND)


@admitted
def stale_list_where_that_does_not_matter() -> Application:
    """The next list was due a second ago, and the rules let devices in then."""
    return under(next_update=NOW - SECOND).with_rules(on_stale_crl=OnStaleCrl.ADMIT)


@admitted
def list_in_its_last_second() -> Application:
    """The next list is due in this second, of which a part has passed."""
    return replace(under(next_update=NOW), now=NOW + 0.9 * SECOND)


@admitted
def list_in_its_first_second() -> Application:
    """The list is of this second."""
    return under(this_update=NOW)


@refused(Reason.CRL_STALE)
def list_of_the_future() -> Application:
    """The list is dated a second ahead."""
    return under(this_update=NOW + SECOND)


@refused(Reason.CRL_UNUSABLE)
def list_that_is_none() -> Application:
    """What is published cannot be read; on_stale_crl does not help, for somebody put it there."""
    return replace(applying(), revocations=CrlProblem("it is no CRL")).with_rules(on_stale_crl=OnStaleCrl.ADMIT)


def for_a_point(application: Application) -> Application:
    names = tlv(0xA0, tlv(0xA0, tlv(0x86, POINT.encode())))
    return listing(application, extensions=(extension(ISSUING_POINT, tlv(0x30, names), critical=True),))


@refused(Reason.CRL_UNUSABLE)
def list_for_another_distribution_point() -> Application:
    """The list is for certificates that name its distribution point, and this one names none."""
    return for_a_point(applying())


@admitted
def list_for_its_distribution_point() -> Application:
    """The list is for the distribution point that the certificate names."""
    names = [x509.UniformResourceIdentifier(POINT)]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])
    return for_a_point(applying(factory().leaf(extensions=[points])))


@admitted
def revoked_where_nobody_asks() -> Application:
    """The certificate is listed, and the CA's rules leave the check off."""
    return revoked().with_rules(checks={})
