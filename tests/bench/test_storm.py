"""The storm bench counts right: a small storm, what it says of a bad handler, and that it is the same every time."""

from dataclasses import replace

import pytest

from bench.conditions import Conditions
from bench.devices import BackOff
from bench.ours import Jitr
from bench.peers import AwsBlog, IotDr, Peer, SoftChef
from bench.storm import harm, plot, table
from bench.sweep import in_storm
from bench.world import Storm, simulate

SMALL = Conditions(devices=30, within=5)


@pytest.fixture(scope="module")
def small() -> Storm:
    return simulate(Jitr(), SMALL)


def test_every_device_of_a_storm_becomes_active_with_thing_and_policy(small: Storm) -> None:
    assert (small.active, small.lost, small.dead, small.bare, small.thingless) == (30, 0, 0, 0, 0)
    assert small.all_active is not None
    assert small.all_active >= small.conditions.bound
    assert small.samples[-1].active == 30


def test_a_new_device_costs_five_iot_calls_and_a_knock_in_between_none(small: Storm) -> None:
    for operation in ("CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"):
        assert small.calls[f"iot:{operation}"] == 30
    assert small.calls["iot:DescribeCertificate"] == 30
    assert small.events > 30


def test_the_same_seed_gives_the_same_storm_and_another_gives_another(small: Storm) -> None:
    assert simulate(Jitr(), SMALL).samples == small.samples
    assert simulate(Jitr(), replace(SMALL, seed=2)).samples != small.samples


def test_calls_that_fail_lose_no_device() -> None:
    storm = simulate(Jitr(), replace(SMALL, errors=0.05, burst=0), patience=30)
    assert (storm.active, storm.dead, storm.bare) == (30, 0, 0)
    assert storm.throttled


def test_sweeps_amid_a_storm_send_nothing_that_the_queue_still_has() -> None:
    storm = in_storm(200)
    assert storm.active == 200
    assert storm.swept <= 1  # the daily pass may see one that is ACTIVE, between that and its record
    assert storm.longest_wait > 10  # it looked forgotten


def test_held_devices_do_not_keep_new_ones_out() -> None:
    storm = simulate(Jitr(), replace(SMALL, held=50), patience=30)
    assert (storm.active, storm.lost) == (30, 0)


@pytest.mark.parametrize(
    ("peer", "calls"), [(AwsBlog, 3), (IotDr, 7), (SoftChef, 8)], ids=["AWS blog", "IoT DR", "SoftChef"]
)
def test_a_peer_makes_the_calls_that_are_known_of_it(peer: type[Peer], calls: int) -> None:
    """In a storm of one device, which knocks once more at the end; IoT DR creates its policy with the first."""
    storm = simulate(peer(), Conditions(devices=1, within=1), patience=100)
    assert storm.active == 1
    assert storm.iot_calls == calls + (peer is IotDr)


def test_a_throttle_after_create_policy_poisons_softchefs_message_for_good() -> None:
    storm = simulate(SoftChef(), Conditions(devices=150, within=1, back_off=BackOff.IMPATIENT, burst=0), patience=10)
    assert storm.lost
    assert storm.most_backlog > 150


def test_tables_and_plots_name_each_storm(small: Storm) -> None:
    assert "| jitr | 30 | full-jitter, 100 ms, burst 1 s, within 5 s |" in table([small])
    assert harm([small]).endswith("| jitr | 30 | 0 | 0 | 0 | 0 | 0 |\n")
    assert plot("a storm", {"one & only": small}).count("one &amp; only") == 5  # the legend, and each panel's line
