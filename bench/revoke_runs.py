"""Lets one CRL list many devices of a fleet, alone and beside devices that come up; in virtual time."""

import time
from collections import Counter
from typing import Any

from bench.conditions import SECONDS_BETWEEN_BATCHES
from bench.revoke_world import RevokeWorld
from jitr.aws.rate_limit import BATCH_SIZE, max_concurrency_for
from simulation.lambda_ import EventSourceMapping
from simulation.leaf import Leaf
from simulation.quotas import IOT_CALLS_PER_SECOND

_PER_SECOND = IOT_CALLS_PER_SECOND["UpdateCertificate"]
_CONNECTS_PER_SECOND = 12  # fewer than AWS registers, more than come up
_STEP = 0.25  # seconds between two looks
_DAY = 86_400.0


def measure_many(fleet: int, listed: int) -> dict[str, Any]:
    """One CRL with so many devices of the fleet: seconds from the yes to the last REVOKED."""
    began = time.process_time()
    world = RevokeWorld(fleet, listed)
    world.publish(world.listed)
    world.mapping.drain(within=1.0)
    world.approve()
    world.limit()
    return _apply(world, listed, listed) | {"processor_seconds": time.process_time() - began}


def measure_large(fleet: int, listed: int, entries: int) -> dict[str, Any]:
    """A CRL with so many entries, of which few are of the fleet: seconds from its arrival to the last REVOKED."""
    began = time.process_time()
    world = RevokeWorld(fleet, listed)
    world.publish([], entries=entries - listed)
    world.mapping.drain(within=_DAY)
    world.limit()
    world.publish(world.listed, entries=entries)
    world.approve()  # of so small a fleet that they are many
    return _apply(world, listed, entries) | {"processor_seconds": time.process_time() - began}


def _apply(world: RevokeWorld, listed: int, entries: int) -> dict[str, Any]:
    began, left, runs = world.clock.monotonic(), {one.certificate_id for one in world.listed}, 0
    certificates = world.account.iot.certificates.by_id
    while left:
        if world.mapping.poll() is None:
            world.clock.advance(1.0)
        else:
            runs += 1
        left = {one for one in left if certificates[one].status == "ACTIVE"}
    seconds = world.clock.monotonic() - began
    world.mapping.drain(within=_DAY)
    statuses = Counter(one.status for one in certificates.values())
    return {
        "fleet": world.fleet,
        "entries": entries,
        "listed": listed,
        "revoked": sum(world.status(one) == "REVOKED" for one in world.listed),
        "others_touched": world.fleet - listed - statuses["ACTIVE"],
        "seconds": seconds,
        "bound": listed / _PER_SECOND,
        "runs": runs,
        "throttled": sum(world.account.throttled.values()),
    }


def measure_beside(fleet: int, listed: int, new: int) -> dict[str, Any]:
    """One CRL with so many devices of the fleet, while new ones connect: seconds until all of these are ACTIVE."""
    processor = time.process_time()
    world = RevokeWorld(fleet, listed)
    leaves = [world.authority.issue(f"sensor-{fleet + number:07}") for number in range(new)]
    world.publish(world.listed)
    world.mapping.drain(within=1.0)
    world.approve()
    world.limit()
    _start(world)
    began = world.clock.monotonic()
    active = _let_connect(world, leaves)
    seconds = world.clock.monotonic() - began
    meanwhile = sum(world.status(one) == "REVOKED" for one in world.listed)
    left = [one for one in world.listed if world.status(one) == "ACTIVE"]
    while left:
        world.clock.advance(1.0)
        left = [one for one in left if world.status(one) == "ACTIVE"]
    all_seconds = world.clock.monotonic() - began
    world.clock.close()
    return {
        "fleet": fleet,
        "listed": listed,
        "new": new,
        "active": active,
        "seconds": seconds,
        "bound": new / _PER_SECOND,
        "revoked_meanwhile": meanwhile,
        "revoked": sum(world.status(one) == "REVOKED" for one in world.listed),
        "all_seconds": all_seconds,
        "throttled": sum(world.account.throttled.values()),
        "processor_seconds": time.process_time() - processor,
    }


def _start(world: RevokeWorld) -> None:
    """Start the environments of `register` and `revoke`, each in a task."""

    def work(mapping: EventSourceMapping) -> None:
        while True:
            world.clock.sleep(0.2 if mapping.poll() is None else SECONDS_BETWEEN_BATCHES)

    for _ in range(max_concurrency_for(_PER_SECOND)):
        mapping = world.deployment.mapping(batch_size=BATCH_SIZE)
        world.clock.spawn(lambda mapping=mapping: work(mapping))  # type: ignore[misc]
    world.clock.spawn(lambda: work(world.mapping))


def _let_connect(world: RevokeWorld, leaves: list[Leaf]) -> int:
    """Let all connect, again where AWS did not register them, until they are ACTIVE; their number."""
    certificates = world.account.iot.certificates.by_id
    waiting, registered = list(leaves), list[Leaf]()
    began, longest = world.clock.monotonic(), 10 * len(leaves) / _PER_SECOND
    tokens = 0.0
    while (waiting or registered) and world.clock.monotonic() - began < longest:
        tokens += _CONNECTS_PER_SECOND * _STEP
        for leaf in waiting[: int(tokens)]:
            world.account.connect(leaf, client_id="sensor")
        tokens -= int(tokens)
        registered += [one for one in waiting if one.certificate_id in certificates]
        waiting = [one for one in waiting if one.certificate_id not in certificates]
        world.clock.advance(_STEP)
        registered = [one for one in registered if world.status(one) != "ACTIVE"]
    return len(leaves) - len(waiting) - len(registered)
