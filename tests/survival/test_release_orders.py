"""A rejection of ours is taken back by a release order, in virtual time; anything else that is INACTIVE stays so."""

from datetime import timedelta

import pytest

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.record import Record
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import OrderContext
from simulation import Call, Leaf, Moment
from tests.support.survival.crowd import MENDED, WRONG, Crowd
from tests.support.survival.scenario_world import DAY, authority
from tests.support.survival.scenarios import OPERATOR

CA = authority().certificate_id


def rejected_under_wrong_rules(number: int = 3) -> tuple[Crowd, list[Leaf]]:
    """Devices that a wrong pattern rejected, and the pattern mended."""
    world = Crowd(**WRONG)
    world.aws.fault = world.watch
    devices = world.come("sensor", number)
    assert len(world.of("INACTIVE", devices)) == number
    world.deploy(**MENDED)
    world.promises.deployment = world.deployment
    return world, devices


def record_of(world: Crowd, leaf: Leaf) -> Record:
    return world.registry().recall([leaf.certificate_id])[leaf.certificate_id]


def decision_of(world: Crowd, leaf: Leaf) -> Decision:
    decision = world.decision(leaf)
    assert decision
    return decision


def due_of(world: Crowd, leaf: Leaf) -> str | None:
    item = world.deployment.registry.items[(f"certificate#{leaf.certificate_id}",)]
    return item.get("due", {}).get("S")


def test_a_wrong_rule_costs_sixty_devices_nothing_but_time() -> None:
    world = Crowd(**WRONG)
    world.aws.fault = world.watch
    devices = world.come("sensor", 60)
    rejected, held = world.of("INACTIVE", devices), world.of("PENDING_ACTIVATION", devices)
    assert (len(rejected), len(held)) == (20, 40)
    taken, *others = rejected
    world.operator.take_away(taken.certificate_id, OperatorAction.DEACTIVATED, OrderContext(by=OPERATOR))
    world.deploy(**MENDED)
    world.sweep_and_decide(3)
    assert len(world.of("ACTIVE", held)) == 40
    assert world.of("ACTIVE", rejected) == []
    listed = set(world.outcomes.list_decided(Outcome.REJECTED, CA, since=world.aws.clock.now() - timedelta(days=1)))
    assert listed == {leaf.certificate_id for leaf in rejected}
    assert all(world.order_release(leaf) for leaf in others)
    calls = len(world.aws.calls)
    world.sweep_and_decide(2)
    assert len(world.of("ACTIVE", others)) == 19
    assert all(world.is_provisioned(leaf) for leaf in others)
    assert world.status(taken) == "INACTIVE"
    operations = [call.operation for call in world.aws.calls[calls:]]
    assert "DeleteCertificate" not in operations
    assert operations.count("UpdateCertificate") == 19
    world.check_promises()
    assert list(world.outcomes.list_decided(Outcome.REJECTED, CA, since=world.aws.clock.now() - timedelta(days=1))) == [
        taken.certificate_id
    ]


def test_a_released_device_is_activated_once_without_connecting_and_nothing_is_due() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    order = world.order_release(leaf)
    assert order
    world.sweep_and_decide()
    decision = decision_of(world, leaf)
    assert (decision.outcome, decision.release) == (Outcome.ACTIVATED, order.number)
    assert world.connect(leaf) == "accepted"
    assert due_of(world, leaf) is None
    world.check_promises()


def test_the_functions_leave_an_inactive_certificate_without_an_order_alone() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    world.sweep_and_decide(2)
    assert world.status(leaf) == "INACTIVE"


@pytest.mark.parametrize("hand", ["INACTIVE", "ACTIVE and INACTIVE"])
def test_an_order_ends_where_somebody_set_the_status_after_the_rejection(hand: str) -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    world.aws.clock.advance(60)
    console = world.account.client("iot", caller="console")
    for status in hand.split(" and "):
        console.update_certificate(certificateId=leaf.certificate_id, newStatus=status)
    assert world.order_release(leaf)
    world.sweep_and_decide(2)
    assert world.status(leaf) == "INACTIVE"
    assert (decision_of(world, leaf).outcome, due_of(world, leaf)) == (Outcome.FOUND, None)
    assert record_of(world, leaf).was_revoked_or_deactivated


