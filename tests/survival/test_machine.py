"""Anything may happen between any two AWS calls, and what design.md promises holds all the same.

500 runs of 30 steps, the same ones every time, in parts that several processes can share: two in every run of the
suite, the others in `make test-deep`. `JITR_FUZZ_RUNS=5000` draws as many new ones.
"""

import os
from random import Random
from typing import cast

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jitr.admission.enrollment import EntryRule, SubjectKind
from jitr.rules import OnReject, OnReplacement
from jitr.verdicts import OperatorAction
from simulation import Fault
from tests.support.survival.machine_acts import (
    CURRENT,
    RIVAL,
    Actor,
    Approve,
    Connect,
    Console,
    Deliver,
    DeliverAgain,
    Enroll,
    Interruption,
    OrderAway,
    Release,
    Sweeping,
    TakeAway,
    TakeBack,
    Target,
)
from tests.support.survival.machine_checks import UNREADABLE
from tests.support.survival.machine_crl import CrlWorld, NextCrl, OlderCrl, Revoke
from tests.support.survival.machine_devices import AUTHORITY, SLOTS
from tests.support.survival.machine_lost_ca import LiftCa, LoseCa, LostCaWorld
from tests.support.survival.machine_state import VARIANTS
from tests.support.survival.world import World

SITES = st.sampled_from([0, 0, 0, 1])
TARGETS: st.SearchStrategy[Target] = st.sampled_from([*SLOTS, CURRENT, RIVAL])
# Somebody who comes in between is most likely after what is being worked on.
NEAR: st.SearchStrategy[Target] = st.sampled_from(cast("list[Target]", [CURRENT, CURRENT, CURRENT, RIVAL]))
FIRST = st.sampled_from(cast("list[Target]", list(SLOTS[:6])))
# Certificates of one name at once, or one after the other.
RIVALS: st.SearchStrategy[list[Target]] = st.sampled_from(
    [
        list(SLOTS[family + start : family + end])
        for family in (0, 10, 20)
        for start, end in ((0, 2), (1, 3), (0, 4), (8, 10))
    ]
)
DEVICES = st.one_of(RIVALS, st.lists(FIRST | TARGETS, min_size=1, max_size=3))
WORDS = st.sampled_from([OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED])


RULES = st.sampled_from([EntryRule.DENY, EntryRule.DENY, EntryRule.ALLOW, EntryRule.REMOVED])


def actors(targets: st.SearchStrategy[Target]) -> st.SearchStrategy[Actor]:
    return st.one_of(
        st.builds(Deliver, SITES),
        st.builds(DeliverAgain, SITES),
        st.builds(Sweeping, SITES),
        st.builds(Connect, SITES, targets),
        st.builds(TakeAway, SITES, targets, WORDS),
        st.builds(Release, SITES, targets, st.booleans()),
        st.builds(TakeBack, SITES, targets),
        st.builds(OrderAway, SITES, targets, st.sampled_from([OperatorAction.DEACTIVATED, OperatorAction.REVOKED])),
        st.builds(Approve, SITES, targets),
        st.builds(Enroll, SITES, targets, RULES, st.sampled_from(SubjectKind)),
        st.builds(Console, SITES, targets, st.sampled_from(["INACTIVE", "REVOKED", "delete"])),
    )


FAULTS = st.sampled_from([*Fault, "die"])
STALLS = st.sampled_from([0.0, 0.1, 1.0, 4.0, 8.0, 30.0])

CALLS = st.sampled_from(
    ["UpdateCertificate", "TransactWriteItems", "UpdateItem", "PutEvents", "AttachPolicy", "CreateThing", "GetItem"]
)


WORDS_AGAINST: st.SearchStrategy[Actor] = st.one_of(
    st.builds(TakeAway, SITES, NEAR, WORDS),
    st.builds(Enroll, SITES, NEAR, st.just(EntryRule.DENY), st.sampled_from(SubjectKind)),
)


