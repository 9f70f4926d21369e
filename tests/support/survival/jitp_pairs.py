"""The acts that meet while a provisioning template is taken off a CA; their schedules are explored.

Each pair is played under what AWS may answer: whether the event is published with a template on, and what
removeAutoRegistration removes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from simulation import Leaf
from tests.support.survival.explored_world import Prepared
from tests.support.survival.explorer import Pair
from tests.support.survival.jitp_world import JitpWorld
from tests.support.survival.one_thread import Act

ANN = "operator-ann"
_TAKES = "ann takes the template off"
# What AWS may do. "stays": the template cannot be taken off, and registration may be off.
ANSWERS: Mapping[str, dict[str, Any]] = {
    "likely": {},
    "published": {"publishes_with_template": True},
    "registration-off": {"removal_ends_registration": True},
    "published-off": {"publishes_with_template": True, "removal_ends_registration": True, "jitp_tries_again": True},
    "stays": {"removal_takes_template": False, "removal_ends_registration": True},
    "stays-published": {"removal_takes_template": False, "publishes_with_template": True},
    "nothing": {"removal_takes_template": False, "jitp_tries_again": True},
}


def _device(answers: Mapping[str, Any], *, whole: bool) -> Callable[[], Prepared]:
    """A new device connects some times; JITP can provision it, or not; an environment of `register` is there."""

    def prepare() -> Prepared:
        world = JitpWorld(**answers)
        leaf = world.new_device("device", whole=whole)
        return world, _acts(world, leaf)

    return prepare


def _acts(world: JitpWorld, leaf: Leaf) -> dict[str, Act]:
    """The CA is taken over, while the device connects and `register` takes what is in the queue."""
    return {
        _TAKES: world.take_over(ANN),
        "`device` connects": world.come(leaf),
        "register": world.deliver("register"),
    }


def _in_hand(answers: Mapping[str, Any]) -> Callable[[], Prepared]:
    """JITP is slow, and has the device in hand; another one was left pending."""

    def prepare() -> Prepared:
        world = JitpWorld(jitp_seconds=50.0, **answers)
        world.leave_pending("pending")
        leaf = world.new_device("device")
        world.connect(leaf)
        return world, _acts(world, leaf)

    return prepare


def _pending(answers: Mapping[str, Any]) -> Callable[[], Prepared]:
    """A device that JITP left pending: the sweep has sent it, and `register` takes that."""

    def prepare() -> Prepared:
        world = JitpWorld(**answers)
        world.leave_pending("device")
        return world, {
            "register takes what the sweep sent": world.look_at_sent("register"),
            _TAKES: world.take_over(ANN),
        }

    return prepare


def _swept(answers: Mapping[str, Any]) -> Callable[[], Prepared]:
    """Devices that are held already: a sweep while the template is taken off, and the key after it."""

    def prepare() -> Prepared:
        world = JitpWorld(**answers)
        world.leave_pending("held")
        world.sweep()()
        world.drain()
        world.leave_pending("device")
        take, key = world.take_over(ANN), world.remove_key()

        def take_and_deploy() -> None:
            take()
            key()

        return world, {f"{_TAKES}, and the key out": take_and_deploy, "the sweep": world.sweep()}

    return prepare


def _undone(answers: Mapping[str, Any]) -> Callable[[], Prepared]:
    """The template is put back; a device connects for the first time, another one is with jitr."""

    def prepare() -> Prepared:
        world = JitpWorld(**answers)
        world.take_over(ANN)()
        early = world.new_device("early")
        world.connect(early)
        leaf = world.new_device("device")
        acts = {
            "ann puts the template back": world.take_over(ANN, undoes=True),
            "`device` connects": world.come(leaf),
            "register": world.deliver("register"),
        }
        return world, acts

    return prepare


def _by_answers(name: str, sentence: str, prepare: Callable[[Mapping[str, Any]], Callable[[], Prepared]]) -> list[Pair]:
    return [Pair(f"jitp-{name}-{how}", f"{sentence}; {how}", prepare(answers)) for how, answers in ANSWERS.items()]


JITP = (
    *_by_answers("device", "a device that JITP can provision", lambda answers: _device(answers, whole=True)),
    *_by_answers("lacking", "a device that JITP cannot provision", lambda answers: _device(answers, whole=False)),
    *_by_answers("in-hand", "JITP is at a device", _in_hand),
    *_by_answers("pending", "a device that was left pending", _pending),
    *_by_answers("swept", "held devices, and a sweep", _swept),
    *_by_answers("undone", "the template is put back", _undone),
)
