"""The outcomes of an import for the failure matrix: registered without a CA, beside a first connection, resumed."""

from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend, send_events
from jitr.aws.rate_limit import Unpaced
from jitr.decisions import Outcome
from jitr.import_order import ImportOrder
from jitr.iot_models import Status
from jitr.store.registry import Registry
from jitrctl.device.certificate_import import CertificateImport
from simulation import Leaf
from simulation.deployment import source_rules
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import OPERATOR, Scenario

SOURCE = source_rules(thing_groups=("group",))


def import_one(
    world: World, leaf: Leaf | None = None, *, caller: str = "operator", may_follow: bool = False
) -> str | None:
    """What `jitrctl device import` does with one certificate that has no decision here; why it is not imported."""
    leaf = leaf or world.leaf
    client = world.account.client("iot", caller=caller)
    registry = Registry(world.account.client("dynamodb", caller=caller), world.deployment.settings.registry_table)
    iot = AwsIot(client, Unpaced(), clock=world.aws.clock.now, rules=world.deployment.rules)
    now = world.aws.clock.now()
    order = ImportOrder(source=SOURCE.certificate_id, by=OPERATOR, at=now, may_follow=may_follow)
    seen = registry.recall([leaf.certificate_id])[leaf.certificate_id]
    if seen.decision and not seen.import_order:
        return None  # the plan leaves it out
    if why_not := CertificateImport(client, iot, registry).register(leaf.certificate_id, leaf.pem, order, seen):
        return why_not
    event = EventToSend(certificate_id=leaf.certificate_id, ca_certificate_id=None, registered_at=None)
    sqs, settings = world.account.client("sqs", caller=caller), world.deployment.settings
    send_events(sqs, settings.registrations_queue_url, [event], account_id=settings.account_id, now=now)
    return None


def _import(world: World) -> None:
    import_one(world)
    world.mapping.drain()


def _import_again(world: World) -> None:
    """The command is run again after the struck one is known to be dead, or the sweep completes it."""
    world.aws.clock.advance(100)
    import_one(world)
    world.mapping.drain()


def _sweep_completes(world: World) -> None:
    """Nobody runs the command again: what it has registered, the sweep completes."""
    world.aws.clock.advance(3700)
    world.deployment.sweep()
    world.mapping.drain()
    if world.leaf.certificate_id not in world.account.iot.certificates.by_id:
        import_one(world)  # it had not come so far
        world.mapping.drain()


def _imported(world: World) -> None:
    record = world.registry().recall([world.leaf.certificate_id])[world.leaf.certificate_id]
    decision = record.decision
    assert decision
    assert (decision.outcome, decision.status, decision.ca) == (Outcome.ACTIVATED, Status.ACTIVE, SOURCE.name)
    assert world.status() == "ACTIVE"
    assert world.is_provisioned()
    assert record.import_order is None
    owner = world.registry().owner("sensor-0001")
    assert owner
    assert owner.ca_certificate_id == SOURCE.certificate_id
    assert world.connect() == "accepted"


def _import_beside(world: World) -> None:
    """The device connects while it is imported; one of the two ways registers it."""
    import_one(world)
    world.connect()
    world.mapping.drain()


def _one_of_both(world: World) -> None:
    decision = world.decision()
    assert decision
    assert decision.outcome is Outcome.ACTIVATED
    registered = world.account.iot.certificates.by_id[world.leaf.certificate_id]
    assert decision.ca == ("factory" if registered.ca_certificate_id else SOURCE.name)
    assert world.is_provisioned()
    assert world.connect() == "accepted"


IMPORT_SCENARIOS = (
    Scenario(
        name="import",
        settings={"sources": (SOURCE,)},
        prepare=lambda _: None,
        act=_import,
        callers=("operator", "register"),
        cure=_import_again,
        ends=_imported,
        ends_as="registered without a CA, under its source's rules: ACTIVE as the last",
    ),
    Scenario(
        name="import, and the sweep",
        settings={"sources": (SOURCE,)},
        prepare=lambda _: None,
        act=_import,
        callers=("operator", "register"),
        cure=_sweep_completes,
        ends=_imported,
        ends_as="the same, without a second run of the command, once it is registered",
    ),
    Scenario(
        name="import and connect",
        settings={"sources": (SOURCE,)},
        prepare=lambda _: None,
        act=_import_beside,
        callers=("operator", "register"),
        cure=_import_again,
        ends=_one_of_both,
        ends_as="ACTIVE, under its CA's rules if it connected first, else under its source's",
    ),
)
