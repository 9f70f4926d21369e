"""`jitrctl ca adopt --take-over | --undo`: from JITP to JITR and back, and what becomes of the devices."""

import json
from pathlib import Path

import pytest

from jitr.errors import Reason
from jitrctl.audit import log
from jitrctl.clock import now
from jitrctl.jitp import take_over as orders
from jitrctl.jitp.kept_template import KeptTemplates
from simulation.faults import Call, Fault, Moment
from tests.support.cli.jitp_fleet import ROLE, RULE, JitpFleet, template
from tests.support.cli.orders import announced_orders, deny_calls, strike
from tests.support.cli.simulated import DEV
from tests.support.cli.taking_over import (
    ON,
    TAKE,
    UNDO,
    held_fleet,
)


@pytest.fixture
def jitp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    return held_fleet(tmp_path, monkeypatch)


def test_devices_are_jitps_before_and_jitrs_after_and_none_loses_its_session(jitp: JitpFleet) -> None:
    first = jitp.connect("pump-1")
    assert jitp.accepts("pump-1", first)
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV)
    assert "the template is off CA factory, and jitr decides on its devices" in said
    assert "take jitp = true in ca.factory of [account.dev] out, and deploy" in said
    assert jitp.state() == (None, "ENABLE", True)
    assert jitp.accepts("pump-1", first)
    second = jitp.connect("pump-2")
    assert jitp.accepts("pump-2", second)
    policies = jitp.fleet.place(DEV).iot.policies
    arn = jitp.fleet.place(DEV).iot.certificates.arn(second.certificate_id)
    assert [one.name for one in policies.of_target(arn)] == ["jitr-acme--factory"]


