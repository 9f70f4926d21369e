"""A revocation of a CA that is lifted while the sweep carries it out takes nobody away any more."""

from typing import Any

from jitr.store.revoked_cas import CaRevocation, RevokedCas
from jitr.verdicts import OperatorAction, OperatorVerdict
from simulation import Call, Leaf, Moment
from tests.support.survival.revoking import CA, Revoking
from tests.support.survival.scenarios import OPERATOR


def test_what_comes_up_after_the_lifting_is_not_taken_away_by_a_sweep_under_way() -> None:
    world = Revoking()
    world.come("sensor", 1)
    now = world.aws.clock.now
    cas = RevokedCas(world.account.client("dynamodb", caller="operator"), world.deployment.settings.registry_table)
    cas.revoke(CA, CaRevocation(by=OPERATOR, at=now()))
    cas.order_devices(CA, OperatorVerdict(action=OperatorAction.REVOKED, by=OPERATOR, at=now()))
    came: list[Leaf] = []

    def lift_before_the_index_is_read(call: Call, moment: Moment) -> None:
        index: Any = call.parameters.get("IndexName")
        if (call.caller, index, moment) == ("sweep", "outcomes", "before") and not came:
            came.append(world.issue("sensor-0777"))
            cas.lift(CA, CaRevocation(by=OPERATOR, at=now()))
            world.admin.update_ca_certificate(certificateId=CA, newStatus="ACTIVE", newAutoRegistrationStatus="ENABLE")
            world.aws.clock.advance(61)  # an execution environment's memory of the CA
            world.connect(came[0])
            world.mapping.drain(within=60)
            assert world.status(came[0]) == "ACTIVE"

    world.aws.fault = lift_before_the_index_is_read
    world.deployment.sweep()
    world.aws.fault = None
    world.sweep_and_decide(2)

    assert world.status(came[0]) == "ACTIVE"
