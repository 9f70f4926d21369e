"""What acts between two calls of a refusal, of the sweep's repair, or of a retirement that was cut short."""

import pytest

from jitr.rules import EnrollmentRule
from jitr.store.outcomes import Outcomes
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OrderContext
from simulation import Authority, Call, Fault, Leaf, Moment
from tests.support.survival.promises import DAY, NAME, Promises
from tests.support.survival.renaming import Renaming, strike_first
from tests.support.survival.withdrawal_marks import come_half_way, is_bare, mark

A = Authority.new("Factory A")
ORDER = OrderContext(by="arn:aws:iam::111111111111:user/ann")


def rotated() -> tuple[Promises, Leaf, Leaf]:
    world = Promises({"factory": (A, {})})
    old, new = world.issue("factory", begins=-300, ends=30), world.issue("factory")
    assert world.come_up(old) == "ACTIVE"
    assert world.come_up(new) == "ACTIVE"
    world.clock.advance(3700)
    return world, old, new


def sweep_throttled_at(world: Promises, operation: str) -> None:
    def throttle(call: Call, moment: Moment) -> Fault | None:
        is_struck = (call.caller, call.operation, moment) == ("sweep", operation, "before")
        return Fault.THROTTLED if is_struck else None

    world.aws.fault = throttle
    world.deployment.sweep()
    world.aws.fault = None


def test_a_name_claimed_while_the_sweep_takes_back_stays_with_its_claim() -> None:
    world = Promises({"factory": (A, {"enrollment": EnrollmentRule.APPROVE})})
    leaf = world.issue("factory")
    world.come_up(leaf)
    mark(world, leaf)
    world.operator().approve(leaf.certificate_id, ORDER)
    world.clock.advance(3700)
    polled: list[bool] = []

    def act(call: Call, moment: Moment) -> None:
        is_look = call.operation == "GetItem" and f"thing#{NAME}" in repr(call.parameters)
        if call.caller == "sweep" and is_look and moment == "before" and not polled:
            polled.append(True)
            world.mapping.poll()

    world.aws.fault = act
    world.deployment.sweep()
    world.aws.fault = None
    assert polled
    assert world.status(leaf) == "ACTIVE"
    assert world.owner().certificate_id == leaf.certificate_id
    world.pass_days(2)
    assert world.is_whole(leaf)


def test_who_loses_a_name_that_it_lost_before_is_detached_again() -> None:
    world = Promises({"factory": (A, {})})
    old = world.issue("factory", begins=-300, ends=70)
    loser, winner = world.issue("factory"), world.issue("factory", begins=-0.9)
    assert world.come_up(old) == "ACTIVE"
    assert world.come_up(loser) == "PENDING_ACTIVATION"
    held_at = world.record(loser).decided_at
    world.clock.advance(12 * DAY)
    world.connect(loser)
    other = world.environment("other")
    polled: list[bool] = []

    def act(call: Call, moment: Moment) -> None:
        is_claim = call.operation == "TransactWriteItems" and loser.certificate_id in repr(call.parameters)
        if call.caller == "register" and is_claim and moment == "before" and not polled:
            polled.append(True)
            world.connect(winner)
            other.poll()

    world.aws.fault = act
    world.mapping.poll()
    world.aws.fault = None
    assert (polled, world.status(winner)) == ([True], "ACTIVE")
    assert world.record(loser).decided_at != held_at
    world.clock.advance(10)
    assert is_bare(world, loser)


def test_a_revocation_after_an_unfinished_retirement_is_recorded() -> None:
    world, old, new = rotated()
    sweep_throttled_at(world, "UpdateCertificate")
    for leaf in (new, old):
        world.set_status(leaf, "REVOKED")
    world.pass_days(3)
    for leaf in (new, old):
        world.delete(leaf)
    assert world.come_up(old) == "INACTIVE"


def test_a_retirement_that_register_recorded_is_still_carried_out() -> None:
    world, old, new = rotated()
    sweep_throttled_at(world, "DetachPolicy")
    world.clock.advance(600)
    world.replay(old)
    world.pass_days(2)
    assert is_bare(world, old)
    assert world.is_whole(new)
    said = [one.detail["id"] for one in world.account.events.put if one.detail["certificate_id"] == old.certificate_id]
    assert len(said) == len(set(said)) == 2
    assert not [key for (key,) in world.deployment.registry.items if key.startswith("retirement#")]


def test_a_policy_detached_on_purpose_stays_off_whatever_an_earlier_name_left() -> None:
    renaming = Renaming("hook")
    world, leaf = renaming.world, renaming.leaf
    world.connect(leaf)
    renaming.attempt(strike_first("AttachPolicy", "throttled"))
    world.mapping.drain(within=300)
    assert world.status(leaf) == "ACTIVE"
    world.clock.advance(3600)
    arn = world.certificate(leaf).arn
    world.admin.detach_policy(policyName="device", target=arn)
    world.pass_days(1)
    assert not world.account.iot.policies.of_target(arn)
    assert "Device Broken" in {event.detail_type for event in world.account.events.put}


@pytest.mark.parametrize("at", ["DescribeCertificate", "ListAttachedPolicies"])
def test_a_release_while_the_sweep_waits_for_turns_keeps_what_it_attaches(at: str) -> None:
    world = Promises({"factory": (A, {})})
    leaf = come_half_way(world)
    world.deploy(factory={"common_name": "other-[0-9]+"})
    world.replay(leaf)
    assert world.status(leaf) == "INACTIVE"
    world.deploy()
    mark(world, leaf)
    world.clock.advance(120)
    released: list[bool] = []

    def act(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("sweep", at, "after") and not released:
            released.append(True)
            release(world, leaf)
            world.replay(leaf)

    world.aws.fault = act
    world.deployment.sweep()
    world.aws.fault = None
    assert released
    assert (world.status(leaf), world.is_whole(leaf)) == ("ACTIVE", True)


def test_what_a_release_order_is_about_to_attach_is_not_detached() -> None:
    world = Promises({"factory": (A, {})})
    leaf = come_half_way(world)
    world.deploy(factory={"common_name": "other-[0-9]+"})
    world.replay(leaf)
    world.deploy()
    mark(world, leaf)
    release(world, leaf)
    world.clock.advance(120)
    began = len(world.aws.calls)
    world.deployment.sweep()
    assert not [call for call in world.aws.calls[began:] if call.operation.startswith("Detach")]
    world.mapping.drain(within=3600)
    assert (world.status(leaf), world.is_whole(leaf)) == ("ACTIVE", True)


def release(world: Promises, leaf: Leaf) -> None:
    """What `jitrctl device release --rejected-for` writes."""
    client = world.account.client("dynamodb", caller="operator")
    order = OperatorVerdict(action=OperatorAction.RELEASED, by=ORDER.by, at=world.clock.now(), note="wrong pattern")
    outcomes = Outcomes(client, world.deployment.settings.registry_table)
    assert outcomes.order_release(leaf.certificate_id, order, seen=world.record(leaf))
