"""A lost CA and its lifting, as scenarios of the failure matrix."""

from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from tests.support.survival.lost_ca import LostCa
from tests.support.survival.scenario_world import World, authority
from tests.support.survival.scenarios import Scenario


def _lost_ca(world: World) -> LostCa:
    return LostCa(world.deployment, authority(), name="factory", caller="operator")


def _connected(world: World) -> None:
    world.connect()
    world.mapping.drain()
    assert world.connect() == "accepted"
    world.aws.clock.advance(1)  # decisions of one millisecond are one decision to a condition


def _revoke(world: World) -> None:
    """What `jitrctl ca revoke --devices revoke` does in one account; the functions do the rest."""
    _lost_ca(world).revoke(OperatorAction.REVOKED)
    world.is_over = True


def _again(world: World) -> None:
    """The same command, after one that failed; then the sweep."""
    if not world.is_over:
        _revoke(world)
    world.deployment.sweep()
    world.mapping.drain()


def _is_lost(world: World) -> None:
    record = world.registry().recall([world.leaf.certificate_id])[world.leaf.certificate_id]
    assert (world.status(), record.ordered, record.intent) == ("REVOKED", None, None)
    assert world.account.iot.cas.by_id[authority().certificate_id].status == "INACTIVE"
    assert world.account.iot.connections.connected_as("sensor-0001") is None
    assert world.registry().list_due(Due.TAKE_AWAY, world.aws.clock.now(), most=1) == []
    assert world.connect() == "refused"


def _held(world: World) -> None:
    """The device has come, and its CA was revoked before it was decided on."""
    world.connect()
    _lost_ca(world).revoke(None)
    world.mapping.drain()
    assert world.status() == "PENDING_ACTIVATION"
    world.aws.clock.advance(1)


def _lift(world: World) -> None:
    _lost_ca(world).lift()
    world.is_over = True


def _lift_again(world: World) -> None:
    """The same command, after one that failed; the device is evaluated again when that is due, or comes by itself."""
    if not world.is_over:
        _lift(world)
    world.aws.clock.advance(86_400)
    world.deployment.sweep()
    world.mapping.drain(within=86_400)


def _is_admitted(world: World) -> None:
    assert (world.status(), world.is_provisioned(), world.connect()) == ("ACTIVE", True, "accepted")


LOST_CA_SCENARIOS = (
    Scenario(
        name="revoke a CA with its devices",
        prepare=_connected,
        act=_revoke,
        callers=("operator",),
        cure=_again,
        ends=_is_lost,
        ends_as="the CA INACTIVE, its device REVOKED, its session ended",
    ),
    Scenario(
        name="lift a CA's revocation",
        prepare=_held,
        act=_lift,
        callers=("operator",),
        cure=_lift_again,
        ends=_is_admitted,
        ends_as="the CA ACTIVE, and the device that was held ACTIVE by itself",
    ),
)