@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
@pytest.mark.parametrize("is_sent", [False, True], ids=["before the sweep", "after the sweep"])
def test_a_verdict_that_comes_after_the_order_stands(word: OperatorAction, *, is_sent: bool) -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    assert world.order_release(leaf)
    if is_sent:
        world.deployment.sweep()
    world.operator.take_away(leaf.certificate_id, word, OrderContext(by=OPERATOR))
    world.sweep_and_decide(2)
    assert world.status(leaf) == ("REVOKED" if word is OperatorAction.REVOKED else "INACTIVE")
    assert world.order_release(leaf) is None
    world.check_promises()


def test_an_order_is_not_written_over_a_verdict_or_decision_that_came_meanwhile() -> None:
    world, (leaf, other, _) = rejected_under_wrong_rules()
    seen = record_of(world, leaf)
    world.operator.take_away(leaf.certificate_id, OperatorAction.DEACTIVATED, OrderContext(by=OPERATOR))
    order = world.order_release(other)
    assert order
    assert world.outcomes.order_release(leaf.certificate_id, order, seen=seen) is None


def test_a_registration_that_came_back_is_evaluated_as_any_other_and_the_order_is_spent() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    assert world.order_release(leaf)
    world.admin.delete_certificate(certificateId=leaf.certificate_id)
    world.sweep_and_decide()
    assert world.connect(leaf) == "refused"
    world.mapping.drain(within=DAY)
    assert decision_of(world, leaf).release is None
    world.sweep_and_decide()
    assert (world.status(leaf), due_of(world, leaf)) == ("ACTIVE", None)


def test_an_order_on_a_certificate_that_was_deleted_ends() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    assert world.order_release(leaf)
    world.admin.delete_certificate(certificateId=leaf.certificate_id)
    world.sweep_and_decide(2)
    assert due_of(world, leaf) is None


def test_what_the_rules_still_refuse_stays_inactive_and_is_neither_counted_nor_held() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    world.deploy(common_name="badger-[0-9]+")
    assert world.order_release(leaf)
    world.sweep_and_decide(2)
    decision = decision_of(world, leaf)
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.COMMON_NAME_REFUSED)
    assert (world.status(leaf), due_of(world, leaf)) == ("INACTIVE", None)
    refused = sum(one.last_hour(world.aws.clock.now()).refused for one in world.brake.counters.values())
    assert refused == 3
    assert world.order_release(leaf)  # another order, on the new rejection


def test_a_released_device_waits_inactive_for_a_curable_reason_and_then_comes_up() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    assert world.order_release(leaf)
    ca = world.account.client("iot", caller="admin")
    ca.update_ca_certificate(certificateId=CA, newStatus="INACTIVE")
    world.sweep_and_decide()
    decision = decision_of(world, leaf)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_INACTIVE)
    assert (world.status(leaf), due_of(world, leaf)) == ("INACTIVE", "look")
    ca.update_ca_certificate(certificateId=CA, newStatus="ACTIVE")
    world.aws.clock.advance(3700)
    world.sweep_and_decide(2)
    assert world.status(leaf) == "ACTIVE"
    world.check_promises()


def test_a_device_that_waits_under_an_order_stays_out_once_an_operator_says_so() -> None:
    world, (leaf, *_) = rejected_under_wrong_rules()
    assert world.order_release(leaf)
    ca = world.account.client("iot", caller="admin")
    ca.update_ca_certificate(certificateId=CA, newStatus="INACTIVE")
    world.sweep_and_decide()
    world.operator.take_away(leaf.certificate_id, OperatorAction.DENIED, OrderContext(by=OPERATOR))
    ca.update_ca_certificate(certificateId=CA, newStatus="ACTIVE")
    world.aws.clock.advance(3700)
    world.sweep_and_decide(2)
    assert world.status(leaf) == "INACTIVE"
    world.check_promises()


