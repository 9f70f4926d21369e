"""What a cold start is compared with."""

from bench import coldstart


def test_the_floor_makes_the_very_calls_that_the_handler_makes() -> None:
    """Otherwise `measure` ends with SystemExit, and `make bench` with it, after minutes of storms."""
    starts, imports = coldstart.measure(1)

    assert {start.subject for start in starts} == {"jitr", "floor", "boto3.client alone"}
    assert len(imports) == 10
