"""Orders that end a device's sessions, as scenarios of the failure matrix."""

from datetime import timedelta

from jitr.sessions import SessionState
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import OrderContext
from simulation import Leaf
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import OPERATOR, Scenario
from tests.support.survival.session_orders import end_sessions

NAME = "sensor-0001"


def _take_out(world: World, leaf: Leaf) -> None:
    """What `jitrctl device revoke` does in one account; it is done when it has ended or left each session."""
    world.operator.take_away(leaf.certificate_id, OperatorAction.REVOKED, OrderContext(by=OPERATOR))
    results = end_sessions(world.account, "operator", leaf.certificate_id)
    world.is_over = all(one.state is not SessionState.FAILED for one in results)


def _again(world: World, leaf: Leaf) -> None:
    """The same command, after an order that failed."""
    if not world.is_over:
        _take_out(world, leaf)


def _connected(world: World) -> None:
    _come_up(world, world.leaf)


def _come_up(world: World, leaf: Leaf) -> None:
    world.connect(leaf)
    world.mapping.drain()
    assert world.connect(leaf) == "accepted"


def _rotated(world: World) -> None:
    """The device's old certificate is replaced, both are ACTIVE, and the new one is connected."""
    world.old = world.issue(NAME, begins=timedelta(days=-300), ends=timedelta(days=30))
    _come_up(world, world.old)
    _come_up(world, world.leaf)


def _out(world: World) -> None:
    assert world.status() == "REVOKED"
    assert world.account.iot.connections.connected_as(NAME) is None
    assert [one[1] for one in world.account.iot.connections.deleted] == [world.leaf.certificate_id]
    assert world.connect() == "refused"


def _new_one_stays(world: World) -> None:
    assert world.status(world.old) == "REVOKED"
    assert world.status() == "ACTIVE"
    assert world.account.iot.connections.connected_as(NAME) == world.leaf.certificate_id
    assert world.account.iot.connections.deleted == []


SESSION_SCENARIOS = (
    Scenario(
        name="revoke a connected device",
        prepare=_connected,
        act=lambda world: _take_out(world, world.leaf),
        callers=("operator",),
        cure=lambda world: _again(world, world.leaf),
        ends=_out,
        ends_as="REVOKED, its session ended",
    ),
    Scenario(
        name="revoke a replaced certificate",
        prepare=_rotated,
        act=lambda world: _take_out(world, world.old),
        callers=("operator",),
        cure=lambda world: _again(world, world.old),
        ends=_new_one_stays,
        ends_as="REVOKED; the new one's session goes on",
    ),
)
