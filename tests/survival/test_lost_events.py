"""Devices whose event was lost are found by the sweep: by its index, or by its daily pass over all certificates."""

import json
from dataclasses import replace
from typing import Any

import pytest

from jitr.errors import Reason
from jitr.events import NO_CA_CERTIFICATE
from jitr.iot_models import Status
from jitr.rules import EnrollmentRule
from jitr.store.registry_items import certificate_key
from jitr.telemetry import NOT_PERMITTED
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OrderContext
from simulation import Authority, Call, Leaf, Moment
from simulation.deployment import ca_rules, rules
from tests.support.survival.outages import (
    HOUR,
    Outage,
    check_activated,
    pass_time,
    quiet_world,
    refuse,
    register_long_ago,
)
from tests.support.survival.scenario_world import DAY, World, authority
from tests.support.survival.survived import lost

ORDER = OrderContext(by="arn:aws:iam::111111111111:user/operator")


def item(world: World, leaf: Leaf | None = None) -> Any:
    return world.deployment.registry.items.get((certificate_key((leaf or world.leaf).certificate_id),), {})


@pytest.mark.parametrize("days", [0, 8])
def test_a_released_device_whose_event_was_lost_is_sent_by_the_index(days: int) -> None:
    world = quiet_world(common_name="other-[0-9]+")
    world.connect()
    world.mapping.drain()
    world.operator.release(world.leaf.certificate_id, ORDER)
    world.deploy(common_name="sensor-[0-9]+")
    register_long_ago(world, days=days)
    world.deployment.sweep()
    world.mapping.drain()
    check_activated(world)
    world.aws.clock.advance(2 * HOUR)
    world.deployment.sweep()
    assert "due" not in item(world)


def test_a_device_approved_before_it_came_is_not_due_until_it_is_there() -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.operator.approve(world.leaf.certificate_id, ORDER)
    described = 0

    def count(call: Call, moment: Moment) -> None:
        nonlocal described
        described += (call.caller, call.operation, moment) == ("sweep", "DescribeCertificate", "before")

    world.aws.fault = count
    pass_time(world, 5 * HOUR)
    assert described == 1
    register_long_ago(world)
    pass_time(world, DAY)
    check_activated(world)


@pytest.mark.parametrize("kept", ["decision", "schema 99"])
def test_a_due_record_without_a_readable_decision_is_sent(kept: str) -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    world.operator.approve(world.leaf.certificate_id, ORDER)
    if kept == "decision":
        del item(world)["decision"]
    else:
        item(world)["decision"]["M"]["outcome"] = {"S": "something of a later version"}
    world.deployment.sweep()
    world.mapping.drain()
    check_activated(world)


def test_a_held_device_without_a_ca_id_stays_due_and_is_sent_with_the_placeholder() -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    del item(world)["decision"]["M"]["ca_certificate_id"]
    world.aws.clock.advance(HOUR)
    world.deployment.sweep()
    (message,) = world.deployment.registrations.messages
    assert json.loads(str(message.body))["caCertificateId"] == NO_CA_CERTIFICATE
    world.mapping.drain()
    assert world.deployment.journal.metrics["Contradictions"] == 0
    assert item(world)["due"] == {"S": "look"}
    assert lost(world.account, world.deployment) == []


def test_a_device_of_an_unknown_ca_stays_due_and_comes_up_once_its_ca_is_in_the_rules() -> None:
    world = quiet_world()
    other = Authority.new("Other CA")
    world.connect()
    whole = world.deployment.rules
    world.deployment.rules = rules(ca_rules(other, name="other"))
    world.mapping = world.deployment.mapping()
    # The role may describe the fleet's CAs alone.
    world.aws.fault = Outage(lambda call: call.operation == "DescribeCACertificate", refuse)
    pass_time(world, 3 * DAY)
    world.aws.fault = None
    assert world.deployment.journal.metrics[NOT_PERMITTED] == 0
    decision = world.decision()
    assert decision
    assert decision.reason is Reason.CA_UNKNOWN
    assert item(world)["due"] == {"S": "look"}
    world.deployment.rules = whole
    world.mapping = world.deployment.mapping()
    pass_time(world, 2 * HOUR)
    check_activated(world)


def test_the_daily_pass_sends_nothing_while_the_queue_is_behind_and_repeats_itself() -> None:
    world = quiet_world()
    register_long_ago(world)
    busy = world.deployment.registrations.send("{}")
    world.aws.clock.advance(HOUR + 1)
    swept = world.deployment.sweep()
    assert (swept.queue_is_behind, swept.sent) == (True, 0)
    world.deployment.registrations.receive()
    world.deployment.registrations.delete(busy.receipt_handle)
    world.aws.clock.advance(HOUR)
    assert world.deployment.sweep().sent == 1
    world.mapping.drain()
    check_activated(world)


def test_the_daily_pass_sends_within_the_allowance_and_nothing_twice_within_the_hour() -> None:
    world = quiet_world()
    world.deployment.rules = replace(world.deployment.rules, every=4)  # half of ten a second for four seconds
    leaves = [world.issue(f"sensor-{number:04}") for number in range(2, 52)]
    for leaf in leaves:
        register_long_ago(world, leaf, days=0)
    world.aws.clock.advance(8 * DAY)
    sent = [world.deployment.sweep().sent for _ in range(4)]
    assert sent == [20, 20, 10, 0]
    ids = [json.loads(str(one.body))["certificateId"] for one in world.deployment.registrations.messages]
    assert len(ids) == len(set(ids)) == 50
    pass_time(world, HOUR)
    assert {world.status(leaf) for leaf in leaves} == {"ACTIVE"}


def test_what_was_dropped_from_the_index_is_found_by_the_daily_pass() -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    device = world.leaf.certificate_id
    world.registry().clear_evaluation(device, world.registry().recall([device])[device])
    world.deploy(enrollment=EnrollmentRule.OPEN)
    sent = []
    for _ in range(4):
        sent.append(world.deployment.sweep().sent)
        world.mapping.drain()
        world.aws.clock.advance(DAY)
    assert sent == [0, 0, 1, 0]  # its look was due after five minutes, so it is a day overdue at the third
    check_activated(world)


def test_a_certificate_that_an_operator_denied_is_not_sent() -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    verdict = OperatorVerdict(action=OperatorAction.DENIED, by=ORDER.by, at=world.aws.clock.now())
    world.registry().give_verdict(world.leaf.certificate_id, verdict, seen=None)
    world.aws.clock.advance(9 * DAY)
    assert world.deployment.sweep().sent == 0
    assert world.status() == Status.PENDING_ACTIVATION


def test_the_invariant_sees_what_is_lost() -> None:
    world = quiet_world(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    assert lost(world.account, world.deployment) == []
    del item(world)["due"]
    assert "nothing is due" in lost(world.account, world.deployment)[0]
    world.deployment.dead_letters.send("x")
    assert "without a reason" in lost(world.account, world.deployment)[0]
    world.connect()
    world.deployment.registrations.messages[0].receives = 1000
    assert "received 1000 times" in lost(world.account, world.deployment)[1]


def test_what_no_ca_of_the_rules_lists_is_lost() -> None:
    world = quiet_world()
    register_long_ago(world, days=0)
    assert lost(world.account, world.deployment) == []
    del world.account.iot.cas.by_id[authority().certificate_id]
    assert "no sweep finds it" in lost(world.account, world.deployment)[0]
