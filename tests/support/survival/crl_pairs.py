"""The pairs of acts around a CRL on devices that are ACTIVE, whose schedules are explored.

Each world has a device that the CRLs are about, and another one of the same CA that no CRL ever lists.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache

from cryptography.x509 import ReasonFlags

from jitr.aws.crl_bucket import object_key
from jitr.verdicts import OperatorAction
from simulation import Leaf
from simulation.clock import START
from simulation.lambda_ import EventSourceMapping
from simulation.revoke_function import revoke_environment
from tests.support.cases.listing import make_crl
from tests.support.survival.explored_world import DAY, HOME, ExploredWorld, Prepared, authority
from tests.support.survival.explorer import Pair
from tests.support.survival.one_thread import Act, _Bound
from tests.support.survival.revoking import ENFORCED, FOR_GOOD, HOLD
from tests.support.survival.seen import REVOKE
from tests.support.survival.take_away_pairs import order_away

BOB = "operator-bob"
Listed = Mapping[str, ReasonFlags]  # by the device's label
Other = Callable[["CrlWorld", Leaf], Act]


@cache
def _crl(entries: tuple[tuple[Leaf, ReasonFlags], ...], number: int) -> bytes:
    """The same bytes in every schedule, so that ends can be compared."""
    return make_crl(authority(HOME), START + timedelta(seconds=number), dict(entries), number=number)


class CrlWorld(ExploredWorld):
    """The world of the explored schedules, with CRLs."""

    def __init__(self) -> None:
        super().__init__(home=ENFORCED)
        self.number = 1  # of the newest CRL
        self.listed: Listed = {}  # by it
        self.ever_listed: set[str] = set()  # certificate ids
        self.only_older_ones_lift = False
        self.revoke = self.deployment.revoke_mapping()
        self.publish({})
        self.drain()

    @property
    def ca(self) -> str:
        return authority(HOME).certificate_id

    def publish(self, entries: Listed, *, number: int | None = None) -> None:
        """Publish the next CRL, or one with an older number."""
        if number is None:
            self.number, self.listed = self.number + 1, entries
        listed = {self.devices[label]: reason for label, reason in entries.items()}
        self.ever_listed |= {leaf.certificate_id for leaf in listed}
        self.watch.listed_by_crl = {self.devices[label].certificate_id for label in self.listed}
        self.deployment.publish_crl(self.ca, _crl(tuple(listed.items()), number or self.number))

    def apply(self, entries: Listed) -> None:
        self.publish(entries)
        self.drain()

    def arrival(self, caller: str, entries: Listed) -> Act:
        """The next CRL arrives; an environment of its own has received the event already."""
        self.publish(entries)
        return self._take_event(caller)

    def publication(self, caller: str, entries: Listed) -> Act:
        """The next CRL is published while the others are at work, and its event received at once."""

        def run() -> None:
            self.arrival(caller, entries)()

        return run

    def older_arrival(self, caller: str, entries: Listed) -> Act:
        """Somebody uploads an older CRL while the others are at work; then the newest one once more."""
        number = self.number - 1
        self.only_older_ones_lift = True

        def run() -> None:
            newest = self.account.s3.buckets[self.deployment.settings.crl_bucket][object_key(self.ca)].body
            self.publish(entries, number=number)
            try:
                self._take_event(caller)()
            finally:
                self.deployment.publish_crl(self.ca, newest)

        return run

    def _take_event(self, caller: str) -> Act:
        queue = self.deployment.crl_arrivals
        bound = _Bound(queue, queue.receive(1))
        handler = revoke_environment(self.deployment, caller=caller)
        mapping = EventSourceMapping(bound, self.account.sqs, lambda: handler, batch_size=1, timeout=900)  # type: ignore[arg-type]

        def poll() -> None:
            invocation = mapping.poll()
            if invocation and isinstance(invocation.error, Exception):
                raise invocation.error

        return poll

    def drain(self) -> None:
        super().drain()
        self.revoke.drain(within=DAY)
        super().drain()

    def settle(self) -> None:
        self.revoke = self.deployment.revoke_mapping()
        super().settle()
        self.watch.broken += [("CRL", text) for text in self._list_wrong()]

    def _list_wrong(self) -> list[str]:
        """What is not as the newest CRL says, at the end."""
        wrong = []
        if self.only_older_ones_lift and self.watch.release_orders:
            wrong.append("an older CRL lifted a hold")
        for label, leaf in self.devices.items():
            status, away = self.status(leaf), self.watch.taken_away.get(leaf.certificate_id)
            reason = self.listed.get(label)
            if reason is FOR_GOOD and status not in ("REVOKED", None):
                wrong.append(f"{label} is {status}, and listed for good")
            if reason is HOLD and status not in ("INACTIVE", "REVOKED", "PENDING_ACTIVATION", None):
                wrong.append(f"{label} is {status}, and listed as on hold")
            if reason is None and status == "INACTIVE" and away and away.by == REVOKE:
                wrong.append(f"{label} is {status}, and its hold was lifted")
            if away and away.by == REVOKE and leaf.certificate_id not in self.ever_listed:
                wrong.append(f"{label} was taken out, and no CRL lists it")
        return wrong

    def state(self) -> object:
        published = self.account.s3.buckets[self.deployment.settings.crl_bucket][object_key(self.ca)].body
        queue = [(str(one.body), one.receives, one.visible_at) for one in self.deployment.crl_arrivals.messages]
        return repr((super().state(), published, queue, sorted(self.ever_listed), sorted(self.watch.suspended)))

    def _is_at_rest(self) -> bool:
        return super()._is_at_rest() and not self.deployment.crl_arrivals.size


def _world(*labels: str) -> CrlWorld:
    """A world in which these devices are ACTIVE, and one that no CRL lists."""
    world = CrlWorld()
    for number, label in enumerate((*labels, "bystander"), start=1):
        world.bring_up(world.device(label, name=f"sensor-{number}"))
    world.clock.advance(60)  # decisions are told apart by their times
    return world


def _on_active(reason: ReasonFlags, other: Other) -> Callable[[], Prepared]:
    """A CRL lists a device that is ACTIVE, and somebody else acts."""

    def prepare() -> Prepared:
        world = _world("device")
        arrives = world.arrival("revoke-1", {"device": reason})
        return world, {"a CRL lists `device`": arrives, "the other": other(world, world.devices["device"])}

    return prepare


def _on_hold(other: Other) -> Callable[[], Prepared]:
    """A CRL lists a device no more that the one before has on hold, and somebody else acts."""

    def prepare() -> Prepared:
        world = _world("device")
        world.apply({"device": HOLD})
        arrives = world.arrival("revoke-1", {})
        return world, {"a CRL lifts the hold of `device`": arrives, "the other": other(world, world.devices["device"])}

    return prepare


def _on_new(reason: ReasonFlags) -> Callable[[], Prepared]:
    """A CRL lists a device that comes up at this moment."""

    def prepare() -> Prepared:
        world = _world()
        device = world.device("device", name="sensor-9")
        looks = world.look("register-1", device)
        return world, {"it comes up": looks, "a CRL lists `device`": world.publication("revoke-1", {"device": reason})}

    return prepare


def _lifted_again() -> Prepared:
    """`register` evaluates a device whose hold was lifted, and the next CRL has it on hold again."""
    world = _world("device")
    world.apply({"device": HOLD})
    world.publish({})
    world.revoke.drain(within=DAY)
    world.clock.advance(60)
    looks = world.look_at_sent("register-1")
    return world, {
        "a look at `device`, whose hold was lifted": looks,
        "the next CRL": world.publication("revoke-1", {"device": HOLD}),
    }


def _lifted_and_ordered() -> Prepared:
    """`register` evaluates a device whose hold was lifted, and the functions carry out an order to deactivate it."""
    world = _world("device")
    device = world.devices["device"]
    world.apply({"device": HOLD})
    world.publish({})
    world.revoke.drain(within=DAY)
    world.clock.advance(60)
    looks = world.look_at_sent("register-1")
    orders = order_away(world, BOB, device, OperatorAction.DEACTIVATED)
    return world, {"a look at `device`, whose hold was lifted": looks, "bob orders it away": orders}


def _order_away(action: OperatorAction) -> Other:
    return lambda world, device: order_away(world, BOB, device, action)


def _twice(world: CrlWorld, _device: Leaf) -> Act:
    """The same event comes twice, to another environment."""
    world.deployment.publish_crl(
        world.ca, world.account.s3.buckets[world.deployment.settings.crl_bucket][object_key(world.ca)].body
    )
    return world._take_event("revoke-2")


def _sweep(world: CrlWorld, _device: Leaf) -> Act:
    return world.sweep()


def _take_away(action: OperatorAction) -> Other:
    return lambda world, device: world.take_away(BOB, device, action)


CRLS = (
    Pair("crl-twice", "a CRL for good, and the same event again", _on_active(FOR_GOOD, _twice)),
    Pair("hold-twice", "a hold, and the same event again", _on_active(HOLD, _twice)),
    Pair("crl-and-activation", "a CRL for good, and a first look", _on_new(FOR_GOOD)),
    Pair("hold-and-activation", "a hold, and a first look", _on_new(HOLD)),
    Pair("crl-and-sweep", "a CRL for good, and the sweep", _on_active(FOR_GOOD, _sweep)),
    Pair("hold-and-sweep", "a hold, and the sweep", _on_active(HOLD, _sweep)),
    Pair("crl-and-revoke", "a CRL, and an operator's order", _on_active(FOR_GOOD, _take_away(OperatorAction.REVOKED))),
    Pair("hold-and-revoke", "a hold, and an operator revokes", _on_active(HOLD, _take_away(OperatorAction.REVOKED))),
    Pair(
        "hold-and-deactivate",
        "a hold, and an operator deactivates",
        _on_active(HOLD, _take_away(OperatorAction.DEACTIVATED)),
    ),
    Pair(
        "crl-and-release",
        "a CRL for good, and an operator releases",
        _on_active(FOR_GOOD, lambda world, device: world.release(BOB, device)),
    ),
    Pair(
        "hold-and-release",
        "a hold, and an operator releases",
        _on_active(HOLD, lambda world, device: world.release(BOB, device)),
    ),
    Pair(
        "hold-and-lift",
        "a hold, and the next CRL without it",
        _on_active(HOLD, lambda world, _device: world.publication("revoke-2", {})),
    ),
    Pair(
        "hold-and-older",
        "a hold, and an older CRL without it",
        _on_active(HOLD, lambda world, _device: world.older_arrival("revoke-2", {})),
    ),
    Pair(
        "lift-and-deactivate",
        "a hold is lifted, an operator deactivates",
        _on_hold(_take_away(OperatorAction.DEACTIVATED)),
    ),
    Pair("lift-and-revoke", "a hold is lifted, and an operator revokes", _on_hold(_take_away(OperatorAction.REVOKED))),
    Pair("lift-and-sweep", "a hold is lifted, and the sweep", _on_hold(_sweep)),
    Pair("lift-twice", "a hold is lifted, and the same event again", _on_hold(_twice)),
    Pair(
        "lift-and-console",
        "a hold is lifted, and the console sets INACTIVE",
        _on_hold(lambda world, device: world.console(device, "INACTIVE")),
    ),
    Pair("hold-and-order", "a hold, and an order on many", _on_active(HOLD, _order_away(OperatorAction.REVOKED))),
    Pair("lifted-and-ordered", "a look after a lift, and an order on many", _lifted_and_ordered),
    Pair("lifted-and-held-again", "a look after a lift, and the next CRL has it on hold", _lifted_again),
)
