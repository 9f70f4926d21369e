"""The bench of a whole fleet still runs the real command in every account, however they are opened."""

import pytest

from bench.accounts import measure


@pytest.mark.parametrize("roles", [False, True])
def test_every_account_and_region_of_the_benchs_fleet_is_seen_as_the_fleet_file_says(*, roles: bool) -> None:
    looks = measure(3, regions=2, cas=2, latency=0.0, runs=1, roles=roles)  # ends the test where one is not
    assert (looks.accounts, looks.by) == (3, "roles" if roles else "profiles")
    assert looks.processor_seconds > 0
