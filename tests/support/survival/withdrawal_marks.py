"""Marks of withdrawals in the registry: writes and reads them, and sees what the sweep does about them."""

from datetime import timedelta

from jitr.store.registry import Registry
from jitr.store.withdrawal_marks import marks
from simulation import Call, Leaf
from tests.support.survival.promises import NAME, Promises


def come_half_way(world: Promises, *, until: str = "AttachPolicy") -> Leaf:
    """Issue a certificate whose only attempt dies after a call, with its thing and policy attached."""
    leaf = world.issue("factory")
    world.connect(leaf)
    world.die_after(until)
    return leaf


def standing_marks(world: Promises) -> list[str]:
    """The keys of the marks that the registry holds."""
    return [key for (key,) in world.deployment.registry.items if key.startswith("withdrawal#")]


def mark(world: Promises, leaf: Leaf, *names: str, due_in: float = 90) -> None:
    """Mark names, or the tests' one, to be taken back from a certificate in `due_in` seconds."""
    client = world.account.client("dynamodb", caller="admin")
    left = marks(leaf.certificate_id, names or [NAME], "device", world.clock.now() + timedelta(seconds=due_in - 90))
    Registry(client, world.deployment.settings.registry_table).note_withdrawals(left)


def sweep_calls(world: Promises, *, after: float = 120) -> list[str]:
    """The IoT calls that one sweep makes, besides listing."""
    world.clock.advance(after)
    began = len(world.aws.calls)
    world.deployment.sweep()
    calls: list[Call] = world.aws.calls[began:]
    return [one.operation for one in calls if one.service == "iot" and not one.operation.startswith("ListCertificates")]


def is_bare(world: Promises, leaf: Leaf) -> bool:
    """Whether nothing is attached to the certificate."""
    arn = world.certificate(leaf).arn
    return not world.account.iot.things.of_principal(arn) and not world.account.iot.policies.of_target(arn)
