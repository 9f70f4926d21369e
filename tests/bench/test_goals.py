"""The rows of the pace's goals: each is measured somewhere, a missed one says so, and large storms are kept."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cost, goals, reached
from bench.conditions import Conditions
from bench.cost import Cost, Use
from bench.devices import BackOff
from bench.goals import GOALS, LARGE
from bench.world import Storm

NOTHING = Use(calls={}, items_read=0, items_in_transactions=0, seconds=0, messages_of_a_batch=1)


def costs(dollars: float) -> list[Cost]:
    return [Cost(of="", use=NOTHING, dollars={"all": dollars}) for _ in range(3)]


def row(what: str, storms: Mapping[Conditions, Storm], dollars: float = 1.0) -> str:
    return next(line for line in goals.table(storms, {}, costs(dollars)).splitlines() if line.startswith(f"| {what}"))


@pytest.mark.parametrize(("above", "is_reached"), [(1.5, "yes"), (1.54, "yes"), (1.56, "no")])
def test_a_goal_is_reached_to_the_digit_that_is_printed(above: float, is_reached: str) -> None:
    storm = Storm(registrar="jitr", conditions=GOALS[0].conditions, all_active=3.0 + above, all_registered=1.0)
    assert row("30 devices", {storm.conditions: storm}).endswith(f" {is_reached} |")


def test_what_was_not_measured_is_a_dash_and_no_success() -> None:
    assert row("30 devices", {}).endswith("| - | - |")


def test_a_device_that_costs_more_than_its_goal_says_no() -> None:
    assert row("dollars for a million devices, in a storm", {}, 20.0).endswith(" yes |")
    assert row("dollars for a million devices, in a storm", {}, 20.01).endswith(" no |")


def test_a_kept_storm_is_read_as_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reached, "KEPT", tmp_path / "reached.json")
    storm = Storm(
        registrar="jitr",
        conditions=replace(LARGE[0].conditions, back_off=BackOff.IMPATIENT),
        all_active=1010.0,
        all_registered=700.0,
        calls={"iot:DescribeCertificate": 7},
    )
    reached.keep(storm, "abc")
    reached.keep(replace(storm, all_active=1005.0), "def")
    assert reached.kept_storms() == {storm.conditions: replace(storm, all_active=1005.0)}
    assert reached.commits().startswith("def (")


def test_a_batch_of_duplicates_reads_each_record_and_the_schedule_once() -> None:
    duplicate = cost.measure_duplicate()
    assert duplicate.made_of("iot") == 0
    assert duplicate.items_read * duplicate.messages_of_a_batch == pytest.approx(11)
