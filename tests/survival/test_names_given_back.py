"""A name that an attempt claimed goes back when the next attempt has another one; a certificate is on one thing.

On the simulation, since moto lets a certificate be exclusively on two things (docs/divergences.md).
"""

import pytest

from simulation import Authority, Call, Leaf, Moment
from tests.support.survival.promises import DAY, NAME, Promises

A = Authority.new("Factory A")
OTHER = f"new-{NAME}"


@pytest.fixture
def world() -> Promises:
    return Promises({"factory": (A, {})})


@pytest.fixture
def claimed(world: Promises) -> tuple[Leaf, Leaf]:
    """An ACTIVE certificate, and its successor whose run died after it had claimed the name, before ACTIVE."""
    old = world.issue("factory", begins=-300, ends=30)
    assert world.come_up(old) == "ACTIVE"
    new = world.issue("factory")
    world.connect(new)
    world.die_after("TransactWriteItems")
    assert owner_of(world, NAME) == new.certificate_id
    world.clock.advance(120)
    return old, new


def owner_of(world: Promises, name: str) -> str | None:
    """As it is stored, without a call."""
    item = world.deployment.registry.items.get((f"thing#{name}",))
    return str(item["certificate_id"]["S"]) if item else None


def rename(world: Promises) -> None:
    world.deploy(factory={"thing_name": "new-{common_name}"})


def test_an_attempt_under_another_name_gives_the_first_one_back(world: Promises, claimed: tuple[Leaf, Leaf]) -> None:
    old, new = claimed
    rename(world)
    world.mapping.drain(within=DAY)
    assert world.status(new) == "ACTIVE"
    assert list(world.account.iot.things.of_principal(world.certificate(new).arn)) == [OTHER]
    assert owner_of(world, NAME) == old.certificate_id
    assert owner_of(world, OTHER) == new.certificate_id
    world.pass_days(31)
    assert (world.status(old), world.is_whole(old)) == ("ACTIVE", True), "it has its name, so nothing ends it"
    assert world.record(old).replaced_by is None


def test_the_other_name_is_claimed_and_the_first_goes_back_in_one_write(
    world: Promises, claimed: tuple[Leaf, Leaf]
) -> None:
    old, new = claimed
    rename(world)
    owners: list[tuple[str | None, str | None]] = []

    def watch(call: Call, moment: Moment) -> None:
        if call.service == "dynamodb" and call.caller == "register" and moment == "after":
            owners.append((owner_of(world, NAME), owner_of(world, OTHER)))

    world.aws.fault = watch
    world.mapping.drain(within=DAY)
    assert set(owners) == {(new.certificate_id, None), (old.certificate_id, new.certificate_id)}


def test_a_run_under_other_rules_takes_no_name_from_who_became_active_meanwhile(
    world: Promises, claimed: tuple[Leaf, Leaf]
) -> None:
    _, new = claimed
    for _ in range(2):  # a message for each run
        world.connect(new)
    older = world.environment("older")
    rename(world)
    became: list[str] = []

    def meet(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("register", "DescribeCertificate", "after") and not became:
            became.append("")
            older.poll()
            became.append(world.status(new))

    world.aws.fault = meet
    world.mapping.poll()
    world.aws.fault = None
    assert became[1:] == ["ACTIVE"]
    world.mapping.drain(within=DAY)
    assert (world.status(new), world.is_whole(new)) == ("ACTIVE", True)
    assert owner_of(world, NAME) == new.certificate_id
    assert owner_of(world, OTHER) is None
    assert list(world.account.iot.things.of_principal(world.certificate(new).arn)) == [NAME]