def test_a_deactivation_at_any_call_of_a_release_keeps_the_device_out() -> None:
    calls = 0
    while True:
        world, (leaf, *_) = rejected_under_wrong_rules(1)
        assert world.order_release(leaf)
        world.deployment.sweep()

        def deactivate(world: Crowd, certificate_id: str = leaf.certificate_id) -> None:
            world.operator.take_away(certificate_id, OperatorAction.DEACTIVATED, OrderContext(by=OPERATOR))

        seen: list[str] = []
        acted: list[bool] = []

        def act(
            call: Call,
            moment: Moment,
            world: Crowd = world,
            seen: list[str] = seen,
            acted: list[bool] = acted,
            at_call: int = calls + 1,
        ) -> None:
            world.watch(call, moment)
            if call.caller != "register" or moment != "before":
                return
            seen.append(call.operation)
            if len(seen) == at_call:
                acted.append(True)
                world.aws.clock.spawn(lambda: deactivate(world))

        world.aws.fault = act
        world.aws.clock.advance(900)
        world.mapping.drain(within=DAY)
        if not acted:
            break
        world.aws.fault = world.watch
        world.sweep_and_decide(2)
        assert world.status(leaf) == "INACTIVE", seen
        world.check_promises()
        calls += 1
    assert calls > 8


def test_a_rejection_that_waited_long_for_its_call_can_be_taken_back() -> None:
    world = Crowd(**WRONG)

    def stall(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("UpdateCertificate", "before"):
            world.aws.clock.sleep(8)

    world.aws.fault = stall
    (leaf,) = world.come("sensor", 1)
    world.aws.fault = None
    world.deploy(**MENDED)
    assert world.order_release(leaf)
    world.sweep_and_decide()
    assert world.status(leaf) == "ACTIVE"


def test_a_deactivation_during_a_second_refusal_is_not_overruled_by_the_next_order() -> None:
    """The run under the first order goes on for long after a person set the status."""
    world, (leaf, *_) = rejected_under_wrong_rules()
    world.deploy(**WRONG)
    world.promises.deployment = world.deployment
    world.aws.clock.advance(60)
    assert world.order_release(leaf)
    console = world.account.client("iot", caller="console")
    acted: list[Call] = []

    def act(call: Call, moment: Moment) -> None:
        if call.operation == "DescribeCertificate" and moment == "after" and not acted:
            acted.append(call)
            world.aws.clock.sleep(10)
            for status in ("ACTIVE", "INACTIVE"):
                console.update_certificate(certificateId=leaf.certificate_id, newStatus=status)
            world.aws.clock.sleep(21)

    world.aws.fault = act
    world.aws.clock.advance(900)
    world.deployment.sweep()
    world.mapping.drain(within=880)
    assert acted
    world.aws.fault = None
    world.deploy(**MENDED)
    world.order_release(leaf)
    world.aws.clock.advance(900)
    world.deployment.sweep()
    world.mapping.drain(within=880)
    assert world.status(leaf) == "INACTIVE"


def test_the_daily_pass_does_not_record_the_status_from_before_a_release() -> None:
    """The page is on its way to the sweep while what an order took back becomes ACTIVE."""
    world, devices = rejected_under_wrong_rules()
    world.aws.clock.advance(2 * DAY)
    world.deployment.sweep()
    world.mapping.drain(within=60)
    world.aws.clock.advance(2 * DAY)
    assert all(world.order_release(leaf) for leaf in devices)
    lists: list[Call] = []

    def activate(call: Call, moment: Moment) -> None:
        if call.operation == "ListCertificates" and moment == "after":
            lists.append(call)
            if len(lists) == 2:
                world.mapping.drain(within=30)

    world.aws.fault = activate
    world.deployment.sweep()
    world.aws.fault = None
    assert len(lists) == 2
    for leaf in devices:
        assert world.status(leaf) == "ACTIVE"
        assert not record_of(world, leaf).was_revoked_or_deactivated
