"""The pairs of acts around a CA that is revoked with its devices, and its lifting; their schedules are explored.

A device of another CA is ACTIVE throughout.
"""

from collections.abc import Callable

from botocore.exceptions import ClientError

from jitr.errors import JitrError, Unavailable
from jitr.verdicts import OperatorAction
from jitrctl.errors import JitrctlError
from simulation import Leaf
from tests.support.survival.explored_world import HOME, HOSTILE, ExploredWorld, Prepared, authority
from tests.support.survival.explorer import Pair
from tests.support.survival.lost_ca import LostCa
from tests.support.survival.one_thread import Act

ANN, BOB = "operator-ann", "operator-bob"
REVOKED, DEACTIVATED = OperatorAction.REVOKED, OperatorAction.DEACTIVATED
# A message that was put off comes again within 100 s; one that was lost is sent again after an hour.
_PAUSES = (0, 100, 3700, 3700)


def revoke_ca(world: ExploredWorld, name: str, action: OperatorAction = REVOKED) -> Act:
    """`jitrctl ca revoke --devices`, until the functions have carried it out."""
    order = _lost_ca(world, name)

    def give() -> None:
        ids = order.revoke(action)
        for pause in _PAUSES:
            world.clock.sleep(pause)
            world.sweep()()
            world._take(f"register-{name}", world.deployment.registrations.receive(10))()
            if order.is_carried_out(ids):
                return
        raise Unavailable("the orders are not carried out yet")

    return _order(world, name, give, took_away=True)


def lift(world: ExploredWorld, name: str) -> Act:
    """`jitrctl ca revoke --lift`."""
    return _order(world, name, _lost_ca(world, name).lift)


def _lost_ca(world: ExploredWorld, name: str) -> LostCa:
    return LostCa(world.deployment, authority(HOME), name=HOME, caller=name)


def _order(world: ExploredWorld, name: str, give: Callable[[], None], **ends: bool) -> Act:
    """An order on the CA; if it is cut off, the same person gives it again."""

    def run() -> None:
        devices = [
            one.certificate_id
            for one in world.devices.values()
            if one.ca_certificate_id == authority(HOME).certificate_id
        ]
        for certificate_id in devices:
            world.watch.running[certificate_id] += 1
        done = False
        try:
            give()
            for certificate_id in devices:
                world.watch.order_ends(certificate_id, name, **ends)
            done = True
        except (JitrctlError, JitrError, ClientError):
            pass
        finally:
            for certificate_id in devices:
                world.watch.running[certificate_id] -= 1
            if not done:
                world.watch.began.pop(name, None)
                world.unfinished.append(_order(world, name, give, **ends))

    return run


def _prepare(
    other: Callable[[ExploredWorld, Leaf], Act], *, is_active: bool, lifts: bool = False
) -> Callable[[], Prepared]:
    """The order on the CA of a device, which is ACTIVE or has just come, or its lifting; and another act."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={}, hostile={})
        good = world.device("good", ca=HOSTILE, name="sensor-2")
        world.bring_up(good)
        leaf = world.device("device")
        if is_active:
            world.bring_up(leaf)
            world.connect(leaf)
        if lifts:
            revoke_ca(world, "operator-carl", DEACTIVATED)()
        first = lift(world, ANN) if lifts else revoke_ca(world, ANN)
        what = "ann lifts it" if lifts else "ann revokes the CA of `device`"
        return world, {what: first, "the other": other(world, leaf)}

    return prepare


def _look(world: ExploredWorld, leaf: Leaf) -> Act:
    return world.look("register", leaf)


LOST_CAS = (
    Pair("lost-ca-and-activation", "a lost CA, and a first look at its device", _prepare(_look, is_active=False)),
    Pair("lost-ca-and-sweep", "a lost CA, and another sweep", _prepare(lambda world, _: world.sweep(), is_active=True)),
    Pair("lost-ca-twice", "two operators revoke it", _prepare(lambda world, _: revoke_ca(world, BOB), is_active=True)),
    Pair(
        "lost-ca-and-hold",
        "one orders its devices REVOKED, another INACTIVE",
        _prepare(lambda world, _: revoke_ca(world, BOB, DEACTIVATED), is_active=True),
    ),
    Pair(
        "lost-ca-and-lifting", "one revokes it, another lifts that", _prepare(lambda w, _: lift(w, BOB), is_active=True)
    ),
    Pair(
        "lost-ca-and-one",
        "a lost CA, and an operator's own order on a device",
        _prepare(lambda world, leaf: world.take_away(BOB, leaf, DEACTIVATED), is_active=True),
    ),
    Pair(
        "lost-ca-and-release",
        "a lost CA, and a release",
        _prepare(lambda world, leaf: world.release(BOB, leaf), is_active=True),
    ),
    Pair(
        "lost-ca-and-console",
        "a lost CA, and the console activates a device",
        _prepare(lambda world, leaf: world.console(leaf, "ACTIVE"), is_active=True),
    ),
    Pair("lifting-and-activation", "its lifting, and a look at a device", _prepare(_look, is_active=False, lifts=True)),
    Pair(
        "lifting-and-sweep",
        "its lifting, and a sweep",
        _prepare(lambda world, _: world.sweep(), is_active=True, lifts=True),
    ),
)
