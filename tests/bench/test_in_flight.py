"""Held devices that all want a look at once, and knock on: how much of the queue they take up."""

import pytest

from bench.conditions import Conditions
from bench.ours import Jitr
from bench.world import simulate
from jitr.pacing import turns

HELD, NEW = 1500, 100


def test_held_devices_that_knock_neither_fill_the_queue_nor_delay_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """More looks than the rate allows while it lasts, so that a line forms."""
    line = 300  # so small that it fills up within minutes
    monkeypatch.setattr(turns, "_MOST_IN_LINE", line)
    conditions = Conditions(
        devices=NEW,
        within=60,
        held=HELD,
        held_every=60,
        rules_changed=True,
        lasts=120,
        raised=0.5,
        registrations_bound=False,
    )
    jitr = Jitr(activations_per_second=5, rules_changed=True, max_concurrency=4)
    storm = simulate(jitr, conditions, patience=10)
    assert line < HELD / 2
    assert 50 < storm.most_in_flight < line + 4 * 10 + 8 * 5 * 2  # the line, batches, and new devices that are put off
    assert (storm.active, storm.lost, storm.dead) == (NEW, 0, 0)
    assert storm.longest_wait < 60
