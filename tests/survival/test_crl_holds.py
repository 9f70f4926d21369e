"""A hold in a CRL suspends a registered certificate, and its end lifts what the CRL set, in virtual time."""

import pytest

from jitr.aws.crl_bucket import object_key
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import EnrollmentRule
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import OrderContext
from simulation import Call, Died, Moment
from tests.support.survival.revoking import CA, FOR_GOOD, HOLD, Revoking, make_revoking
from tests.support.survival.scenario_world import DAY
from tests.support.survival.scenarios import OPERATOR


@pytest.fixture(params=[False, True], ids=["by record", "by serial number"])
def world(request: pytest.FixtureRequest) -> Revoking:
    return make_revoking(is_complete=request.param)


def test_a_hold_suspends_and_its_end_lets_register_activate_again(world: Revoking) -> None:
    held, other = world.come("sensor", 2)
    world.aws.fault = world.watch
    world.apply({held: HOLD})
    assert world.statuses([held, other]) == ["INACTIVE", "ACTIVE"]
    world.sweep_and_decide(2)
    assert world.status(held) == "INACTIVE"

    world.apply()
    assert world.status(held) == "INACTIVE", "only `register` activates"
    world.sweep_and_decide()

    assert world.statuses([held, other]) == ["ACTIVE", "ACTIVE"]
    assert world.is_provisioned(held)
    decision = world.decision(held)
    assert decision
    assert (decision.outcome, decision.thing_name) == (Outcome.ACTIVATED, "sensor-0001")
    world.check_promises()


def test_a_hold_that_ends_while_its_crl_is_still_being_applied_is_lifted(world: Revoking) -> None:
    """The list before is applied for ten minutes, and what it did is neither in the one before nor in the next."""
    world.deployment.sweep()  # all records are in the indexes, so that only changed serial numbers are read
    held, other = world.come("sensor", 2)
    world.publish({held: HOLD})
    world.revoke.drain(within=30)
    assert world.statuses([held, other]) == ["INACTIVE", "ACTIVE"]
    assert world.state.work, "it is still being applied"

    world.publish()
    world.revoke.drain(within=DAY)
    world.sweep_and_decide(2)

    assert world.statuses([held, other]) == ["ACTIVE", "ACTIVE"]


def test_what_the_console_deactivates_after_a_failed_suspension_is_not_lifted(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    failures = [1]

    def fail(call: Call, _moment: Moment) -> None:
        if call.caller == "revoke" and call.operation == "UpdateCertificate" and failures:
            failures.pop()
            raise Died

    world.aws.fault = fail
    world.publish({device: HOLD})
    world.revoke.drain(within=20)
    world.aws.fault = None
    assert (failures, world.status(device)) == ([], "ACTIVE")

    world.aws.clock.advance(60)
    world.admin.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    world.revoke.drain(within=DAY)
    world.apply()
    world.sweep_and_decide(3)

    assert world.status(device) == "INACTIVE"


def test_a_hold_that_was_lifted_under_an_unfinished_crl_is_set_after_an_approval(world: Revoking) -> None:
    """The CRL that waits for a yes follows one that was begun and never finished."""
    devices = world.come("sensor", 30)
    world.apply({devices[0]: HOLD})
    world.publish()
    world.revoke.drain(within=30)
    world.sweep_and_decide()
    assert world.status(devices[0]) == "ACTIVE"
    world.publish(dict.fromkeys(devices[1:23], FOR_GOOD) | {devices[0]: HOLD})
    world.revoke.drain(within=30)
    assert world.state.waits

    assert world.approve()

    assert world.status(devices[0]) == "INACTIVE"
    assert world.statuses(devices[1:]) == ["REVOKED"] * 22 + ["ACTIVE"] * 7


def test_a_hold_that_becomes_a_revocation_is_final(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    world.apply({device: FOR_GOOD})
    assert world.status(device) == "REVOKED"
    world.apply()
    world.sweep_and_decide(2)
    assert world.status(device) == "REVOKED"


@pytest.mark.parametrize("by", ["operator", "operator before", "console", "console before"])
def test_what_somebody_else_deactivated_is_not_lifted(world: Revoking, by: str) -> None:
    (device,) = world.come("sensor", 1)

    def deactivate() -> None:
        world.aws.clock.advance(60)
        if "operator" in by:
            world.operator.take_away(device.certificate_id, OperatorAction.DEACTIVATED, OrderContext(by=OPERATOR))
        else:
            world.admin.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")

    if "before" in by:
        deactivate()
        world.apply({device: HOLD})
    else:
        world.apply({device: HOLD})
        deactivate()
    world.apply()
    world.sweep_and_decide(3)
    assert world.status(device) == "INACTIVE"


def test_without_the_applied_crl_in_the_bucket_a_hold_is_still_lifted() -> None:
    """S3 keeps old versions for 90 days."""
    world = Revoking()
    world.deployment.sweep()
    world.sweep_and_decide()
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    applied = world.state.applied
    assert applied
    assert applied.version_id
    assert applied.is_complete
    world.publish()
    world.account.s3.forget_version(world.deployment.settings.crl_bucket, object_key(CA), applied.version_id)
    world.revoke.drain(within=DAY)
    world.sweep_and_decide()
    assert world.status(device) == "ACTIVE"


def test_an_approved_device_that_was_on_hold_needs_no_second_approval() -> None:
    world = Revoking(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain(within=60)
    world.operator.approve(world.leaf.certificate_id, OrderContext(by=OPERATOR))
    world.sweep_and_decide()
    assert world.status() == "ACTIVE"
    world.apply({world.leaf: HOLD})
    assert world.status() == "INACTIVE"
    world.apply()
    world.sweep_and_decide()
    assert world.status() == "ACTIVE"


def test_a_lifted_device_keeps_its_name_while_its_ca_is_inactive(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    world.apply()
    ca = world.account.iot.cas.by_id[CA]
    ca.status = "INACTIVE"
    world.sweep_and_decide()
    decision = world.decision(device)
    assert decision
    assert (decision.outcome, decision.reason, decision.thing_name) == (
        Outcome.HELD,
        Reason.CA_INACTIVE,
        "sensor-0001",
    )
    ca.status = "ACTIVE"
    world.sweep_and_decide(8)
    assert world.status(device) == "ACTIVE"
    world.check_promises()
