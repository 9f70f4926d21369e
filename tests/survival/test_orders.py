"""Promises about orders: two operators, a clock that is wrong, and what somebody does in the console."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.rules import EnrollmentRule
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext, OvertakenByColleague
from jitrctl.errors import OperatingError
from simulation import Authority, Call, Fault, Leaf, Moment
from tests.support.survival.promises import DAY, Promises

A = Authority.new("Factory A")
ANN, BOB = (OrderContext(by=f"arn:aws:iam::111111111111:user/{name}", note=name) for name in ("ann", "bob"))
SKEWS = pytest.mark.parametrize(
    "ahead", [timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)], ids=["behind", "right", "ahead"]
)
TAKEN_AWAY = Literal["INACTIVE", "REVOKED"]


def refused() -> tuple[Promises, Leaf]:
    """A device that was refused, under rules that would let it in since."""
    world = Promises({"factory": (A, {"common_name": "other-[0-9]+"})})
    leaf = world.issue("factory")
    assert world.come_up(leaf) == "INACTIVE"
    world.deploy(factory={"common_name": "sensor-[0-9]+"})
    return world, leaf


def waiting() -> tuple[Promises, Leaf]:
    """A device that waits for an approval."""
    world = Promises({"factory": (A, {"enrollment": EnrollmentRule.APPROVE})})
    leaf = world.issue("factory")
    assert world.come_up(leaf) == "PENDING_ACTIVATION"
    return world, leaf


def before_each_call(world: Promises, act: Callable[[], object], *, number: int) -> None:
    """Let something happen right before ann's call of that number."""
    calls: list[str] = []

    def meet(call: Call, moment: Moment) -> None:
        if call.caller == "ann" and moment == "before":
            calls.append(call.operation)
            if len(calls) == number:
                act()

    world.aws.fault = meet


def release(operator: Operator, leaf: Leaf) -> None:
    operator.release(leaf.certificate_id, ANN)


def approve(operator: Operator, leaf: Leaf) -> None:
    operator.approve(leaf.certificate_id, ANN)


def refusal_of(order: Callable[[Operator, Leaf], None], operator: Operator, leaf: Leaf) -> OperatingError | None:
    try:
        order(operator, leaf)
    except OperatingError as refusal:
        return refusal
    return None


@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.parametrize(
    ("make", "order"),
    [(refused, release), (waiting, release), (waiting, approve)],
    ids=["release", "pending", "approve"],
)
def test_who_was_revoked_by_a_colleague_stays_out_whatever_was_ordered_meanwhile(
    make: Callable[[], tuple[Promises, Leaf]], order: Callable[[Operator, Leaf], None], number: int
) -> None:
    world, leaf = make()
    bob, begun = world.operator("bob"), []

    def revoke() -> None:
        world.aws.fault = None
        begun.append(bob.take_away(leaf.certificate_id, OperatorAction.REVOKED, BOB))

    before_each_call(world, revoke, number=number)
    refusal = refusal_of(order, world.operator("ann"), leaf)
    if refusal:
        assert begun
        assert "revoked by arn:aws:iam::111111111111:user/bob" in str(refusal)
    if isinstance(refusal, OvertakenByColleague):
        assert refusal.verdict
        assert (refusal.verdict.action, refusal.verdict.note) == (OperatorAction.REVOKED, "bob")
    world.aws.fault = None
    if not begun:  # ann was done: bob's order is the later one
        revoke()
    verdict = world.record(leaf).verdict
    assert verdict
    assert verdict.action is OperatorAction.REVOKED
    world.clock.advance(600)
    world.come_up(leaf)
    world.clock.advance(600)
    assert world.come_up(leaf) != "ACTIVE"


@SKEWS
def test_an_approval_is_seen_at_the_next_connect_whatever_the_laptops_clock(ahead: timedelta) -> None:
    world, leaf = waiting()
    for seconds in (400, 1000, 4000):
        world.clock.advance(seconds)
        world.come_up(leaf)
    world.clock.advance(60)
    world.operator(ahead=ahead).approve(leaf.certificate_id, ANN)
    assert world.come_up(leaf) == "ACTIVE"


@SKEWS
def test_an_approval_is_seen_by_the_next_sweep_whatever_the_laptops_clock(ahead: timedelta) -> None:
    world, leaf = waiting()
    world.clock.advance(60)
    world.operator(ahead=ahead).approve(leaf.certificate_id, ANN)
    world.clock.advance(900)
    world.deployment.sweep()
    world.mapping.drain(within=3600)
    assert world.status(leaf) == "ACTIVE"


