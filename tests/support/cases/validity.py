"""Both ends of a validity belong to it, to the second (RFC 5280 §4.1.2.5)."""

from datetime import timedelta

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import UTC_TIME, issued_with, validity
from tests.support.cases.issuing import DAY, NOW, SECOND, Application, applying, factory


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
def maximum_life_to_the_second() -> Application:
    """From noon to noon in a year, as `openssl -days 365` makes it, under a maximum life of 365 days."""
    return applying(factory().leaf(begins=NOW - DAY, ends=NOW + 364 * DAY)).with_rules(maximum_life=365 * 86_400)


@refused(Reason.LIVES_TOO_LONG)
def second_more_than_maximum() -> Application:
    """It lives a second longer than the rules allow."""
    pem = factory().leaf(begins=NOW - DAY, ends=NOW + 364 * DAY + SECOND)
    return applying(pem).with_rules(maximum_life=365 * 86_400)


@refused(Reason.LIVES_TOO_LONG)
def no_end_where_lives_end() -> Application:
    """It ends in the year 9999, and the rules allow a century."""
    pem = factory().leaf(ends=NOW.replace(year=9999, month=12, day=31))
    return applying(pem).with_rules(maximum_life=36_500 * 86_400)


@admitted
def ends_after_2049() -> Application:
    """It ends in 2051, which is written as a GeneralizedTime; two digits of a year end in 2049."""
    return applying(factory().leaf(ends=NOW.replace(year=2051)))


@refused(Reason.NOT_YET_VALID)
def begins_in_2049() -> Application:
    """It begins in the last year that two digits can mean, and ends in their first, 1950."""
    return issued_with(validity=validity(b"490101000000Z", b"500101000000Z", kinds=(UTC_TIME, UTC_TIME)))


@admitted
def early_date_in_the_late_form() -> Application:
    """NotAfter is in 2040 and written as a GeneralizedTime, against RFC 5280 §4.1.2.5."""
    return issued_with(validity=validity(b"20261031000000Z", b"20400101000000Z"))


@refused(Reason.EXPIRED)
def ends_before_it_begins() -> Application:
    """NotAfter lies before notBefore, and both in the past."""
    return issued_with(validity=validity(b"20260202000000Z", b"20260101000000Z"))


@admitted
def no_end() -> Application:
    """It ends at the last moment that X.509 can express: 9999-12-31, "no well-defined expiration"."""
    return applying(factory().leaf(ends=NOW.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59)))
