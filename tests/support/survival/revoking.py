"""An account whose CA publishes CRLs, with the function `revoke`."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cryptography.x509 import ReasonFlags

from jitr.crl_progress import REFUSED, WAITS, ApprovedCrl, CrlState
from jitr.rules import CheckMode
from jitr.store.crl_state import CrlStates
from simulation import Leaf
from tests.support.cases.listing import make_crl
from tests.support.survival.crowd import Crowd
from tests.support.survival.scenario_world import DAY, authority
from tests.support.survival.scenarios import OPERATOR

CA = authority().certificate_id
HOLD, FOR_GOOD = ReasonFlags.certificate_hold, ReasonFlags.key_compromise
ENFORCED: dict[str, Any] = {
    "revocation_of_active": CheckMode.ENFORCE,
    "checks": {"revocation": CheckMode.ENFORCE},
}


class Revoking(Crowd):
    """An account whose CA publishes CRLs, and the function `revoke`."""

    number = 0

    def __init__(self, **settings: Any) -> None:
        super().__init__(**(ENFORCED | settings))
        self.revoke = self.deployment.revoke_mapping()
        self.publish()
        self.revoke.drain(within=DAY)

    def crl(self, entries: dict[Leaf, ReasonFlags], *, number: int | None, age: float = 0) -> bytes:
        return make_crl(authority(), self.aws.clock.now() - timedelta(seconds=age), entries, number=number)

    def publish(
        self, entries: dict[Leaf, ReasonFlags] | None = None, *, number: int | None = -1, age: float = 0
    ) -> None:
        """Publish the next CRL with these entries; the event comes."""
        if number == -1:
            self.number += 1
            number = self.number
        self.deployment.publish_crl(CA, self.crl(entries or {}, number=number, age=age))

    def apply(self, entries: dict[Leaf, ReasonFlags] | None = None, **more: Any) -> None:
        """Publish, and let `revoke` do all that it does."""
        self.publish(entries, **more)
        self.revoke.drain(within=DAY)

    @property
    def states(self) -> CrlStates:
        client = self.account.client("dynamodb", caller="operator")
        return CrlStates(client, self.deployment.settings.registry_table)

    @property
    def state(self) -> CrlState:
        return self.states.read([CA])[CA]

    def approve(self) -> bool:
        """What `jitrctl crl approve` does."""
        state = self.state
        version = state.waits.version if state.waits else state.refused.version if state.refused else ""
        seen = WAITS if state.waits else REFUSED
        approved = self.states.approve(CA, ApprovedCrl(version=version, by=OPERATOR, at=self.aws.clock.now(), of=seen))
        body = json.dumps({"ca_certificate_id": CA})
        self.account.sqs.send_message({"QueueUrl": self.deployment.crl_arrivals.url, "MessageBody": body})
        self.revoke.drain(within=DAY)
        return approved

    def statuses(self, leaves: Sequence[Leaf]) -> list[str]:
        return [self.status(leaf) for leaf in leaves]


def make_revoking(*, is_complete: bool) -> Revoking:
    """An account with a first CRL; after a daily pass the indexes are known to be complete: the difference is read."""
    made = Revoking()
    if is_complete:
        made.deployment.sweep()
        made.sweep_and_decide()
        made.apply()
        assert made.state.applied
        assert made.state.applied.is_complete
    return made
