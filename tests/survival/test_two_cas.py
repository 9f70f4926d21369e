"""Anything may happen between any two calls where two CAs, hooks and renames meet, and the promises hold.

Two CAs have their own `on_replacement`; one is hostile: its devices bear the names of the other's. Hooks answer
differently each time, templates change between attempts, and the console acts at any moment. What meets is played like
an explored schedule (explorer.py): each act pauses, or dies, before drawn calls. The promises are those of
invariants.py, each with the window that it allows; the watch decides by what was done here.

A hundred runs in the suite, the same ones every time; `JITR_FUZZ_RUNS=5000` draws as many new ones.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jitr.rules import EnrollmentRule, OnReplacement
from jitr.verdicts import OperatorAction
from tests.support.survival.explored_world import DAY, HOME, HOSTILE, ExploredWorld
from tests.support.survival.explorer import Player
from tests.support.survival.one_thread import Act
from tests.support.survival.pairs import HOOK_ARN
from tests.support.survival.schedules import Cut

# label → CA, name, and the days from the clock's start to its begin and end
DEVICES = {
    "ending": (HOME, "sensor-1", -300, 30),
    "follower": (HOME, "sensor-1", -1, 365),
    "third": (HOME, "sensor-1", -0.5, 365),
    "evil": (HOSTILE, "sensor-1", -0.2, 365),
    "evil_before": (HOSTILE, "sensor-1", -500, 365),
    "single": (HOME, "sensor-2", -1, 365),
    "evil_single": (HOSTILE, "sensor-2", -0.5, 20),
    "evil_follower": (HOSTILE, "sensor-2", -0.1, 365),
}
# What may be deployed for one CA.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"thing_name": "{common_name}", "enrollment": EnrollmentRule.OPEN, "attributes": {}},
    "renamed": {"thing_name": "new-{common_name}"},
    "attributes": {"attributes": {"site": "berlin"}},
    "approve": {"enrollment": EnrollmentRule.APPROVE},
    "window": {"rotation_window": 10 * int(DAY)},
}
# What a hook answers in turn; None refuses.
HOOKS = ((), ("{n}",), ("a", "b"), ("a", None))
LABELS = st.sampled_from(list(DEVICES))


@dataclass(frozen=True, slots=True)
class Doing:
    """One act, as it is drawn."""

    kind: str
    label: str
    what: str = ""
    second: str = ""  # another device in the same batch


DOINGS = st.one_of(
    st.builds(Doing, st.just("look"), LABELS, st.just(""), LABELS | st.just("")),
    st.builds(Doing, st.just("look"), LABELS, st.just(""), st.just("")),
    st.builds(Doing, st.just("deployed look"), LABELS, st.sampled_from(sorted(VARIANTS))),
    st.builds(Doing, st.just("sweep"), LABELS),
    st.builds(Doing, st.just("console"), LABELS, st.sampled_from(["INACTIVE", "REVOKED", "ACTIVE", "delete"])),
    st.builds(
        Doing, st.just("order"), LABELS, st.sampled_from(["denied", "deactivated", "revoked", "release", "approve"])
    ),
)
CUTS = st.lists(
    st.builds(Cut, st.integers(0, 2), st.integers(0, 24), st.sampled_from([False, False, False, True])), max_size=4
)


class TwoCas(RuleBasedStateMachine):
    """One account under two CAs."""

    world: ExploredWorld

    @initialize(
        home=st.sampled_from([OnReplacement.ROTATE, *OnReplacement]),
        hostile=st.sampled_from([OnReplacement.SHARE, *OnReplacement]),
        hook=st.sampled_from([(), *HOOKS]),
        up=st.sampled_from([(), ("ending",), ("ending", "follower"), ("single",), ("evil_single",)]),
    )
    def build(
        self, home: OnReplacement, hostile: OnReplacement, hook: tuple[str | None, ...], up: tuple[str, ...]
    ) -> None:
        asked = {"hook": HOOK_ARN} if hook else {}
        self.world = ExploredWorld(home={"on_replacement": home} | asked, hostile={"on_replacement": hostile})
        for label, (ca, name, begins, ends) in DEVICES.items():
            self.world.device(label, ca=ca, name=name, begins=begins, ends=ends)
        self.world.silent = set(DEVICES)  # until they connect for the first time
        if hook:
            self.world.hook(hook)
            self.world.watch.hook_refuses = None in hook
            given = [f"sensor-{name}" for name in hook if name is not None]
            self.world.watch.hook_names = () if any("{" in name for name in given) else tuple(given)
        for label in up:
            self.come_up(label)
        self.orders = 0

    def _act(self, doing: Doing) -> Act:
        world, leaf = self.world, self.world.devices[doing.label]
        match doing.kind:
            case "look" | "deployed look":
                labels = [one for one in dict.fromkeys((doing.label, doing.second)) if one]
                world.silent -= set(labels)
                if doing.what:
                    world.deploy(DEVICES[doing.label][0], **VARIANTS[doing.what])
                return world.look("register", *(world.devices[one] for one in labels))
            case "sweep":
                return world.sweep()
            case "console":
                return _answered(world.console(leaf, doing.what))
        self.orders += 1
        name = f"operator-{self.orders}"
        match doing.what:
            case "release":
                return world.release(name, leaf)
            case "approve":
                return world.approve(name, leaf)
        return world.take_away(name, leaf, OperatorAction(doing.what))

    @rule(doings=st.lists(DOINGS, min_size=1, max_size=3), cuts=CUTS)
    def meet(self, doings: list[Doing], cuts: list[Cut]) -> None:
        acts = {f"{number} {doing}": self._act(doing) for number, doing in enumerate(doings)}
        schedule = tuple(cut for cut in cuts if cut.who < len(acts))
        Player(self.world, acts, schedule).play()

    @rule(label=LABELS)
    def connect(self, label: str) -> None:
        self.come_up(label)

    def come_up(self, label: str) -> None:
        self.world.silent.discard(label)
        self.world.bring_up(self.world.devices[label])

    @rule(ca=st.sampled_from([HOME, HOSTILE]), variant=st.sampled_from(sorted(VARIANTS)))
    def deploy(self, ca: str, variant: str) -> None:
        self.world.deploy(ca, **VARIANTS[variant])

    @rule(seconds=st.sampled_from([20, 400, 4000, 90_000]))
    def time_passes(self, seconds: float) -> None:
        self.world.mapping.drain(within=3600)
        self.world.clock.advance(seconds)

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def holds(self) -> None:
        assert not self.world.watch.broken, self.world.watch.broken

    def teardown(self) -> None:
        if hasattr(self, "world") and not self.world.watch.broken:
            self.world.settle()
            assert not self.world.watch.broken, self.world.watch.broken


def _answered(act: Act) -> Act:
    """An act in the console, where an error is an answer."""

    def run() -> None:
        with suppress(ClientError):
            act()

    return run


SUITE = settings(
    max_examples=100,
    stateful_step_count=5,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_two_cas_hooks_renames_and_the_console_break_no_promise() -> None:
    runs = int(os.environ.get("JITR_FUZZ_RUNS", "0"))
    run_state_machine_as_test(TwoCas, settings=settings(SUITE, max_examples=runs, derandomize=False) if runs else SUITE)
