"""Promises of docs/how-it-works.md that two runs, two CAs and somebody in the console could once break."""

from collections.abc import Callable
from typing import Literal

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import OnReplacement
from simulation import Authority, Call, Fault, Moment
from simulation.lambda_ import EventSourceMapping
from tests.support.survival.promises import DAY, NAME, Promises

A, B = Authority.new("Factory A"), Authority.new("Factory B")


def polling(mapping: EventSourceMapping) -> Callable[[], None]:
    """A poll as a task of its own, beside others."""

    def poll() -> None:
        mapping.poll()

    return poll


def test_a_refusal_that_is_cut_short_lets_no_older_run_activate_without_thing_and_policy() -> None:
    world = Promises({"factory": (A, {"rotation_window": 10 * DAY})})
    old = world.issue("factory", begins=-300, ends=30)
    assert world.come_up(old) == "ACTIVE"
    new = world.issue("factory")
    world.connect(new)
    refusing = world.environment("refusing")
    world.deploy(factory={"rotation_window": 60 * DAY})
    world.clock.advance(20)
    world.connect(new)
    begun: list[bool] = []

    def meet(call: Call, moment: Moment) -> Fault | None:
        if call.caller == "register" and call.operation == "TransactWriteItems" and moment == "before" and not begun:
            begun.append(True)
            world.clock.spawn(polling(refusing))
            world.clock.sleep(20)
        # Its decision is not announced, and so not recorded.
        return Fault.THROTTLED if (call.caller, call.operation, moment) == ("refusing", "PutEvents", "before") else None

    world.aws.fault = meet
    world.clock.spawn(polling(world.mapping))
    world.clock.advance(60)
    world.aws.fault = None
    assert begun
    assert world.status(new) != "ACTIVE" or world.is_whole(new)
    world.mapping.drain(within=DAY)
    world.pass_days(3, new)
    assert (world.status(new), world.is_whole(new)) == ("ACTIVE", True)


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
@pytest.mark.parametrize("first", ["activated", "activated by hand", "never decided on"])
def test_a_certificate_that_register_saw_taken_away_stays_out_when_it_comes_back(
    status: Literal["INACTIVE", "REVOKED"], first: str
) -> None:
    world = Promises({"factory": (A, {})})
    leaf = world.issue("factory")
    if first == "activated by hand":
        world.connect(leaf)
        world.set_status(leaf, "ACTIVE")
        world.mapping.drain(within=3600)
    elif first == "activated":
        assert world.come_up(leaf) == "ACTIVE"
    if first != "never decided on":
        world.clock.advance(DAY)
        world.delete(leaf)
        world.clock.advance(600)
    world.connect(leaf)
    world.set_status(leaf, status)
    world.mapping.drain(within=3600)
    decision = world.record(leaf).decision
    assert decision
    assert (decision.outcome, decision.status) == (Outcome.FOUND, status)
    world.delete(leaf)
    world.clock.advance(600)
    world.come_up(leaf)
    world.clock.advance(30)
    assert world.come_up(leaf) != "ACTIVE"


def test_who_shares_under_its_own_ca_joins_no_thing_of_another_cas_device() -> None:
    world = Promises(
        {
            "a": (A, {"attributes": {"site": "berlin"}}),
            "b": (B, {"on_replacement": OnReplacement.SHARE, "attributes": {"site": "elsewhere"}}),
        }
    )
    device, other = world.issue("a"), world.issue("b")
    assert world.come_up(device) == "ACTIVE"
    assert world.come_up(other) == "PENDING_ACTIVATION"
    thing = world.account.iot.things.by_name[NAME]
    assert thing.attributes["site"] == "berlin"
    assert list(thing.principals) == [world.certificate(device).arn]


def test_a_deleted_owners_name_goes_to_the_former_owner_that_is_active() -> None:
    world = Promises({"a": (A, {"overlap": 7 * DAY}), "b": (B, {})})
    first = world.issue("a", begins=-300, ends=30)
    assert world.come_up(first) == "ACTIVE"
    second = world.issue("a")
    assert world.come_up(second) == "ACTIVE"
    clone = world.issue("b", begins=-500)
    assert world.come_up(clone) == "PENDING_ACTIVATION"
    world.delete(second)
    world.pass_days(10, clone)
    assert world.status(clone) == "PENDING_ACTIVATION"
    assert (world.status(first), world.is_whole(first)) == ("ACTIVE", True)
    third = world.issue("a", begins=-0.5)
    assert world.come_up(third) == "ACTIVE"
    assert third.certificate_id == world.owner().certificate_id
    assert first.certificate_id in world.owner().previous_owners


