"""A device whose thing name changes between two attempts, and faults at its calls."""

from collections.abc import Callable
from typing import Any, Literal

from simulation import Authority, Call, Died, Fault, Moment
from tests.support.survival.invariants import Watch
from tests.support.survival.promises import DAY, Promises
from tests.support.survival.withdrawal_marks import standing_marks

FACTORY = Authority.new("Factory A")
HOOK_ARN = "arn:aws:lambda:eu-central-1:111111111111:function:names"
Kind = Literal["hook", "template"]
Strike = Callable[[Call, Moment], Fault | None]


class Renaming:
    """One device, whose name is another one at each attempt: by its hook, or by a deployment between two attempts."""

    def __init__(self, kind: Kind, **settings: Any) -> None:
        self.kind = kind
        hook = {"hook": HOOK_ARN} if kind == "hook" else {}
        self.world = Promises({"factory": (FACTORY, hook | settings)})
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[int], str] = lambda number: f"dev-{number}"
        self.deployments = 0
        if kind == "hook":
            self.world.account.functions.create("names", self._name)
        self.watch = Watch(self.world.account, self.world.deployment, lambda certificate_id: certificate_id[:8])
        self.leaf = self.world.issue("factory")

    def _name(self, request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return {"allowProvisioning": True, "parameterOverrides": {"ThingName": self.answer(len(self.asked))}}

    def attempt(self, strike: Strike | None = None) -> list[Call]:
        """One receive of its message, struck or not; the calls of `register`."""
        calls: list[Call] = []

        def fault(call: Call, moment: Moment) -> Fault | None:
            self.watch(call, moment)
            if call.caller == "register" and moment == "before":
                calls.append(call)
            return strike(call, moment) if strike and call.caller == "register" else None

        self.world.aws.fault = fault
        self.world.mapping.poll()
        self.world.aws.fault = self.watch
        return calls

    def rename(self) -> None:
        """Let the next attempt have another name; a hook does it by itself."""
        if self.kind == "template":
            self.deployments += 1
            self.world.deploy(factory={"thing_name": f"dev-{self.deployments}-{{common_name}}"})

    def settle(self) -> None:
        """Let everything happen that follows."""
        self.world.mapping.drain(within=DAY)
        self.world.pass_days(3, self.leaf)

    def check(self) -> None:
        """ACTIVE and whole, on one thing; no other thing is there; no promise was broken."""
        certificate = self.world.certificate(self.leaf)
        things = list(self.world.account.iot.things.of_principal(certificate.arn))
        decision = self.world.record(self.leaf).decision
        assert certificate.status == "ACTIVE"
        assert decision
        assert things == [decision.thing_name] == list(self.world.account.iot.things.by_name)
        self.watch.settled()
        assert self.watch.broken == []
        assert standing_marks(self.world) == []


def strike_first(operation: str, how: Literal["throttled", "dies"]) -> Strike:
    """A strike at each call of an operation: throttled on all attempts, or the function dies right after it."""

    def strike(call: Call, moment: Moment) -> Fault | None:
        if call.operation != operation:
            return None
        if how == "throttled":
            return Fault.THROTTLED if moment == "before" else None
        if moment == "after":
            raise Died
        return None

    return strike
