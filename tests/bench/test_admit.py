"""The bench of the decision alone still measures every check of it."""

from bench.admit import measure
from jitr.admission.check_list import CHECKS


def test_every_check_is_measured_and_lets_the_benchs_certificate_pass() -> None:
    assert {check.name for check in CHECKS} <= set(measure(1))
