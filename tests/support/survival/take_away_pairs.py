"""The pairs of acts around an order on many devices, which the functions carry out; their schedules are explored."""

from collections.abc import Callable

from jitr.errors import Unavailable
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import Operator
from simulation import Leaf
from tests.support.survival.explored_world import ExploredWorld, Prepared
from tests.support.survival.explorer import Pair
from tests.support.survival.one_thread import Act

ANN, BOB = "operator-ann", "operator-bob"
REVOKED = OperatorAction.REVOKED
# A message that was put off comes again within 100 s; one that was lost is sent again after an hour.
_PAUSES = (0, 100, 3700, 3700)


def order_away(world: ExploredWorld, name: str, leaf: Leaf, action: OperatorAction = REVOKED) -> Act:
    """Order a certificate away as `jitrctl device revoke --from` does, and let the functions carry it out.

    An operator who finds a verdict that denies as much leaves it.
    """
    table, certificate_id = world.deployment.settings.registry_table, leaf.certificate_id
    registry = Registry(world.account.client("dynamodb", caller=name), table)

    def give(_operator: Operator) -> None:
        seen = registry.recall([certificate_id])[certificate_id]
        if seen.verdict is None or not (seen.verdict.action is action or action.is_weaker_than(seen.verdict.action)):
            verdict = OperatorVerdict(action=action, by=f"arn:{name}", at=world.clock.now())
            registry.order_take_away(certificate_id, verdict, seen=seen)
        for pause in _PAUSES:
            world.clock.sleep(pause)
            world.sweep()()
            world._take(f"register-{name}", world.deployment.registrations.receive(10))()
            if not registry.recall([certificate_id])[certificate_id].is_take_away_ordered:
                return
        raise Unavailable("the order is not carried out yet")

    return world._order(name, leaf, give, took_away=True)


def _pending(other: Callable[[ExploredWorld, Leaf], Act]) -> Callable[[], Prepared]:
    """An order on a device that has just come, and another act."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={})
        leaf = world.device("device")
        return world, {"ann orders `device` away": order_away(world, ANN, leaf), "the other": other(world, leaf)}

    return prepare


def _active(other: Callable[[ExploredWorld, Leaf], Act]) -> Callable[[], Prepared]:
    """An order on a device that is ACTIVE and connected, and another act."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={})
        leaf = world.device("device")
        world.bring_up(leaf)
        world.connect(leaf)
        return world, {"ann orders `device` away": order_away(world, ANN, leaf), "the other": other(world, leaf)}

    return prepare


def _rotation() -> Prepared:
    world = ExploredWorld(home={})
    old = world.device("old", begins=-300, ends=30)
    world.bring_up(old)
    world.connect(old)
    new = world.device("new")
    return world, {
        "ann orders `old` away": order_away(world, ANN, old),
        "`new` follows it": world.look("register", new),
    }


TAKE_AWAYS = (
    Pair(
        "order-and-activation", "an order, and a first look", _pending(lambda world, leaf: world.look("register", leaf))
    ),
    Pair("order-and-rotation", "an order on a certificate, and its successor", _rotation),
    Pair("order-twice", "two operators order the same", _active(lambda world, leaf: order_away(world, BOB, leaf))),
    Pair(
        "order-and-hold",
        "one orders REVOKED, another INACTIVE",
        _active(lambda world, leaf: order_away(world, BOB, leaf, OperatorAction.DEACTIVATED)),
    ),
    Pair(
        "order-and-one",
        "an order on many, and one operator's own",
        _active(lambda world, leaf: world.take_away(BOB, leaf, OperatorAction.DEACTIVATED)),
    ),
    Pair("order-and-release", "an order, and a release", _active(lambda world, leaf: world.release(BOB, leaf))),
    Pair("order-and-sweep", "an order, and another sweep", _active(lambda world, _leaf: world.sweep())),
    Pair(
        "order-and-console", "an order, and the console", _active(lambda world, leaf: world.console(leaf, "INACTIVE"))
    ),
    Pair("order-and-delete", "an order, and a deletion", _active(lambda world, leaf: world.console(leaf, "delete"))),
)