def interruption(most: int) -> st.SearchStrategy[Interruption]:
    after = st.integers(0, most)
    return st.one_of(
        st.builds(Interruption, after, FAULTS, st.sampled_from([1, 3])),
        st.builds(Interruption, after, actors(NEAR), stall=STALLS, then=st.none() | actors(NEAR)),
        st.builds(Interruption, after, stall=STALLS),
        st.builds(Interruption, after, FAULTS, st.sampled_from([1, 3]), at=CALLS),
        st.builds(Interruption, after, actors(NEAR), stall=STALLS, then=st.none() | actors(NEAR), at=CALLS),
        st.builds(Interruption, after, actors(NEAR), stall=st.just(8.0), then=actors(NEAR), at=CALLS),
        # What a claim has to see, or it is too late.
        st.builds(Interruption, after, WORDS_AGAINST, stall=st.just(1.0), at=st.just("TransactWriteItems")),
    )


INTERRUPTIONS = st.builds(
    lambda first, more: first + more,
    st.lists(interruption(22), max_size=1),
    st.lists(interruption(8), max_size=3),
)


class Survival(RuleBasedStateMachine):
    """Two accounts under one CA."""

    made: type[World] = World
    world: World

    @initialize(
        on_replacement=st.sampled_from([*[OnReplacement.ROTATE] * 3, *OnReplacement]),
        on_reject=st.sampled_from(OnReject),
        batch_size=st.sampled_from([1, 10]),
        unnamed=st.booleans(),
    )
    def build(self, *, on_replacement: OnReplacement, on_reject: OnReject, batch_size: int, unnamed: bool) -> None:
        self.world = self.made(
            on_replacement=on_replacement, on_reject=on_reject, batch_size=batch_size, unnamed=unnamed
        )

    @rule(site=SITES, devices=DEVICES, interruptions=INTERRUPTIONS)
    def devices_connect(self, site: int, devices: list[Target], interruptions: list[Interruption]) -> None:
        self.world.together([Connect(site, target) for target in devices], [])
        self.world.together([Deliver(site), Deliver(site)], interruptions)

    @rule(who=st.lists(actors(FIRST | TARGETS), min_size=1, max_size=3), interruptions=INTERRUPTIONS)
    def act(self, who: list[Actor], interruptions: list[Interruption]) -> None:
        self.world.together(who, interruptions)

    @rule(site=SITES, interruptions=INTERRUPTIONS)
    def deliver(self, site: int, interruptions: list[Interruption]) -> None:
        self.world.together([Deliver(site)], interruptions)

    @rule(site=SITES, interruptions=INTERRUPTIONS)
    def sweep(self, site: int, interruptions: list[Interruption]) -> None:
        self.world.together([Sweeping(site)], interruptions)

    @rule(seconds=st.sampled_from([1, 20, 400, 1000, 4000, 90_000, 200_000]))
    def time_passes(self, seconds: float) -> None:
        if seconds > 10_000:
            self.world.drain()  # Lambda polls all the time: no message waits for days, until its retention is over
        self.world.clock.advance(seconds)

    @rule(site=SITES, seed=st.integers(0, 9), what=st.sampled_from(["duplicate", "reorder", "unreadable", "forged"]))
    def queue(self, site: int, seed: int, what: str) -> None:
        queue = self.world.sites[site].deployment.registrations
        if what == "reorder":
            queue.reorder(Random(seed))  # noqa: S311 -- order, no secret
        elif what == "duplicate":
            for message in queue.messages[seed : seed + 2]:
                queue.duplicate(message)
        elif what == "unreadable":
            queue.send(UNREADABLE[seed % 2])
        else:
            unknown = SLOTS[seed].id if seed < 8 else "ab" * 32
            queue.send(f'{{"certificateId": "{unknown}", "caCertificateId": "{AUTHORITY.certificate_id}"}}')

    @rule(site=SITES, what=st.sampled_from(["CA INACTIVE", "CA ACTIVE", "rule off", "rule on"]))
    def somebody_changes_the_account(self, site: int, what: str) -> None:
        iot = self.world.sites[site].account.iot
        if what.startswith("CA"):
            iot.cas.by_id[AUTHORITY.certificate_id].status = what[3:]
        else:
            iot.broker.rules[AUTHORITY.certificate_id][0].enabled = what == "rule on"

    @rule(variant=st.sampled_from(sorted(VARIANTS)), on_reject=st.sampled_from(OnReject))
    def deploy(self, variant: str, on_reject: OnReject) -> None:
        self.world.deploy(variant, on_reject)

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def holds(self) -> None:
        self.world.check_rest()
        assert not self.world.broken, self.world.broken

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                if not self.world.broken:
                    self.world.settle()
                    assert not self.world.broken, self.world.broken
            finally:
                self.world.clock.close()


