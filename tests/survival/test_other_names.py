"""A certificate whose thing name changes between two attempts ends on one thing, and no other thing stays."""

from collections.abc import Iterator

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.provisioning import OWNER_ATTRIBUTE
from simulation import Authority, Call, Died, Fault, Leaf, Moment
from tests.support.survival.promises import DAY, NAME, Promises
from tests.support.survival.renaming import Kind, Renaming, Strike, strike_first
from tests.support.survival.withdrawal_marks import standing_marks

A, B = Authority.new("Factory A"), Authority.new("Factory B")


def throttled_at(index: int) -> Strike:
    """The call of this number is throttled on all attempts."""
    seen: list[str] = []

    def strike(call: Call, moment: Moment) -> Fault | None:
        if call.invocation not in seen:
            seen.append(call.invocation)
        return Fault.THROTTLED if seen.index(call.invocation) == index and moment == "before" else None

    return strike


def dies_after(index: int) -> Strike:
    """The function dies right after the call of this number."""
    seen: list[str] = []

    def strike(call: Call, moment: Moment) -> None:
        if call.invocation not in seen:
            seen.append(call.invocation)
        if seen.index(call.invocation) == index and moment == "after":
            raise Died

    return strike


def number_of_calls(kind: Kind, *, first: Strike | None) -> list[Call]:
    """The calls of an attempt: the first one, or that after a first one that was struck like this."""
    it = Renaming(kind)
    it.world.connect(it.leaf)
    if first:
        it.attempt(first)
        it.rename()
        it.world.clock.advance(400)
    return it.attempt()


STRIKES = {"throttled": throttled_at, "dies": dies_after}


def cases(kind: Kind, first: Strike | None) -> Iterator[tuple[int, str]]:
    for index, call in enumerate(number_of_calls(kind, first=first)):
        yield index, call.operation


# A function that dies between these two calls leaves a thing of which nothing tells, and only a deployment that changes
# `thing_name` before the next attempt makes it one that is for none: docs/how-it-works.md names this window.
WINDOW = ("template", "dies", "CreateThing")


@pytest.mark.parametrize("how", STRIKES)
@pytest.mark.parametrize("kind", ["hook", "template"])
def test_a_name_that_changes_after_any_call_of_the_first_attempt_leaves_no_orphan(kind: Kind, how: str) -> None:
    played = 0
    for index, operation in cases(kind, None):
        if (kind, how, operation) == WINDOW:
            continue
        it = Renaming(kind)
        it.world.connect(it.leaf)
        it.attempt(STRIKES[how](index))
        it.rename()
        it.settle()
        try:
            it.check()
        except AssertionError as error:
            raise AssertionError(f"call {index}, {operation}, {how}: {error}") from error
        played += 1
    assert played >= 11


@pytest.mark.parametrize("how", STRIKES)
@pytest.mark.parametrize("kind", ["hook", "template"])
def test_a_name_that_changes_again_while_the_first_is_taken_back_leaves_no_orphan(kind: Kind, how: str) -> None:
    first = strike_first("AttachPolicy", "throttled")
    played = 0
    for index, operation in cases(kind, first):
        it = Renaming(kind)
        it.world.connect(it.leaf)
        it.attempt(first)
        it.rename()
        it.world.clock.advance(400)
        it.attempt(STRIKES[how](index))
        it.rename()
        it.settle()
        try:
            it.check()
        except AssertionError as error:
            raise AssertionError(f"call {index}, {operation}, {how}: {error}") from error
        played += 1
    assert played >= 6


@pytest.mark.parametrize("kind", ["hook", "template"])
def test_a_claim_that_came_to_nothing_goes_back_and_its_thing_too(kind: Kind) -> None:
    it = Renaming(kind)
    it.world.connect(it.leaf)
    it.attempt(strike_first("TransactWriteItems", "dies"))
    it.rename()
    it.settle()
    it.check()
    owned = [key for (key,) in it.world.deployment.registry.items if key.startswith("thing#")]
    assert len(owned) == 1


def test_a_certificate_on_its_predecessors_thing_is_detached_when_its_name_changes() -> None:
    world = Promises({"factory": (A, {})})
    old = world.issue("factory", begins=-300, ends=30)
    assert world.come_up(old) == "ACTIVE"
    new = world.issue("factory")
    world.connect(new)
    world.die_after("AttachThingPrincipal")
    world.deploy(factory={"thing_name": "dev-{common_name}"})
    world.mapping.drain(within=DAY)
    things = world.account.iot.things
    assert world.status(new) == "ACTIVE"
    assert list(things.of_principal(world.certificate(new).arn)) == [f"dev-{NAME}"]
    world.pass_days(2)
    assert (world.status(old), world.is_whole(old)) == ("ACTIVE", True)


