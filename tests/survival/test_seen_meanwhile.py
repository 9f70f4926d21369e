"""What acts between two calls of a refusal, of the sweep's repair, or of a retirement that was cut short."""

from jitr.rules import EnrollmentRule
from jitrctl.device.operations import OrderContext
from simulation import Authority, Call, Fault, Leaf, Moment
from tests.support.survival.promises import DAY, NAME, Promises
from tests.support.survival.renaming import Renaming, strike_first
from tests.support.survival.withdrawal_marks import is_bare, mark

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
