"""The pairs of acts around an order that also ends sessions, whose schedules are explored."""

from collections.abc import Callable

from jitr.rules import OnReplacement
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from simulation import Leaf
from tests.support.survival.explored_world import ExploredWorld, Prepared
from tests.support.survival.explorer import Pair
from tests.support.survival.one_thread import Act
from tests.support.survival.session_orders import end_sessions

ANN, BOB = "operator-ann", "operator-bob"


def take_out(world: ExploredWorld, name: str, leaf: Leaf, action: OperatorAction = OperatorAction.REVOKED) -> Act:
    """Take a certificate away and end its sessions, as `jitrctl device revoke` does; if it is cut off, once more."""

    def give(operator: Operator) -> None:
        if operator.take_away(leaf.certificate_id, action, OrderContext(by=f"arn:{name}")):
            end_sessions(world.account, name, leaf.certificate_id)

    return world._order(name, leaf, give, took_away=True)


def _connected(world: ExploredWorld, label: str, *, begins: float = -1, ends: float = 365) -> Leaf:
    leaf = world.device(label, begins=begins, ends=ends)
    world.bring_up(leaf)
    world.connect(leaf)
    return leaf


def _then_connects(world: ExploredWorld, leaf: Leaf) -> Act:
    """A look at a certificate, and its next CONNECT."""
    look = world.look("register", leaf)

    def run() -> None:
        look()
        world.connect(leaf)

    return run


def _rotation() -> Prepared:
    world = ExploredWorld(home={})
    old = _connected(world, "old", begins=-300, ends=30)
    follows = _then_connects(world, world.device("new"))
    return world, {"ann revokes `old`": take_out(world, ANN, old), "`new` follows it and connects": follows}


def _rotated() -> Prepared:
    """After the rotation, within the overlap; the successor comes and goes."""
    world = ExploredWorld(home={})
    old = _connected(world, "old", begins=-300, ends=30)
    new = _connected(world, "new")
    return world, {
        "ann revokes `old`": take_out(world, ANN, old),
        "a late look at `new`, which connects again": _then_connects(world, new),
    }


def _share() -> Prepared:
    world = ExploredWorld(home={"on_replacement": OnReplacement.SHARE})
    first = _connected(world, "first", begins=-2)
    second = _then_connects(world, world.device("second"))
    return world, {"ann revokes `first`": take_out(world, ANN, first), "`second` shares its thing": second}


def _meeting(other: Callable[[ExploredWorld, Leaf], Act]) -> Callable[[], Prepared]:
    """An order on a connected device, and somebody else."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={})
        leaf = _connected(world, "device")
        return world, {"ann revokes `device`": take_out(world, ANN, leaf), "the other": other(world, leaf)}

    return prepare


def _activation() -> Prepared:
    world = ExploredWorld(home={})
    leaf = world.device("device")
    comes_up = _then_connects(world, leaf)
    return world, {"ann revokes `device`": take_out(world, ANN, leaf), "it comes up and connects": comes_up}


SESSIONS = (
    Pair("take-out-and-rotation", "an order on a certificate, and its successor", _rotation),
    Pair("take-out-after-rotation", "an order within the overlap, and the successor connects", _rotated),
    Pair("take-out-and-share", "an order on one of two that share a thing", _share),
    Pair("take-out-and-activation", "an order on a device that comes up", _activation),
    Pair(
        "take-out-twice",
        "two operators order the same",
        _meeting(lambda world, leaf: take_out(world, BOB, leaf)),
    ),
    Pair(
        "take-out-and-hold",
        "one operator revokes, another deactivates",
        _meeting(lambda world, leaf: take_out(world, BOB, leaf, OperatorAction.DEACTIVATED)),
    ),
    Pair(
        "take-out-and-release", "one revokes, another releases", _meeting(lambda world, leaf: world.release(BOB, leaf))
    ),
    Pair("take-out-and-sweep", "an order, and the sweep", _meeting(lambda world, _leaf: world.sweep())),
)