class SurvivalOfCrls(Survival):
    """The same, and the CA publishes CRLs: a hold, its lifting, a revocation, an older one."""

    made: type[World] = CrlWorld
    world: CrlWorld

    @rule(
        crl=st.builds(NextCrl, SITES, st.none() | FIRST | TARGETS, st.sampled_from([True, True, False])),
        beside=st.lists(actors(NEAR), max_size=1),
        interruptions=INTERRUPTIONS,
    )
    def the_next_crl(self, crl: NextCrl, beside: list[Actor], interruptions: list[Interruption]) -> None:
        self.world.together([crl, *beside], interruptions)  # type: ignore[list-item]  # an act of this machine's own

    @rule(who=st.builds(OlderCrl, SITES) | st.builds(Revoke, SITES), interruptions=INTERRUPTIONS)
    def an_older_crl_or_another_run(self, who: OlderCrl | Revoke, interruptions: list[Interruption]) -> None:
        self.world.together([who], interruptions)  # type: ignore[list-item]  # an act of this machine's own


class SurvivalOfLostCas(Survival):
    """The same, and operators revoke the CA in an account, and lift that again."""

    made: type[World] = LostCaWorld
    world: LostCaWorld

    @rule(
        order=st.builds(LoseCa, SITES) | st.builds(LiftCa, SITES),
        beside=st.lists(actors(NEAR), max_size=2),
        interruptions=INTERRUPTIONS,
    )
    def an_order_on_the_ca(
        self, order: LoseCa | LiftCa, beside: list[Actor], interruptions: list[Interruption]
    ) -> None:
        self.world.together([order, *beside], interruptions)  # type: ignore[list-item]  # an act of this machine's own

    @rule(site=SITES, devices=DEVICES, interruptions=INTERRUPTIONS)
    def a_deployment_activates_a_lost_ca(
        self, site: int, devices: list[Target], interruptions: list[Interruption]
    ) -> None:
        self.world.together([LoseCa(site)], [])  # type: ignore[list-item]  # an act of this machine's own
        self.world.activate_ca(site)
        self.world.together([Connect(site, target) for target in devices], [])
        self.world.together([Deliver(site), Deliver(site)], interruptions)


PARTS = 5
OFTEN = 1  # of them are played in every run
SUITE = settings(
    max_examples=500 // PARTS,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=[pytest.mark.deep]) for part in (1, 2))])
def test_crls_at_any_moment_between_any_two_calls(part: int) -> None:
    drawn = settings(SUITE, max_examples=20 if part == 0 else 100)
    run_state_machine_as_test(seed(100 + part)(type(f"SurvivalOfCrls{part}", (SurvivalOfCrls,), {})), settings=drawn)


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=[pytest.mark.deep])])
def test_a_lost_ca_and_its_lifting_at_any_moment_between_any_two_calls(part: int) -> None:
    drawn = settings(SUITE, max_examples=20 if part == 0 else 100)
    machine = type(f"SurvivalOfLostCas{part}", (SurvivalOfLostCas,), {})
    run_state_machine_as_test(seed(200 + part)(machine), settings=drawn)


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.deep] if part >= OFTEN else []) for part in range(PARTS)]
)
def test_anything_between_any_two_calls(part: int) -> None:
    if runs := int(os.environ.get("JITR_FUZZ_RUNS", "0")):
        drawn = settings(SUITE, max_examples=-(-runs // PARTS), derandomize=False)
        run_state_machine_as_test(Survival, settings=drawn)
    else:
        run_state_machine_as_test(seed(part)(type(f"Survival{part}", (Survival,), {})), settings=SUITE)