@SKEWS
def test_duplicates_are_free_after_an_order_whatever_the_laptops_clock(ahead: timedelta) -> None:
    world, leaf = waiting()
    world.operator(ahead=ahead).approve(leaf.certificate_id, ANN)
    assert world.come_up(leaf) == "ACTIVE"
    begun = len(world.aws.calls)
    for _ in range(20):
        world.replay(leaf)
    assert [call for call in world.aws.calls[begun:] if call.service == "iot"] == []


@pytest.mark.parametrize("answer", [Fault.TIMEOUT, Fault.SERVER_ERROR])
def test_no_second_attempt_of_updatecertificate_overrules_the_console(answer: Fault) -> None:
    world = Promises({"factory": (A, {})})
    leaf = world.issue("factory")
    world.connect(leaf)
    made: list[Call] = []

    def lose(call: Call, moment: Moment) -> Fault | None:
        if (call.caller, call.operation) != ("register", "UpdateCertificate") or moment != "after":
            return None
        made.append(call)
        if len(made) == 1:  # it is ACTIVE, and somebody sees it before botocore would try again
            world.set_status(leaf, "REVOKED")
        return answer

    world.aws.fault = lose
    world.mapping.poll()
    world.aws.fault = None
    assert len(made) == 1
    world.mapping.drain(within=DAY)
    world.pass_days(2, leaf)
    assert world.status(leaf) == "REVOKED"
    assert world.record(leaf).was_revoked_or_deactivated


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
@pytest.mark.parametrize("seen_by", ["register", "the daily pass"])
def test_what_is_taken_away_after_a_release_stays_out(seen_by: str, status: TAKEN_AWAY) -> None:
    world, leaf = refused()
    world.operator().release(leaf.certificate_id, ANN)
    world.clock.advance(600)
    world.connect(leaf)
    world.set_status(leaf, status)
    if seen_by == "register":
        world.mapping.drain(within=3600)
    else:
        world.deployment.registrations.messages.clear()
        world.pass_days(1)
    decision = world.record(leaf).decision
    assert decision
    assert (decision.outcome, decision.status) == (Outcome.FOUND, status)
    assert_stays_out(world, leaf)


@pytest.mark.parametrize("first", [Status.INACTIVE, Status.PENDING_ACTIVATION])
def test_what_is_released_is_not_recorded_as_taken_away(first: Status) -> None:
    """Between the verdict and the deletion `register` and the daily pass see the INACTIVE that is released."""
    world, leaf = refused() if first is Status.INACTIVE else waiting()
    world.deploy(factory={"common_name": "sensor-[0-9]+", "enrollment": EnrollmentRule.OPEN})
    looks: list[str] = []

    def look(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("ann", "DeleteCertificate", "before"):
            looks.append(world.status(leaf))
            world.aws.fault = None
            world.replay(leaf)
            world.pass_days(1)

    world.aws.fault = look
    world.operator().release(leaf.certificate_id, ANN)
    assert looks == ["INACTIVE"]
    world.clock.advance(600)
    assert world.come_up(leaf) == "ACTIVE"


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_what_the_console_took_away_is_remembered_from_the_daily_pass_on(status: TAKEN_AWAY) -> None:
    world = Promises({"factory": (A, {})})
    leaf = world.issue("factory")
    assert world.come_up(leaf) == "ACTIVE"
    world.set_status(leaf, status)
    world.pass_days(1)
    begun = len(world.aws.calls)
    world.pass_days(3)
    assert world.record(leaf).was_revoked_or_deactivated
    made = {call.operation for call in world.aws.calls[begun:] if call.caller != "admin" and touches(call, leaf)}
    assert made == {"BatchGetItem"}, "it is recorded already"
    assert_stays_out(world, leaf)


@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_the_daily_pass_records_nothing_of_what_an_operator_ordered(word: OperatorAction) -> None:
    world = Promises({"factory": (A, {})})
    leaf = world.issue("factory")
    assert world.come_up(leaf) == "ACTIVE"
    world.operator().take_away(leaf.certificate_id, word, ANN)
    world.pass_days(2)
    decision = world.record(leaf).decision
    assert decision
    assert decision.outcome is Outcome.ACTIVATED


def touches(call: Call, leaf: Leaf) -> bool:
    return leaf.certificate_id in str(call.parameters)


def assert_stays_out(world: Promises, leaf: Leaf) -> None:
    world.delete(leaf)
    world.clock.advance(600)
    world.come_up(leaf)
    world.clock.advance(30)
    assert world.come_up(leaf) != "ACTIVE"
    decision: Any = world.record(leaf).decision
    assert decision.reason is Reason.WAS_REVOKED
