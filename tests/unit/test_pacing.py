"""How fast to go: what follows from the rate, and from what AWS throttles."""

import pytest

from jitr.aws.rate_limit import adjust_rate, max_concurrency_for


@pytest.mark.parametrize(("rate", "environments"), [(0.5, 6), (5, 8), (10, 11), (50, 40), (100, 80), (5000, 1000)])
def test_concurrency_follows_the_rate(rate: float, environments: int) -> None:
    assert max_concurrency_for(rate) == environments


@pytest.mark.parametrize(
    ("rate", "throttles", "judged"),
    [
        pytest.param(10.0, 60, 7.0, id="sustained, so what was accepted"),
        pytest.param(10.0, 26, 10.0, id="now and then, as a small bucket throttles"),
        pytest.param(9.0, 26, 8.7, id="now and then, after the rate was lowered, so what was accepted"),
        pytest.param(9.0, 12, 9.0, id="few, so it stays"),
        pytest.param(9.0, 1, 9.27, id="single ones, so it recovers"),
    ],
)
def test_sustained_throttling_sets_the_rate_to_what_was_accepted(rate: float, throttles: int, judged: float) -> None:
    assert adjust_rate(rate, calls=200, throttles=throttles, seconds=10, full=10) == pytest.approx(judged)


def test_from_half_of_the_rate_all_of_it_is_back_in_four_minutes() -> None:
    rate, windows = 5.0, 0
    while rate < 10:
        rate, windows = adjust_rate(rate, calls=100, throttles=0, seconds=10, full=10), windows + 1
    assert windows == 24


def test_throttles_of_long_ago_set_no_rate() -> None:
    assert adjust_rate(5.0, calls=100, throttles=100, seconds=60, full=10) == 5
