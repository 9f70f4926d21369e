"""The sweep finishes withdrawals that carry a mark, and touches no certificate that carries none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

from jitr.store.registry import Registry
from simulation import Authority, Leaf
from tests.support.survival.promises import DAY, NAME, Promises
from tests.support.survival.renaming import strike_first
from tests.support.survival.withdrawal_marks import come_half_way, is_bare, mark, standing_marks, sweep_calls

A = Authority.new("Factory A")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/events/device-broken.v1.schema.json").read_text())
OTHER = "dev-0001"


@pytest.fixture
def world() -> Promises:
    return Promises({"factory": (A, {})})


@pytest.fixture
def device(world: Promises) -> Leaf:
    """An ACTIVE device."""
    leaf = world.issue("factory", begins=-300, ends=30)
    assert world.come_up(leaf) == "ACTIVE"
    return leaf


def broken(world: Promises) -> list[dict[str, Any]]:
    return [event.detail for event in world.account.events.put if event.detail_type == "Device Broken"]


def detach(world: Promises, leaf: Leaf, *, thing: bool = False, policy: bool = False) -> None:
    arn = world.certificate(leaf).arn
    if thing:
        world.admin.detach_thing_principal(thingName=NAME, principal=arn)
    if policy:
        world.admin.detach_policy(policyName="device", target=arn)
    world.clock.advance(10)


def things(world: Promises) -> list[str]:
    return list(world.account.iot.things.by_name)


@pytest.mark.parametrize("lacks", [{"thing": True}, {"policy": True}, {"thing": True, "policy": True}], ids=str)
def test_an_active_owner_with_a_mark_is_attached_again(world: Promises, device: Leaf, lacks: dict[str, bool]) -> None:
    mark(world, device)
    detach(world, device, **lacks)
    sweep_calls(world)
    assert world.is_whole(device)
    assert standing_marks(world) == []
    assert broken(world) == []


def test_an_active_owner_with_a_mark_that_is_whole_is_left_alone(world: Promises, device: Leaf) -> None:
    mark(world, device)
    assert sweep_calls(world) == ["DescribeCertificate", "ListPrincipalThings", "ListAttachedPolicies"]
    assert sweep_calls(world, after=900) == []


@pytest.mark.parametrize("what", ["thing", "policy"])
def test_an_active_certificate_without_a_mark_costs_no_call_and_is_not_touched(
    world: Promises, device: Leaf, what: str
) -> None:
    detach(world, device, **{what: True})
    assert sweep_calls(world) == []
    assert not world.is_whole(device)


def test_an_active_certificate_that_owns_nothing_and_lacks_something_is_announced(world: Promises) -> None:
    leaf = come_half_way(world)
    detach(world, leaf, thing=True, policy=True)
    world.set_status(leaf, "ACTIVE")
    mark(world, leaf)
    calls = sweep_calls(world)
    assert not [one for one in calls if one.startswith(("Attach", "Detach", "Update"))]
    (event,) = broken(world)
    jsonschema.validate(event, SCHEMA)
    assert event["lacks"] == ["thing", "policy"]
    assert event["cure"] == f"jitrctl device reconcile {leaf.certificate_id}"
    assert is_bare(world, leaf)
    assert standing_marks(world) == []


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_was_taken_away_is_detached_and_its_thing_deleted(
    world: Promises, status: Literal["INACTIVE", "REVOKED"]
) -> None:
    leaf = come_half_way(world)
    world.set_status(leaf, status)
    mark(world, leaf)
    sweep_calls(world)
    world.clock.advance(10)
    assert is_bare(world, leaf)
    sweep_calls(world, after=600)
    assert things(world) == []
    assert standing_marks(world) == []


def test_a_deactivated_device_keeps_its_thing_and_policy(world: Promises, device: Leaf) -> None:
    mark(world, device)
    world.set_status(device, "INACTIVE")
    sweep_calls(world)
    sweep_calls(world, after=600)
    assert world.is_whole(device)
    assert standing_marks(world) == []
    assert world.owner().certificate_id == device.certificate_id


def test_what_was_made_for_a_certificate_that_is_gone_is_deleted(world: Promises) -> None:
    leaf = come_half_way(world)
    mark(world, leaf)
    world.delete(leaf)
    sweep_calls(world)
    assert things(world) == []
    assert standing_marks(world) == []


def test_what_died_before_a_decision_is_sent_and_not_detached(world: Promises) -> None:
    leaf = come_half_way(world)
    mark(world, leaf)
    size = world.deployment.registrations.size
    assert sweep_calls(world) == ["DescribeCertificate"]
    assert world.deployment.registrations.size == size + 1
    world.mapping.drain(within=3600)
    assert (world.status(leaf), world.is_whole(leaf)) == ("ACTIVE", True)
    sweep_calls(world, after=3700)
    assert standing_marks(world) == []


def test_a_mark_is_left_alone_while_a_run_may_be_alive(world: Promises) -> None:
    leaf = world.issue("factory")
    world.connect(leaf)
    world.die_after("TransactWriteItems")
    mark(world, leaf, due_in=10)
    assert sweep_calls(world, after=30) == []
    assert len(standing_marks(world)) == 1
    assert sweep_calls(world, after=900) == ["DescribeCertificate"]


Change = Callable[[Promises, Leaf], None]


def _attributes(world: Promises, _leaf: Leaf) -> None:
    world.admin.update_thing(thingName=OTHER, attributePayload={"attributes": {"site": "x"}, "merge": True})


def _principal(world: Promises, leaf: Leaf) -> None:
    other = world.issue("factory", begins=-3)
    world.connect(other)
    world.admin.attach_thing_principal(thingName=OTHER, principal=world.certificate(other).arn)
    assert other.certificate_id != leaf.certificate_id


def _owner(world: Promises, _leaf: Leaf) -> None:
    client = world.account.client("dynamodb", caller="admin")
    registry = Registry(client, world.deployment.settings.registry_table)
    owner = registry.owner(NAME)
    assert owner
    registry.adopt(OTHER, replace(owner, certificate_id="0" * 64))


@pytest.mark.parametrize("used", [None, _attributes, _principal, _owner])
def test_a_thing_that_was_made_for_nothing_is_deleted_unless_somebody_uses_it(
    world: Promises, device: Leaf, used: Change | None
) -> None:
    made_for = {"attributes": {"jitr_certificate": device.certificate_id}}
    world.admin.create_thing(thingName=OTHER, attributePayload=made_for)
    if used:
        used(world, device)
    mark(world, device, OTHER)
    sweep_calls(world)
    assert (OTHER in things(world)) == (used is not None)
    assert world.is_whole(device)


def test_a_thing_that_jitr_did_not_make_for_this_certificate_stays(world: Promises, device: Leaf) -> None:
    world.admin.create_thing(thingName=OTHER)
    mark(world, device, OTHER)
    sweep_calls(world)
    assert OTHER in things(world)


def test_a_name_that_was_claimed_for_nothing_goes_back_and_its_thing_is_deleted(world: Promises, device: Leaf) -> None:
    made_for = {"attributes": {"jitr_certificate": device.certificate_id}}
    world.admin.create_thing(thingName=OTHER, attributePayload=made_for)
    client = world.account.client("dynamodb", caller="admin")
    registry = Registry(client, world.deployment.settings.registry_table)
    assert registry.adopt(OTHER, world.owner())  # as a claim that a release forgot
    mark(world, device, OTHER)
    sweep_calls(world)
    assert registry.owner(OTHER) is None
    assert things(world) == [NAME]
    assert world.owner().certificate_id == device.certificate_id
    assert world.is_whole(device)


def rotated(world: Promises) -> Leaf:
    new = world.issue("factory")
    assert world.come_up(new) == "ACTIVE"
    return new


@pytest.mark.parametrize("what", ["thing", "policy"])
def test_a_device_is_not_retired_for_a_follower_that_lacks_its_thing_or_policy(
    world: Promises, device: Leaf, what: str
) -> None:
    new = rotated(world)
    detach(world, new, **{what: True})
    for _ in range(3):
        sweep_calls(world, after=DAY)
    assert (world.status(device), world.is_whole(device)) == ("ACTIVE", True)
    assert not world.is_whole(new)
    events = broken(world)
    assert len({event["id"] for event in events}) == 1
    assert {(event["certificate_id"], *event["lacks"]) for event in events} == {(new.certificate_id, what)}
    arn = world.certificate(new).arn
    world.admin.attach_thing_principal(thingName=NAME, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    world.admin.attach_policy(policyName="device", target=arn)
    sweep_calls(world, after=DAY)
    sweep_calls(world, after=DAY)
    assert world.status(device) == "INACTIVE"


def test_a_final_rejection_takes_back_what_an_earlier_attempt_made() -> None:
    world = Promises({"factory": (A, {})})
    leaf = world.issue("factory")
    world.connect(leaf)
    world.aws.fault = strike_first("AttachPolicy", "throttled")
    world.mapping.poll()
    world.aws.fault = None
    world.deploy(factory={"common_name": "other-[0-9]+"})
    world.mapping.drain(within=DAY)
    assert world.status(leaf) == "INACTIVE"
    world.pass_days(2)
    assert is_bare(world, leaf)
    assert things(world) == []
    assert standing_marks(world) == []
