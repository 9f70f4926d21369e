"""Revokes devices one by one, by a CRL or by an operator: seconds until each one's CONNECT is refused; virtual time."""

import statistics
from functools import partial
from typing import Any

from bench.conditions import COLD_START
from bench.revoke_world import RevokeWorld
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from simulation.leaf import Leaf

_STEP = 0.05  # seconds between two looks
_QUARTER = 900.0
_POLL = 0.2  # the longest time until a message is received


def by_crl(fleet: int, number: int) -> dict[str, Any]:
    """Publish one CRL for each device, a quarter of an hour apart, to an environment that starts cold."""
    world = RevokeWorld(fleet, number)
    world.limit()
    spans, listed = [], []
    for leaf in world.listed:
        world.clock.advance(_QUARTER)
        world.mapping.drain(within=_QUARTER)
        world.mapping = world.deployment.revoke_mapping()
        listed.append(leaf)
        began = world.clock.monotonic()
        world.publish(listed)
        world.clock.spawn(lambda: _work(world))
        spans.append(_wait_until_refused(world, leaf, began))
    refused = sum(world.account.connect(leaf, client_id="sensor") == "refused" for leaf in world.listed)
    world.clock.close()
    return {"crl": _percentiles(spans) | {"refused": refused}}


def _take_away(operator: Operator, leaf: Leaf) -> None:
    operator.take_away(leaf.certificate_id, OperatorAction.REVOKED, _CONTEXT)


def _work(world: RevokeWorld) -> None:
    world.clock.sleep(_POLL + COLD_START)
    world.mapping.poll()


def by_operator(number: int) -> dict[str, Any]:
    """Revoke each device as `jitrctl device revoke` does in one account, without the command's own start."""
    world = RevokeWorld(number, number)
    world.limit()
    client = world.account.client("iot", caller="operator")
    table = world.deployment.settings.registry_table
    operator = Operator(
        client=client,
        iot=AwsIot(client, Unpaced(), clock=world.clock.now, rules=world.deployment.rules),
        registry=Registry(world.account.client("dynamodb", caller="operator"), table),
        rules=world.deployment.rules,
        clock=world.clock.now,
        monotonic=world.clock.monotonic,
        sleep=world.clock.sleep,
    )
    spans = []
    for leaf in world.listed:
        world.clock.advance(1.0)
        began = world.clock.monotonic()
        world.clock.spawn(partial(_take_away, operator, leaf))
        spans.append(_wait_until_refused(world, leaf, began))
    refused = sum(world.account.connect(leaf, client_id="sensor") == "refused" for leaf in world.listed)
    world.clock.close()
    return {"operator": _percentiles(spans) | {"refused": refused}}


_CONTEXT = OrderContext(by="arn:bench")


def _wait_until_refused(world: RevokeWorld, leaf: Leaf, began: float) -> float:
    while world.status(leaf) == "ACTIVE":
        world.clock.advance(_STEP)
    return world.clock.monotonic() - began


def _percentiles(spans: list[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(spans, n=100, method="inclusive")
    return {"devices": len(spans), "p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(spans)}
