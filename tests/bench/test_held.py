"""Held devices that knock beside new ones: an hour of virtual time before the real handler."""

from itertools import pairwise

import pytest

from bench.conditions import Conditions
from bench.devices import BackOff
from bench.ours import Jitr
from bench.world import Storm, simulate
from jitr.pacing.turns import BUCKET

RATE = 10  # DescribeCertificate and UpdateCertificate a second, as AWS allows by default
ENVIRONMENTS = 4  # fewer than a stack has, with the same rate together; each idle one costs the test time
HELD, NEW = 1000, 60
MINUTE, HOUR = 60, 3600


@pytest.fixture(scope="module")
def hour() -> Storm:
    """All held devices are due at once, since the rules have changed; a new one comes every minute or so."""
    conditions = Conditions(
        devices=NEW, within=HOUR, held=HELD, back_off=BackOff.PATIENT, registrations_bound=False, seed=3
    )
    jitr = Jitr(activations_per_second=RATE, max_concurrency=ENVIRONMENTS, rules_changed=True)
    return simulate(jitr, conditions, patience=(HOUR + MINUTE) / conditions.bound)


def test_a_thousand_held_devices_have_the_idle_rate_and_no_more(hour: Storm) -> None:
    assert hour.samples[-1].second > HOUR - 2 * MINUTE
    assert hour.events > 3 * HELD  # they did knock
    minutes = list(pairwise(hour.samples[::MINUTE]))
    looks = [later.described - earlier.described - (later.active - earlier.active) for earlier, later in minutes]
    assert max(looks) <= RATE * (MINUTE + BUCKET)  # what was saved up, and the minute's
    assert sum(looks[:4]) >= HELD * 0.9


def test_new_devices_do_not_feel_a_thousand_held_ones(hour: Storm) -> None:
    assert (hour.active, hour.lost, hour.dead, hour.throttled) == (NEW, 0, 0, 0)
    for operation in ("CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"):
        assert hour.calls[f"iot:{operation}"] == NEW
    assert hour.longest_wait < MINUTE / 2
