"""A CRL of which nothing can be carried out: its message is put off, longer each time."""

from simulation import Call, Fault, Moment
from tests.support.survival.revoking import FOR_GOOD, Revoking
from tests.support.survival.scenario_world import DAY

_QUARTER = 900  # seconds: the longest pause between two attempts


def test_a_crl_that_cannot_be_carried_out_is_tried_every_quarter_of_an_hour() -> None:
    world = Revoking()
    world.connect()
    world.mapping.drain(within=60)
    tried = []

    def throttle(call: Call, moment: Moment) -> Fault | None:
        if (call.caller, call.operation, moment) != ("revoke", "UpdateCertificate", "before"):
            return None
        tried.append(world.aws.clock.now())
        return Fault.THROTTLED

    world.aws.fault = throttle
    world.apply({world.leaf: FOR_GOOD})
    first = 30  # the pause grows by half a minute each time, until it is a quarter of an hour
    assert DAY / _QUARTER - 1 <= len(tried) <= DAY / _QUARTER + first

    world.aws.fault = None
    world.revoke.drain(within=2 * _QUARTER)
    assert world.statuses([world.leaf]) == ["REVOKED"]