def test_a_certificate_on_a_thing_of_somebody_elses_is_refused_with_the_things_name() -> None:
    it = Renaming("template")
    world = it.world
    world.connect(it.leaf)
    arn = world.certificate(it.leaf).arn
    world.admin.create_thing(thingName="somebodys")
    world.admin.attach_thing_principal(thingName="somebodys", principal=arn)
    world.mapping.drain(within=3600)
    decision = world.record(it.leaf).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.REQUEST_REFUSED)
    assert "somebodys" in str(decision.detail)
    assert list(world.account.iot.things.of_principal(arn)) == ["somebodys"]
    world.admin.detach_thing_principal(thingName="somebodys", principal=arn)
    world.pass_days(2, it.leaf)
    assert (world.status(it.leaf), world.is_whole(it.leaf)) == ("ACTIVE", True)
    assert "somebodys" in world.account.iot.things.by_name


def test_a_hook_is_told_the_name_of_the_last_attempt_and_may_keep_it() -> None:
    it = Renaming("hook")
    it.answer = lambda number: it.asked[-1].get("previousThingName", f"dev-{number}")
    it.world.connect(it.leaf)
    it.attempt(strike_first("AttachPolicy", "throttled"))
    it.settle()
    it.check()
    assert "previousThingName" not in it.asked[0]
    assert [one["previousThingName"] for one in it.asked[1:]] == ["dev-1"]
    assert list(it.world.account.iot.things.by_name) == ["dev-1"]


def test_a_hook_is_told_the_name_that_a_device_had_when_it_comes_back() -> None:
    it = Renaming("hook")
    assert it.world.come_up(it.leaf) == "ACTIVE"
    it.world.delete(it.leaf)
    it.world.clock.advance(600)
    it.world.connect(it.leaf)
    it.world.mapping.drain(within=DAY)
    assert it.asked[-1]["previousThingName"] == "dev-1"


def test_an_older_run_with_the_first_name_does_not_activate_after_the_detaching() -> None:
    it = Renaming("template")
    world, leaf = it.world, it.leaf
    world.connect(leaf)
    older = world.environment("older")
    world.deploy(factory={"thing_name": "dev-{common_name}"})
    begun: list[bool] = []

    def meet(call: Call, moment: Moment) -> Fault | None:
        it.watch(call, moment)
        if (call.caller, call.operation, moment) == ("older", "TransactWriteItems", "before") and not begun:
            begun.append(True)
            world.connect(leaf)
            world.clock.advance(15)
            world.connect(leaf)
            world.clock.spawn(lambda: (world.mapping.poll(), None)[1])
            world.clock.sleep(15)
        return None

    world.aws.fault = meet
    world.clock.spawn(lambda: (older.poll(), None)[1])
    world.clock.advance(120)
    world.aws.fault = it.watch
    assert begun
    it.settle()
    it.check()


def test_an_ordinary_activation_makes_the_calls_that_it_made_and_leaves_no_mark() -> None:
    it = Renaming("template")
    it.world.connect(it.leaf)
    calls = [(call.service, call.operation) for call in it.attempt()]
    assert [operation for service, operation in calls if service == "iot"] == [
        "DescribeCertificate",
        "DescribeCACertificate",
        "CreateThing",
        "AttachThingPrincipal",
        "AttachPolicy",
        "UpdateCertificate",
    ]
    assert [operation for service, operation in calls if service == "dynamodb"] == [
        "BatchGetItem",
        "UpdateItem",  # a turn (turns.py)
        "BatchGetItem",
        "TransactWriteItems",
        "UpdateItem",
    ]
    it.settle()
    it.check()


def test_what_another_certificate_wrote_on_a_thing_without_an_owner_does_not_stay() -> None:
    world = Promises({"a": (A, {"attributes": {"site": "berlin"}}), "b": (B, {"attributes": {"shelf": "seven"}})})
    device, other = world.issue("a"), world.issue("b")
    world.connect(other)
    world.die_after("CreateThing")
    thing = world.account.iot.things.by_name[NAME]
    assert thing.attributes["shelf"] == "seven"
    assert world.come_up(device) == "ACTIVE"
    assert thing.attributes == {"site": "berlin", OWNER_ATTRIBUTE: device.certificate_id}


def test_what_somebody_wrote_on_a_thing_without_an_owner_stays() -> None:
    world = Promises({"a": (A, {"attributes": {"site": "berlin"}})})
    device = world.issue("a")
    world.admin.create_thing(thingName=NAME, attributePayload={"attributes": {"shelf": "seven"}})
    assert world.come_up(device) == "ACTIVE"
    assert world.account.iot.things.by_name[NAME].attributes["shelf"] == "seven"


def lost(world: Promises) -> Leaf:
    """A certificate that asks for another one's thing name."""
    assert world.come_up(world.issue("factory", begins=-2)) == "ACTIVE"
    return world.issue("factory")


def test_a_certificate_that_loses_its_name_leaves_no_mark() -> None:
    world = Promises({"factory": (A, {})})
    leaf = lost(world)
    assert world.come_up(leaf) == "PENDING_ACTIVATION"
    assert standing_marks(world) == []


def test_a_refusal_that_dies_leaves_a_mark_for_the_sweep() -> None:
    world = Promises({"factory": (A, {})})
    leaf = lost(world)
    world.connect(leaf)
    world.die_after("DetachPolicy")
    assert standing_marks(world) == [f"withdrawal#{leaf.certificate_id}#{NAME}"]
    world.mapping.drain(within=DAY)
    assert standing_marks(world) == []