@pytest.mark.parametrize("ends_registration", [False, True])
def test_the_gap_is_measured_whatever_aws_does_with_auto_registration(
    jitp: JitpFleet, *, ends_registration: bool
) -> None:
    jitp.fleet.aws.undocumented.removal_ends_registration = ends_registration
    took = 3.0

    def late(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "before":
            jitp.fleet.aws.clock.advance(took)

    with strike(jitp.fleet, late):
        told = jitp.adopt(*TAKE)
    assert told["gap_seconds"] >= took
    assert (told["without_registration_seconds"] is not None) is ends_registration
    assert jitp.state() == (None, "ENABLE", True)


def test_a_device_that_came_while_neither_was_on_comes_up_by_the_sweep(jitp: JitpFleet) -> None:
    leaf = jitp.fleet.issue("pump-7")

    def come(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "before":
            jitp.fleet.place(DEV).connect(leaf, client_id="pump-7")

    with strike(jitp.fleet, come):
        jitp.adopt(*TAKE)
    assert jitp.fleet.status(DEV, leaf) == "PENDING_ACTIVATION"
    jitp.fleet.sweep(DEV, after=3600)
    assert jitp.fleet.status(DEV, leaf) == "ACTIVE"


def test_a_template_that_aws_keeps_is_a_refusal_and_jitp_goes_on(jitp: JitpFleet) -> None:
    undocumented = jitp.fleet.aws.undocumented
    undocumented.removal_takes_template, undocumented.removal_ends_registration = False, True
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "AWS IoT has kept the template on CA factory, so JITP goes on; auto-registration is on, as before" in said
    assert jitp.state() == (ON, "ENABLE", False)
    assert jitp.accepts("pump-1", jitp.connect("pump-1"))


def test_undo_puts_the_very_template_back_and_devices_keep_what_they_have(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    second = jitp.connect("pump-2")
    told = jitp.adopt(*UNDO)
    assert told["kept"]["config"] == ON
    assert jitp.state() == (ON, "ENABLE", False)
    assert jitp.accepts("pump-2", second)
    third = jitp.connect("pump-3")
    assert jitp.accepts("pump-3", third)
    assert jitp.adopt(*UNDO)["steps"] == []


def test_a_template_by_name_is_put_back_by_name(jitp: JitpFleet) -> None:
    jitp.iot.create_provisioning_template(
        templateName="pumps", templateBody=template(), provisioningRoleArn=ROLE, enabled=True, type="JITP"
    )
    jitp.put(templateName="pumps")
    told = jitp.adopt(*TAKE)
    assert (told["kept"]["config"], json.loads(told["kept"]["body"])) == (
        {"templateName": "pumps"},
        json.loads(template()),
    )
    jitp.adopt(*UNDO)
    assert jitp.state() == ({"templateName": "pumps"}, "ENABLE", False)


def test_both_orders_are_kept_and_announced_and_nothing_is_said_to_do_twice(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE, "--note", "last line of JITP")
    assert jitp.adopt(*TAKE)["steps"] == []
    jitp.adopt(*UNDO)
    orders = [one["order"] for one in announced_orders(jitp.fleet)]
    assert orders == ["ca adopt --take-over", "ca adopt --undo"]
    kept = log.read_all(jitp.fleet.stage(DEV), jitp.ca.certificate_id)
    assert [(one.order, one.completed, one.note) for one in kept] == [
        ("ca adopt --take-over", True, "last line of JITP"),
        ("ca adopt --undo", True, ""),
    ]


def test_without_yes_nothing_is_changed(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert "take the provisioning template off the CA" in said
    assert jitp.state() == (ON, "ENABLE", False)


def test_the_question_says_how_many_devices_jitr_would_make_otherwise(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert "1 of 1 devices would be made in another way" in said


def test_a_second_template_that_is_taken_off_does_not_lose_the_first(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    other = {"templateBody": template(Mappings={}), "roleArn": ROLE}
    jitp.iot.disable_topic_rule(ruleName=RULE)
    jitp.put(**other)
    jitp.adopt(*TAKE)
    stage = jitp.fleet.stage(DEV)
    kept = KeptTemplates(stage.dynamodb, stage.names.registry_table, jitp.ca.certificate_id, "ann", now).read()
    assert kept is not None
    assert (dict(kept.config), [dict(one) for one in kept.earlier]) == (other, [ON])


def test_the_sweep_that_the_order_starts_brings_in_who_was_held_under_the_template(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until JITP has ended what it began: before, the sweep leaves the CA's devices out."""
    types = jitp.fleet.place(DEV).iot.things.types
    types.remove("pump")
    leaf = jitp.connect("pump-1")
    types.add("pump")
    jitp.fleet.sweep(DEV, after=1000)
    decision = jitp.fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is Reason.CA_HAS_TEMPLATE
    shown = jitp.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "evaluated again once no provisioning template is on its CA" in shown
    assert "evaluated again at" not in shown

    def start_sweep(_: object) -> bool:
        jitp.fleet.sweep(DEV)
        return True

    monkeypatch.setattr(orders, "start_sweep", start_sweep)
    jitp.adopt(*TAKE)

    assert jitp.accepts("pump-1", leaf)


def test_a_device_that_jitp_left_half_made_is_held_until_its_registration_is_released(jitp: JitpFleet) -> None:
    """Its thing and the first of two policies are attached; the second one does not exist."""
    body = json.loads(template())
    body["Resources"]["second"] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "missing"}}
    jitp.put(templateBody=json.dumps(body), roleArn=ROLE)
    leaf = jitp.connect("pump-8")
    jitp.adopt(*TAKE)
    for _ in range(2):
        jitp.fleet.sweep(DEV, after=1200)
        decision = jitp.fleet.record(DEV, leaf).decision
        assert decision
        assert decision.reason is Reason.REQUEST_REFUSED
        assert "NON_EXCLUSIVE_THING" in str(decision.detail)
    shown = jitp.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "REQUEST_REFUSED" in shown
    jitp.fleet.say("device", "release", leaf.certificate_id, "--account", DEV, "--yes")
    assert jitp.accepts("pump-8", jitp.connect("pump-8", leaf))
    arn = jitp.fleet.place(DEV).iot.certificates.arn(leaf.certificate_id)
    assert [one.name for one in jitp.fleet.place(DEV).iot.policies.of_target(arn)] == ["jitr-acme--factory"]


def test_the_role_that_undo_hands_back_is_named_before_the_question(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert f"it is kept for --undo, which needs iam:PassRole on {ROLE}" in said


@pytest.mark.parametrize("call", ["iot:GetPolicy", "iot:ListCertificatesByCA", "iot:ListAttachedPolicies"])
def test_a_take_over_whose_sample_may_not_be_read_says_so_and_goes_on(jitp: JitpFleet, call: str) -> None:
    jitp.connect("pump-1")
    with strike(jitp.fleet, deny_calls(call)):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV)
    assert f"No device was compared: {call} is not allowed" in said
    assert jitp.state() == (None, "ENABLE", True)


def test_a_take_over_whose_sample_fails_says_so_in_json_and_goes_on(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    with strike(jitp.fleet, lambda call, _: Fault.SERVER_ERROR if call.name == "iot:ListAttachedPolicies" else None):
        assert jitp.adopt(*TAKE)["order"] == "ca adopt --take-over"


def test_a_template_with_half_of_a_surrogate_pair_is_taken_off(jitp: JitpFleet) -> None:
    jitp.put(templateBody=template(thing={"ThingName": "x", "ThingTypeName": "\ud800"}), roleArn=ROLE)
    jitp.adopt(*TAKE)
    assert jitp.state() == (None, "ENABLE", True)


def test_what_comes_next_does_not_order_a_deployment_that_was_made(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--account", DEV)
    assert "Next: once the stack is deployed with jitp = true, `jitrctl ca adopt factory --account dev" in said
