"""Pacing: calls of one name are never closer than the interval. Time here is a number that `sleep` moves."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.aws.rate_limit import Pacer, adjust_rate, max_concurrency_for


@dataclass
class Clock:
    """Virtual time."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.now += seconds


def paced(interval: float, clock: Clock) -> Pacer:
    return Pacer(interval, clock=lambda: clock.now, sleep=clock.sleep)


def test_the_first_call_of_each_name_is_let_through_at_once() -> None:
    clock = Clock()
    pacer = paced(1.5, clock)
    pacer.wait("DescribeCertificate")
    pacer.wait("UpdateCertificate")
    assert clock.sleeps == []


def test_the_next_call_of_a_name_waits_for_its_turn() -> None:
    clock = Clock()
    pacer = paced(1.5, clock)
    for _ in range(3):
        pacer.wait("DescribeCertificate")
    assert clock.sleeps == [1.5, 1.5]


@pytest.mark.parametrize(("rate", "environments"), [(0.5, 5), (10, 8), (50, 22), (100, 40), (5000, 1000)])
def test_concurrency_follows_the_rate(rate: float, environments: int) -> None:
    assert max_concurrency_for(rate) == environments


def test_a_call_that_comes_late_enough_does_not_wait() -> None:
    clock = Clock()
    pacer = paced(1.5, clock)
    pacer.wait("DescribeCertificate")
    clock.now += 1.5
    pacer.wait("DescribeCertificate")
    assert clock.sleeps == []


def test_a_call_that_comes_late_waits_only_for_the_rest() -> None:
    clock = Clock()
    pacer = paced(1.5, clock)
    pacer.wait("DescribeCertificate")
    clock.now += 1.0
    pacer.wait("DescribeCertificate")
    assert clock.sleeps == [0.5]


def test_time_that_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    pacer = paced(1.5, clock)
    pacer.wait("DescribeCertificate")
    clock.now += 100
    for _ in range(2):
        pacer.wait("DescribeCertificate")
    assert clock.sleeps == [1.5]


def test_an_interval_of_zero_never_waits() -> None:
    clock = Clock()
    pacer = paced(0, clock)
    for _ in range(100):
        pacer.wait("DescribeCertificate")
    assert clock.sleeps == []


@given(
    interval=st.integers(1, 40),
    calls=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=50),
)
def test_no_two_calls_of_one_name_are_closer_than_the_interval(interval: int, calls: list[tuple[str, int]]) -> None:
    clock = Clock()
    pacer = paced(interval, clock)
    let_through: dict[str, list[float]] = {"a": [], "b": []}
    for name, pause in calls:
        clock.now += pause
        asked = clock.now
        pacer.wait(name)
        if let_through[name]:
            # neither too early, nor later than it must be
            assert clock.now == max(asked, let_through[name][-1] + interval)
        let_through[name].append(clock.now)


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
