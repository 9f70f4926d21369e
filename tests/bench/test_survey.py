"""bench/survey.py: the calls that it counts are those that the survey announced, and memory does not grow."""

import pytest

from bench.survey import measure, measure_apart


def test_the_calls_of_a_large_survey_are_those_that_it_announces_below_the_quotas() -> None:
    found = measure(300)
    calls, told = found["calls"], found["told"]
    assert (found["certificates"], found["things"], found["throttled"]) == (300, 300, 0)
    assert calls == {name.partition(":")[2]: number for name, number in found["attempts"].items() if is_counted(name)}
    assert {name: str(calls[name]) for name in ("ListThingPrincipals", "GetPolicy", "BatchGetItem")} == {
        name: told[name] for name in ("ListThingPrincipals", "GetPolicy", "BatchGetItem")
    }
    assert told["DescribeCertificate"] == f"{calls['DescribeCertificate']} at most"
    assert told["ListTargetsForPolicy"].startswith(f"{calls['GetPolicy']}, and one more for each further 250")


def is_counted(name: str) -> bool:
    """Whether a call is the survey's, and not a turn of the account's schedule."""
    return name.startswith("iot:") or name == "dynamodb:BatchGetItem"


@pytest.mark.deep
def test_memory_does_not_grow_with_the_fleet() -> None:
    small, large = measure_apart(2_000), measure_apart(40_000)
    assert large["megabytes"] < small["megabytes"] + 10
    assert large["megabytes_of_the_file"] > 10 * small["megabytes_of_the_file"]
