"""An account in which many devices connect, under rules that may be wrong."""

from typing import Any

from jitr.brake import Acceptance, Brake
from jitr.store.brake_items import brake_key, to_brake
from jitr.store.brakes import Brakes
from jitr.store.dynamodb import deserialize
from jitr.store.outcomes import Outcomes
from jitr.verdicts import OperatorVerdict
from simulation import Call, Died, Leaf, Moment
from tests.support.survival.scenario_world import World, authority
from tests.support.survival.scenarios import order_release

WRONG: dict[str, Any] = {"common_name": "senzor-[0-9]+"}
MENDED: dict[str, Any] = {"common_name": "sensor-[0-9]+"}


class Crowd(World):
    """An account in which many devices connect."""

    def come(self, prefix: str, number: int, *, first: int = 1, together: int = 10) -> list[Leaf]:
        """Let new devices connect, some at a time, and decide on them."""
        leaves = [self.issue(f"{prefix}-{first + one:04}") for one in range(number)]
        for start in range(0, number, together):
            for leaf in leaves[start : start + together]:
                self.connect(leaf)
            self.mapping.drain(within=60)
        return leaves

    def sweep_and_decide(self, times: int = 1) -> None:
        for _ in range(times):
            self.aws.clock.advance(900)
            self.deployment.sweep()
            self.mapping.drain(within=880)

    def of(self, status: str, leaves: list[Leaf]) -> list[Leaf]:
        return [leaf for leaf in leaves if self.status(leaf) == status]

    @property
    def brakes(self) -> Brakes:
        client = self.account.client("dynamodb", caller="admin")
        return Brakes(client, self.deployment.settings.registry_table, clock=self.aws.clock.now)

    @property
    def brake(self) -> Brake:
        item = self.deployment.registry.items.get((brake_key(authority().certificate_id),))
        return to_brake(deserialize(item)) if item else Brake()

    def announced(self) -> list[Any]:
        return [event for event in self.account.events.put if event.detail_type == "Rules Refuse Many"]

    def die_once(self, operation: str) -> None:
        """Let the function die right after the brake was engaged, or after its announcement."""
        dead: list[bool] = []

        def die(call: Call, moment: Moment) -> None:
            about = str(call.parameters)
            is_meant = call.operation == operation and ("Rules Refuse Many" in about or "SET engaged" in about)
            if is_meant and moment == "after" and not dead:
                dead.append(True)
                raise Died

        self.aws.fault = die

    def accept(self) -> bool:
        """What `jitrctl ca accept-rejections` writes."""
        engaged = self.brake.engaged
        assert engaged
        accepted = Acceptance(rules=engaged.rules, by="ann", at=self.aws.clock.now(), note="they are not ours")
        return self.brakes.accept(authority().certificate_id, engaged, accepted)

    @property
    def outcomes(self) -> Outcomes:
        client = self.account.client("dynamodb", caller="operator")
        return Outcomes(client, self.deployment.settings.registry_table)

    def order_release(self, leaf: Leaf) -> OperatorVerdict | None:
        return order_release(self, leaf)