def test_who_loses_the_race_for_a_name_leaves_the_winners_thing_as_it_is() -> None:
    world = Promises(
        {
            "a": (A, {"attributes": {"site": "berlin"}, "thing_groups": ("plain",)}),
            "b": (B, {"attributes": {"site": "elsewhere"}, "thing_groups": ("admins",)}),
        }
    )
    device, other = world.issue("a"), world.issue("b")
    world.connect(device)
    world.connect(other)
    environment = world.environment("other")
    begun: list[bool] = []

    def meet(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("register", "AttachThingPrincipal", "before") and not begun:
            begun.append(True)
            world.clock.spawn(polling(environment))
            world.clock.sleep(2)
        if (call.caller, call.operation, moment) == ("other", "TransactWriteItems", "before"):
            world.clock.sleep(20)

    world.aws.fault = meet
    world.clock.spawn(polling(world.mapping))
    world.clock.advance(60)
    world.aws.fault = None
    assert begun
    assert (world.status(device), world.is_whole(device)) == ("ACTIVE", True)
    thing = world.account.iot.things.by_name[NAME]
    assert thing.attributes == {"site": "berlin", "jitr_certificate": device.certificate_id}
    assert list(thing.groups) == ["plain"]


@pytest.mark.parametrize("on_replacement", [OnReplacement.REJECT, OnReplacement.ROTATE])
def test_a_claim_that_came_to_nothing_refuses_no_device_for_good(on_replacement: OnReplacement) -> None:
    world = Promises({"factory": (A, {"on_replacement": on_replacement})})
    dead, device = world.issue("factory", begins=-2), world.issue("factory")
    world.connect(dead)
    world.die_after("TransactWriteItems")
    assert world.owner().certificate_id == dead.certificate_id
    world.set_status(dead, "INACTIVE")
    world.clock.advance(100)
    world.connect(device)
    world.mapping.poll()  # before the message of the one that claimed comes again
    assert world.status(device) != "INACTIVE"
    world.pass_days(2, device)
    assert (world.status(device), world.is_whole(device)) == ("ACTIVE", True)
    assert world.owner().certificate_id == device.certificate_id


def test_a_hold_of_an_earlier_registration_keeps_no_new_one_waiting() -> None:
    world = Promises({"factory": (A, {})})
    first, leaf = world.issue("factory", begins=-2), world.issue("factory")
    assert world.come_up(first) == "ACTIVE"
    assert world.come_up(leaf) == "PENDING_ACTIVATION"
    for seconds in (400, 1000, 4000):
        world.clock.advance(seconds)
        world.come_up(leaf)
    decision = world.record(leaf).decision
    assert decision
    assert decision.reason is Reason.NOT_A_ROTATION
    world.delete(first)
    world.delete(leaf)
    world.clock.advance(60)
    world.come_up(leaf)
    world.clock.advance(30)
    assert world.come_up(leaf) == "ACTIVE"


def test_an_owner_that_may_still_come_in_refuses_no_device_for_good() -> None:
    world = Promises({"factory": (A, {"on_replacement": OnReplacement.REJECT})})
    dead, device = world.issue("factory", begins=-2), world.issue("factory")
    world.connect(dead)
    world.die_after("TransactWriteItems")
    world.connect(device)
    world.mapping.poll()
    assert world.status(device) == "PENDING_ACTIVATION"
    assert (decision := world.record(device).decision)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)


def test_a_retired_certificate_that_somebody_deactivated_stays_out() -> None:
    world = Promises({"factory": (A, {})})
    old, new = world.issue("factory", begins=-300, ends=30), world.issue("factory")
    assert world.come_up(old) == "ACTIVE"
    assert world.come_up(new) == "ACTIVE"
    world.set_status(old, "INACTIVE")
    world.clock.advance(600)
    world.replay(old)
    world.clock.advance(7200)
    world.deployment.sweep()
    world.clock.advance(60)
    assert not world.account.iot.things.of_principal(world.certificate(old).arn)
    assert world.record(old).was_revoked_or_deactivated
    world.delete(old)
    world.clock.advance(600)
    assert world.come_up(old) != "ACTIVE"
    assert (decision := world.record(old).decision)
    assert decision.reason is Reason.WAS_REVOKED
