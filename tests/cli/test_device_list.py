"""`device list`: the latest devices of each account by the index, and how many others there are."""

from pathlib import Path
from typing import Any

import pytest

from jitrctl.device import listing
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


def come_up(fleet: Simulated, *numbers: int) -> list[Leaf]:
    """Devices are activated in dev, a minute apart."""
    leaves = []
    for number in numbers:
        name = f"sensor-{number:04}"
        leaves.append(fleet.issue(name))
        assert fleet.knock(DEV, leaves[-1], name) == "accepted"
        fleet.aws.clock.advance(60)
    return leaves


def listed(fleet: Simulated, *words: str) -> Any:
    return fleet.ask("device", "list", *words)[DEV]


def names(found: Any) -> list[str]:
    return [one["thing_name"] for one in found["devices"]]


def test_devices_are_listed_the_latest_first_and_nothing_is_scanned_nor_asked_of_aws_iot(fleet: Simulated) -> None:
    leaves = come_up(fleet, 1, 2, 3)
    fleet.aws.calls.clear()

    found = listed(fleet)

    assert names(found) == ["sensor-0003", "sensor-0002", "sensor-0001"]
    assert [one["certificate_id"] for one in found["devices"]] == [leaf.certificate_id for leaf in reversed(leaves)]
    assert {(one["status"], one["outcome"], one["ca"]) for one in found["devices"]} == {
        ("ACTIVE", "activated", "factory")
    }
    assert (found["more"], found["all_counted"]) == (0, True)
    assert fleet.ask("device", "list")[PROD]["devices"] == []
    assert set(fleet.aws.list_operations(caller="jitrctl", service="dynamodb")) == {"Query", "BatchGetItem"}
    assert not fleet.aws.list_operations(caller="jitrctl", service="iot")


def test_a_row_says_what_was_decided_and_ordered(fleet: Simulated) -> None:
    (leaf,) = come_up(fleet, 1)
    fleet.say("device", "deny", leaf.certificate_id, "--account", DEV, "--yes")

    heading, row = fleet.lines("device", "list", "--account", DEV)

    assert heading.split()[:6] == ["stage", "thing", "certificate", "status", "decision", "decided"]
    assert row.split()[:3] == ["dev/eu-central-1", "sensor-0001", leaf.certificate_id]
    assert "INACTIVE  activated, denied" in row


def test_rejected_and_held_devices_are_among_them(fleet: Simulated) -> None:
    come_up(fleet, 1)
    fleet.write(RULES.replace("sensor-", "other-"))
    fleet.deploy()
    fleet.knock(DEV, fleet.issue("sensor-0002"), "sensor-0002")
    fleet.aws.clock.advance(60)
    fleet.write(RULES + 'enrollment = "approve"\n')
    fleet.deploy()
    fleet.knock(DEV, fleet.issue("sensor-0003"), "sensor-0003")

    found = listed(fleet)

    assert [(one["outcome"], one["reason"]) for one in found["devices"]] == [
        ("held", "AWAITING_APPROVAL"),
        ("rejected", "COMMON_NAME_REFUSED"),
        ("activated", None),
    ]
    assert found["more"] == 0


def test_no_more_are_shown_than_asked_for_and_the_others_are_counted(fleet: Simulated) -> None:
    come_up(fleet, *range(1, 6))

    found = listed(fleet, "--most", "2")

    assert names(found) == ["sensor-0005", "sensor-0004"]
    assert (found["more"], found["all_counted"]) == (3, True)
    said = fleet.say("device", "list", "--most", "2")
    assert "dev/eu-central-1: the latest 2 devices, and 3 more: --most 20." in said
    assert "prod/eu-central-1: nothing was decided on any device." in said
    assert "dev/eu-central-1: 5 devices, all are shown." in fleet.say("device", "list")


def test_counting_ends_at_a_bound_and_says_so(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_COUNTED", 2)
    come_up(fleet, *range(1, 6))
    found = listed(fleet, "--most", "1")
    assert (found["more"], found["all_counted"]) == (2, False)
    assert "the latest 1 device, and more than 2 more: --most 10." in fleet.say("device", "list", "--most", "1")


def test_only_the_devices_of_a_ca_are_listed(fleet: Simulated) -> None:
    come_up(fleet, 1)
    assert names(listed(fleet, "--ca", "factory")) == ["sensor-0001"]
    assert names(listed(fleet, "--ca", "factory-2")) == []


def test_a_reason_is_for_held_devices(fleet: Simulated) -> None:
    assert "--reason is for held devices: say --held" in fleet.say("device", "list", "--reason", "NOT_LISTED", code=2)


def test_a_registry_without_the_index_says_what_to_do(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "OUTCOME_INDEX", "none")
    said = fleet.say("device", "list", "--account", DEV, code=1)
    assert "no index of outcomes yet: deploy this version's stack first" in said


@pytest.fixture
def held(fleet: Simulated) -> None:
    """Two held devices of the CA factory, in dev."""
    fleet.write(RULES + 'enrollment = "approve"\n')
    fleet.deploy()
    for number in (1, 2):
        fleet.knock(DEV, fleet.issue(f"sensor-{number:04}"), f"sensor-{number:04}")
        fleet.aws.clock.advance(60)


@pytest.mark.usefixtures("held")
def test_held_devices_that_are_not_shown_are_counted(fleet: Simulated) -> None:
    found = listed(fleet, "--most", "1")
    assert (len(found["devices"]), found["more"], found["all_counted"]) == (1, 1, True)


@pytest.mark.usefixtures("held")
def test_held_devices_of_other_cas_are_not_listed(fleet: Simulated) -> None:
    assert listed(fleet, "--ca", "factory-2")["devices"] == []
    assert listed(fleet, "--held", "--ca", "factory-2")["held"] == []
    assert names(listed(fleet, "--ca", "factory")) == ["sensor-0002", "sensor-0001"]
