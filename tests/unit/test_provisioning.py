"""Plans: everything an ACTIVE certificate needs is there before it is ACTIVE."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import get_args

import pytest

from jitr.iot_models import Status
from jitr.provisioning import (
    OWNER_ATTRIBUTE,
    AddThingToBillingGroup,
    AddThingToThingGroup,
    AttachPolicy,
    AttachThingPrincipal,
    Claim,
    CreateThing,
    DetachPolicy,
    DetachThingPrincipal,
    IotStep,
    SetStatus,
    Step,
    UpdateThing,
    WriteFirstShadow,
    plan,
    plan_rejection,
    plan_retirement,
    plan_withdrawal,
)
from jitr.rules import OnReject
from tests.support.cases.issuing import applying

DEVICE = applying().device
IDENTITY = applying().admit()
GROUPS = [(), ("a",), ("a", "b", "c")]


def steps_with(groups: tuple[str, ...]) -> tuple[Step, ...]:
    return plan(replace(IDENTITY, thing_groups=groups), DEVICE)


@pytest.mark.parametrize("groups", GROUPS, ids=len)
def test_active_is_the_last_step_and_only_groups_stand_between_it_and_the_claim(groups: tuple[str, ...]) -> None:
    *before, last = steps_with(groups)
    assert last == SetStatus(certificate_id=DEVICE.certificate_id, status=Status.ACTIVE)
    at = before.index(Claim(thing_name="sensor-0001"))
    assert not any(isinstance(step, SetStatus | Claim | AddThingToThingGroup) for step in before[:at])
    assert [type(step) for step in before[at + 1 :]] == [AddThingToThingGroup] * len(groups)


@pytest.mark.parametrize("groups", GROUPS, ids=len)
def test_thing_policy_and_principal_come_before_active(groups: tuple[str, ...]) -> None:
    kinds = [type(step) for step in steps_with(groups)]
    for needed in (CreateThing, AttachThingPrincipal, AttachPolicy):
        assert kinds.count(needed) == 1
        assert kinds.index(needed) < kinds.index(SetStatus)


def test_the_thing_is_made_before_anything_is_attached_to_it() -> None:
    assert isinstance(steps_with(("a",))[0], CreateThing)


@pytest.mark.parametrize("groups", GROUPS, ids=len)
def test_a_device_takes_four_calls_after_its_describe_and_one_for_each_group(groups: tuple[str, ...]) -> None:
    calls = [step for step in steps_with(groups) if isinstance(step, IotStep)]
    assert len(calls) == 4 + len(groups)
    assert [step.thing_group for step in calls if isinstance(step, AddThingToThingGroup)] == list(groups)


def test_every_step_speaks_of_this_device_alone() -> None:
    assert steps_with(("factory-1",)) == (
        CreateThing(
            thing_name="sensor-0001",
            thing_type="sensor",
            attributes={"model": "Mark-2", OWNER_ATTRIBUTE: DEVICE.certificate_id},
            certificate_arn=DEVICE.arn,
            ca_certificate_id=DEVICE.ca_certificate_id,
        ),
        AttachThingPrincipal(thing_name="sensor-0001", certificate_arn=DEVICE.arn),
        AttachPolicy(policy="jitr-acme-factory", certificate_arn=DEVICE.arn),
        Claim(thing_name="sensor-0001"),
        AddThingToThingGroup(thing_name="sensor-0001", thing_group="factory-1"),
        SetStatus(certificate_id=DEVICE.certificate_id, status=Status.ACTIVE),
    )


def test_our_attribute_cannot_be_the_certificates() -> None:
    create, *_ = plan(replace(IDENTITY, attributes={OWNER_ATTRIBUTE: "mine"}), DEVICE)
    assert isinstance(create, CreateThing)
    assert create.attributes == {OWNER_ATTRIBUTE: DEVICE.certificate_id}


def test_the_same_question_has_the_same_plan() -> None:
    assert steps_with(("a", "b")) == steps_with(("a", "b"))


@pytest.mark.parametrize(
    ("on_reject", "status"),
    [(OnReject.DEACTIVATE, Status.INACTIVE), (OnReject.REVOKE, Status.REVOKED)],
)
def test_a_rejection_sets_the_status_that_the_rules_say(on_reject: OnReject, status: Status) -> None:
    assert plan_rejection(on_reject, DEVICE) == (SetStatus(certificate_id=DEVICE.certificate_id, status=status),)


def test_a_rejection_can_leave_the_certificate_alone() -> None:
    assert plan_rejection(OnReject.LEAVE, DEVICE) == ()


@pytest.mark.parametrize("on_reject", OnReject)
def test_no_rejection_activates(on_reject: OnReject) -> None:
    assert all(step.status is not Status.ACTIVE for step in plan_rejection(on_reject, DEVICE))


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_plan_says_whether_the_thing_is_this_devices_to_bring_in_line(*, is_ours: bool) -> None:
    create, *_ = plan(IDENTITY, DEVICE, is_ours=is_ours)
    assert isinstance(create, CreateThing)
    assert create.is_ours is is_ours


def test_two_certificates_never_agree_on_a_things_attributes() -> None:
    (mine, *_), (other, *_) = (plan(IDENTITY, device) for device in (DEVICE, applying().device))
    assert isinstance(mine, CreateThing)
    assert isinstance(other, CreateThing)
    assert mine.attributes != other.attributes


DETACH_POLICY = DetachPolicy(policy="jitr-acme-factory", certificate_arn=DEVICE.arn)
DETACH_THING = DetachThingPrincipal(thing_name="sensor-0001", certificate_arn=DEVICE.arn)
DEACTIVATE = SetStatus(certificate_id=DEVICE.certificate_id, status=Status.INACTIVE)


def test_a_replaced_certificate_is_inactive_before_its_policy_is_taken_away() -> None:
    device = replace(DEVICE, status=Status.ACTIVE)
    assert plan_retirement("sensor-0001", "jitr-acme-factory", device) == (DEACTIVATE, DETACH_POLICY, DETACH_THING)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ACTIVE])
def test_a_replaced_certificate_that_is_not_active_keeps_its_status(status: Status) -> None:
    device = replace(DEVICE, status=status)
    assert plan_retirement("sensor-0001", "jitr-acme-factory", device) == (DETACH_POLICY, DETACH_THING)


def test_a_replaced_certificate_of_a_ca_that_is_gone_from_the_rules_is_deactivated_all_the_same() -> None:
    device = replace(DEVICE, status=Status.ACTIVE)
    assert plan_retirement("sensor-0001", None, device) == (DEACTIVATE, DETACH_THING)


def test_a_withdrawal_takes_back_what_was_attached_and_sets_no_status() -> None:
    assert plan_withdrawal(IDENTITY.policy, [IDENTITY.thing_name], DEVICE) == (DETACH_POLICY, DETACH_THING)


def test_the_billing_group_is_the_things_and_the_shadow_follows_the_claim() -> None:
    identity = replace(IDENTITY, billing_group="costs", shadow='{"state":{}}')
    create, *_ = steps = plan(identity, DEVICE)
    shadow = WriteFirstShadow(thing_name="sensor-0001", document='{"state":{}}')
    assert isinstance(create, CreateThing)
    assert create.billing_group == "costs"
    assert steps.index(Claim(thing_name="sensor-0001")) < steps.index(shadow) < len(steps) - 1
    assert len(steps) == len(plan(IDENTITY, DEVICE)) + 1


# Two steps that no plan holds: they are taken where a thing exists and differs.
UPDATE = UpdateThing(thing_name="sensor-0001", thing_type=None, attributes={})
JOIN = AddThingToBillingGroup(thing_name="sensor-0001", billing_group="costs")
SHADOWED = plan(replace(IDENTITY, shadow="{}"), DEVICE)
EVERY_KIND = (*SHADOWED, UPDATE, JOIN, *plan_withdrawal(IDENTITY.policy, [IDENTITY.thing_name], DEVICE))


@pytest.mark.parametrize("step", EVERY_KIND, ids=lambda step: type(step).__name__)
def test_steps_are_frozen(step: Step) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(step, fields(step)[0].name, "other")


def test_every_kind_of_step_is_taken() -> None:
    assert {type(step) for step in EVERY_KIND} == set(get_args(Step))
