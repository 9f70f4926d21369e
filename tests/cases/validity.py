"""Both ends of a validity belong to it, to the second (RFC 5280 §4.1.2.5)."""

from datetime import timedelta

from jitr.errors import Reason
from tests.cases.case import admitted, refused
from tests.cases.issuing import DAY, NOW, SECOND, Application, applying, factory


@admitted
def first_second() -> Application:
    """It knocks in the very second of notBefore."""
    return applying(factory().leaf(begins=NOW))


@refused(Reason.NOT_YET_VALID)
def second_before_the_first() -> Application:
    """NotBefore is a second ahead."""
    return applying(factory().leaf(begins=NOW + SECOND))


@refused(Reason.NOT_YET_VALID)
def moment_before_the_first() -> Application:
    """NotBefore is a microsecond ahead, which is the second before."""
    return applying(factory().leaf(begins=NOW), now=NOW - timedelta(microseconds=1))


@admitted
def last_second() -> Application:
    """It knocks in the very second of notAfter."""
    return applying(factory().leaf(ends=NOW))


@admitted
def end_of_the_last_second() -> Application:
    """NotAfter's second has nearly passed."""
    return applying(factory().leaf(ends=NOW), now=NOW + timedelta(microseconds=999_999))


@refused(Reason.EXPIRED)
def second_after_the_last() -> Application:
    """NotAfter was a second ago."""
    return applying(factory().leaf(ends=NOW), now=NOW + SECOND)


@admitted
def minimum_life_left() -> Application:
    """What is left is to the second what the rules ask for."""
    return applying(factory().leaf(ends=NOW + 30 * DAY)).with_rules(minimum_remaining_life=30 * 86_400)


@refused(Reason.EXPIRES_TOO_SOON)
def second_less_than_minimum() -> Application:
    """What is left is a second less than the rules ask for."""
    pem = factory().leaf(ends=NOW + 30 * DAY - SECOND)
    return applying(pem).with_rules(minimum_remaining_life=30 * 86_400)


@admitted
def no_end() -> Application:
    """It ends at the last moment that X.509 can express: 9999-12-31, "no well-defined expiration"."""
    return applying(factory().leaf(ends=NOW.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59)))
