"""Devices that are held: listed, and meant by the thing name that they ask for, though there is no thing yet."""

from pathlib import Path

import pytest

from jitr.verdicts import OperatorAction
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

NAME = "sensor-0001"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch, RULES + 'enrollment = "approve"\n')


@pytest.fixture
def held(fleet: Simulated) -> Leaf:
    leaf = fleet.issue(NAME)
    assert fleet.knock(DEV, leaf, NAME) == "refused"
    return leaf


def test_held_devices_are_listed_with_why_as_what_and_until_when_and_nothing_is_scanned(
    fleet: Simulated, held: Leaf
) -> None:
    let_in = fleet.issue("sensor-0002")
    fleet.say("device", "approve", let_in.certificate_id)
    assert fleet.knock(DEV, let_in, "sensor-0002") == "accepted"
    fleet.aws.calls.clear()

    said = fleet.ask("device", "list", "--held")

    (one,) = said[DEV]["held"]
    assert (one["certificate_id"], one["thing_name"], one["reason"]) == (
        held.certificate_id,
        NAME,
        "AWAITING_APPROVAL",
    )
    assert one["next_look"] > one["looked_at"] >= one["waits_since"]
    assert said[PROD]["held"] == []
    assert set(fleet.aws.list_operations(caller="jitrctl", service="dynamodb")) == {"Query", "BatchGetItem"}
    assert fleet.ask("device", "list", "--held", "--reason", "awaiting_approval")[DEV]["held"] == [one]
    assert "next evaluation" in fleet.say("device", "list", "--held")
    assert fleet.ask("device", "list", "--held", "--ca", "factory")[DEV]["held"] == [one]
    assert fleet.ask("device", "list", "--held", "--ca", "factory-2")[DEV]["held"] == []
    assert "no device is held for EXPIRED" in fleet.say("device", "list", "--held", "--reason", "EXPIRED")


def test_a_held_device_is_shown_approved_and_let_in_by_the_name_it_asks_for(fleet: Simulated, held: Leaf) -> None:
    assert held.certificate_id in fleet.say("device", "show", NAME)
    fleet.say("device", "approve", NAME, "--note", "order 4711")
    fleet.sweep(DEV)
    assert fleet.status(DEV, held) == "ACTIVE"


def test_a_held_device_is_denied_by_the_name_it_asks_for(fleet: Simulated, held: Leaf) -> None:
    fleet.say("device", "deny", NAME, "--yes")
    assert fleet.status(DEV, held) == "INACTIVE"
    verdict = fleet.verdict(DEV, held)
    assert verdict
    assert verdict.action is OperatorAction.DENIED


def test_of_two_that_ask_for_one_name_the_operator_says_which(fleet: Simulated, held: Leaf) -> None:
    second = fleet.issue(NAME)
    fleet.knock(PROD, second, NAME)
    said = fleet.say("device", "approve", NAME, code=1)
    assert f"say which: {', '.join(sorted([held.certificate_id, second.certificate_id]))}" in said


def test_an_approval_by_name_means_the_one_that_waits_and_a_removal_never_does(fleet: Simulated, held: Leaf) -> None:
    fleet.aws.clock.advance(60)
    fleet.say("device", "approve", NAME)
    assert fleet.knock(DEV, held, NAME) == "accepted"
    clone = fleet.issue(NAME)
    fleet.knock(DEV, clone, NAME)
    assert fleet.status(DEV, clone) == "PENDING_ACTIVATION"
    assert clone.certificate_id in fleet.say("device", "show", NAME)
    said = fleet.say("device", "remove", NAME, code=2)
    assert held.certificate_id in said
    assert clone.certificate_id not in said
    fleet.say("device", "approve", NAME)
    assert fleet.verdict(DEV, clone)


def test_an_approval_of_what_was_refused_and_left_pending_is_looked_at_by_the_sweep(fleet: Simulated) -> None:
    rules = RULES.replace("sensor-", "other-")
    fleet.write(rules + 'enrollment = "approve"\non_reject = "leave"\n')
    fleet.deploy()
    leaf = fleet.issue(NAME)
    fleet.knock(DEV, leaf, NAME)
    before = fleet.record(DEV, leaf).decision
    assert before
    assert (before.outcome, before.status) == ("rejected", "PENDING_ACTIVATION")
    fleet.deployments[DEV].mapping().drain()
    fleet.write(RULES + 'enrollment = "approve"\non_reject = "leave"\n')
    fleet.deploy()
    fleet.deployments[DEV].mapping().drain()  # the event of its last knock: from now on it is silent
    assert fleet.status(DEV, leaf) == "PENDING_ACTIVATION"
    fleet.aws.clock.advance(60)
    fleet.say("device", "approve", leaf.certificate_id)
    fleet.sweep(DEV)
    assert fleet.status(DEV, leaf) == "ACTIVE"
