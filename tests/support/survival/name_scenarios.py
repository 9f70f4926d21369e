"""Outcomes of certificates whose thing name changed between two attempts, for the failure matrix (scenarios.py)."""

from typing import Any

from jitr.decisions import Outcome
from simulation import Call, Fault, Moment
from tests.support.survival.scenario_world import DAY, World
from tests.support.survival.scenarios import HOOK_ARN, Scenario

_UNTIL_SWEPT = 600.0


def _begin(world: World) -> None:
    """The first attempt attaches the certificate to its thing, and not to its policy."""

    def fail(call: Call, moment: Moment) -> Fault | None:
        is_it = (call.caller, call.operation, moment) == ("register", "AttachPolicy", "before")
        return Fault.THROTTLED if is_it else None

    assert world.connect() == "refused"
    world.aws.fault = fail
    world.mapping.poll()
    world.aws.fault = None
    world.aws.clock.advance(60)


def _begin_with_hook(world: World) -> None:
    asked: list[int] = []

    def name(_request: Any) -> dict[str, Any]:
        asked.append(1)
        return {"allowProvisioning": True, "parameterOverrides": {"ThingName": f"dev-{len(asked)}"}}

    assert world.account.functions.create("check", name) == HOOK_ARN
    _begin(world)


def _two_attempts(world: World) -> None:
    """The second attempt detaches the certificate, the third one activates it."""
    world.mapping.poll()
    world.aws.clock.advance(60)
    world.mapping.poll()


def _time_passes(world: World) -> None:
    world.aws.clock.advance(2 * 3600)


def _on_one_thing(world: World) -> None:
    decision = world.decision()
    assert decision
    assert (decision.outcome, world.status()) == (Outcome.ACTIVATED, "ACTIVE")
    assert world.is_provisioned()
    certificate = world.account.iot.certificates.by_id[world.leaf.certificate_id]
    assert list(world.account.iot.things.of_principal(certificate.arn)) == [decision.thing_name]
    _sweeps(world)
    assert list(world.account.iot.things.by_name) == [decision.thing_name]


def _begin_and_reject(world: World) -> None:
    _begin(world)
    world.deploy(common_name="other-[0-9]+")
    world.mapping.drain(within=DAY)
    assert world.status() == "INACTIVE"
    world.aws.clock.advance(_UNTIL_SWEPT)


def _sweeps(world: World) -> None:
    world.deployment.sweep()
    world.aws.clock.advance(_UNTIL_SWEPT)
    world.deployment.sweep()


def _nothing_is_left(world: World) -> None:
    _sweeps(world)
    certificate = world.account.iot.certificates.by_id[world.leaf.certificate_id]
    assert certificate.status == "INACTIVE"
    assert not world.account.iot.policies.of_target(certificate.arn)
    assert list(world.account.iot.things.by_name) == []


NAME_SCENARIOS = (
    Scenario(
        name="another name",
        settings={"hook": HOOK_ARN},
        prepare=_begin_with_hook,
        act=_two_attempts,
        cure=_time_passes,
        ends=_on_one_thing,
        ends_as="ACTIVE, on one thing; no other thing is there",
    ),
    Scenario(
        name="take back",
        prepare=_begin_and_reject,
        act=_sweeps,
        callers=("sweep",),
        ends=_nothing_is_left,
        ends_as="INACTIVE and detached, and its thing deleted",
    ),
)
