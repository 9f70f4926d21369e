"""The registration of one certificate where a call fails, is refused, or was made too long ago."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Overtaken, Reason, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.provisioning import AddThingToThingGroup, AttachPolicy, AttachThingPrincipal, CreateThing, IotStep, SetStatus
from jitr.record import Record
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.unit.registration_world import World

IOT_STEPS = [CreateThing, AddThingToThingGroup, AttachThingPrincipal, AttachPolicy, SetStatus]


@pytest.mark.parametrize("kind", IOT_STEPS)
@pytest.mark.parametrize(
    "reason", [Reason.TARGET_MISSING, Reason.LIMIT_EXCEEDED, Reason.REQUEST_REFUSED, Reason.THING_TAKEN]
)
def test_a_step_that_aws_refuses_holds_the_device_before_it_is_active(
    world: World, kind: type[IotStep], reason: Reason
) -> None:
    world.fails_at(kind, Rejected(reason, "no"))
    decision = world.decide()
    assert (decision.outcome, decision.reason, decision.status) == (Outcome.HELD, reason, Status.PENDING_ACTIVATION)
    assert world.names[-2:] == ["announcer.announce", "registry.record"]
    if kind is not SetStatus:
        assert world.statuses_set == []


@pytest.mark.parametrize("kind", IOT_STEPS)
@pytest.mark.parametrize(
    "error", [Unavailable("throttled"), CertificateUnknown("ab"), Overtaken("revoked"), KeyError()]
)
def test_a_step_that_fails_leaves_no_decision_behind(world: World, kind: type[IotStep], error: Exception) -> None:
    world.fails_at(kind, error)
    with pytest.raises(type(error)):
        world.decide()
    assert "announcer.announce" not in world.names
    assert "registry.record" not in world.names


@pytest.mark.parametrize(
    "where",
    ["iot.describe", "iot.describe_ca", "crls.of", "enrollment.entries_and_standing", "registry.claim"],
)
def test_a_question_that_fails_leaves_no_decision_and_no_status_behind(world: World, where: str) -> None:
    part, method = where.split(".")
    getattr(getattr(world, part), method).side_effect = Unavailable("throttled")
    with pytest.raises(Unavailable):
        world.decide()
    assert world.statuses_set == []
    assert "registry.record" not in world.names


def test_a_decision_that_cannot_be_announced_is_not_recorded(world: World) -> None:
    world.announcer.announce.side_effect = Unavailable("events")
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.record.assert_not_called()


def test_a_refusal_that_cannot_be_written_down_is_not_carried_out(refused: World) -> None:
    refused.registry.intend.side_effect = Unavailable("throttled")
    with pytest.raises(Unavailable):
        refused.decide()
    assert refused.statuses_set == []


@pytest.mark.parametrize("reason", [Reason.LIMIT_EXCEEDED, Reason.REQUEST_REFUSED])
def test_a_refusal_that_aws_refuses_to_carry_out_is_held_for_the_refusals_reason(
    refused: World, reason: Reason
) -> None:
    refused.fails_at(SetStatus, Rejected(reason, "AWS said no"))
    decision = refused.decide()
    assert (decision.outcome, decision.status) == (Outcome.HELD, Status.PENDING_ACTIVATION)
    assert decision.reason is Reason.COMMON_NAME_REFUSED
    assert decision.detail
    assert decision.detail.endswith("it stays pending, since AWS said no")
    assert refused.names[-2:] == ["announcer.announce", "registry.record"]


def slow(world: World, took: timedelta, then: Callable[[], None] = lambda: None) -> None:
    """Let the policy's attachment take its time, and something happen meanwhile."""

    def apply(step: IotStep) -> None:
        if isinstance(step, AttachPolicy):
            world.now += took
            then()

    world.iot.apply.side_effect = apply


def test_a_look_of_five_seconds_ago_is_fresh(world: World) -> None:
    slow(world, 5 * SECOND)
    assert world.decide().outcome is Outcome.ACTIVATED
    assert world.iot.describe.call_count == 1


def test_an_older_look_is_made_again_right_before_the_status_is_set(world: World) -> None:
    slow(world, 5 * SECOND + timedelta(milliseconds=1))
    decision = world.decide()
    assert decision.outcome is Outcome.ACTIVATED
    assert decision.decided_at == world.now
    assert world.names[-6:] == [
        "apply AddThingToThingGroup",
        "iot.take_turn",
        "iot.describe",
        "apply SetStatus",
        "announcer.announce",
        "registry.record",
    ]


@pytest.mark.parametrize(
    "change",
    [{"status": Status.REVOKED}, {"status": Status.INACTIVE}, {"status": Status.ACTIVE}, {"created_at": NOW + DAY}],
)
def test_somebody_who_acted_while_we_were_slow_is_not_overruled(world: World, change: dict[str, Any]) -> None:
    def act() -> None:
        world.application = world.application.with_device(**change)

    slow(world, 6 * SECOND, act)
    with pytest.raises(Overtaken):
        world.decide()
    assert world.statuses_set == []
    assert "registry.record" not in world.names


def test_a_slow_refusal_looks_again_too(refused: World) -> None:
    def intend(_decision: Decision, _record: Record, *, run: str, takes_back: Any) -> None:  # noqa: ARG001 -- as Registry.intend
        refused.now += 6 * SECOND
        refused.application = refused.application.with_device(status=Status.ACTIVE)

    refused.registry.intend.side_effect = intend
    with pytest.raises(Overtaken):
        refused.decide()
    assert refused.statuses_set == []
