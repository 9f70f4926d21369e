"""The outcome of a device whose CA has a provisioning template, for the failure matrix."""

from jitr.decisions import Outcome
from tests.support.jitp.fleet import RULE, put_template, take_template_off
from tests.support.survival.scenario_world import World, authority
from tests.support.survival.scenarios import Scenario, _activated, _deliver, _first_connect


def _left_pending_by_a_template(world: World) -> None:
    """A provisioning template is on the CA, and could not provision the device; AWS publishes the event besides."""
    put_template(world.account, authority().certificate_id)
    world.aws.undocumented.publishes_with_template = True
    world.admin.enable_topic_rule(ruleName=RULE)
    _first_connect(world)
    world.aws.clock.advance(10)


def _template_taken_off(world: World) -> None:
    decision = world.decision()
    assert decision
    assert (decision.outcome, world.status()) == (Outcome.HELD, "PENDING_ACTIVATION")
    assert not world.account.iot.things.by_name
    take_template_off(world.admin, authority().certificate_id, RULE)
    world.deploy(common_name="sensor-[0-9]+")
    world.aws.clock.advance(2 * 3600)


JITP_SCENARIOS = (
    Scenario(
        name="hold under a template",
        settings={"jitp": True},
        prepare=_left_pending_by_a_template,
        act=_deliver,
        cure=_template_taken_off,
        ends=_activated,
        ends_as="held, whatever it is; ACTIVE by itself once the provisioning template is taken off",
        changed_rules={"common_name": "other-[0-9]+"},
    ),
)
