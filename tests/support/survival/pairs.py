"""The pairs of acts whose schedules are explored, and how it comes to each meeting.

KNOWN are those behind promises that were broken once; BRAKES, of refusals that the brake counts and holds; OTHERS,
whoever may meet a look at a certificate.
"""

from collections.abc import Callable, Sequence
from typing import Any

from jitr.rules import EnrollmentRule, OnReplacement
from jitr.verdicts import OperatorAction
from simulation import Call, Fault, Moment
from tests.support.survival.brake_pairs import BRAKES
from tests.support.survival.crl_pairs import CRLS
from tests.support.survival.explored_world import DAY, HOSTILE, ExploredWorld, Prepared
from tests.support.survival.explorer import Pair
from tests.support.survival.import_pairs import IMPORTS
from tests.support.survival.jitp_pairs import JITP
from tests.support.survival.lost_ca_pairs import LOST_CAS
from tests.support.survival.one_thread import Act
from tests.support.survival.session_pairs import SESSIONS
from tests.support.survival.take_away_pairs import TAKE_AWAYS

Other = Callable[[ExploredWorld, Any], Act]
HOOK_ARN = "arn:aws:lambda:eu-central-1:111111111111:function:name-giver"


def _refusal_and_claim() -> Prepared:
    world = ExploredWorld(home={"rotation_window": 60 * int(DAY)})
    world.bring_up(world.device("old", begins=-300, ends=30))
    new = world.device("new")
    claims = world.look("register-new-rules", new)
    world.deploy(rotation_window=10 * int(DAY))
    refuses = world.look("register-old-rules", new)
    world.deploy(rotation_window=60 * int(DAY))
    return world, {"a look at `new` under rules that let it follow": claims, "one under rules that do not": refuses}


def _refusal_and_return() -> Prepared:
    world = ExploredWorld(home={})
    other, device = world.device("other", begins=-2), world.device("device")
    world.begin_and_die(other, "TransactWriteItems")
    refuses = world.look("register-1", device)
    world.clock.advance(335)
    deactivates, gives_back = world.console(other, "INACTIVE"), world.look("register-2", other, device)

    def return_name() -> None:
        deactivates()
        gives_back()

    return world, {
        "a look at `device`, whose name `other` has claimed": refuses,
        "the console deactivates `other`; a look gives its name back, then looks at `device`": return_name,
    }


def _deletion_and_clone() -> Prepared:
    world = ExploredWorld(home={"overlap": 7 * int(DAY)}, hostile={})
    world.bring_up(world.device("first", begins=-300, ends=30))
    second = world.device("second")
    world.bring_up(second)
    clone = world.device("clone", ca=HOSTILE, begins=-500)
    world.silent.add("second")
    deletes = world.console(second, "delete")
    return world, {"the console deletes `second`": deletes, "a look at `clone`": world.look("register", clone)}


def _two_cas() -> Prepared:
    world = ExploredWorld(
        home={"attributes": {"site": "berlin"}, "thing_groups": ("plain",)},
        hostile={"attributes": {"site": "evil"}, "thing_groups": ("admins",)},
    )
    victim, evil = world.device("victim"), world.device("evil", ca=HOSTILE)
    looks = world.look("register-1", victim), world.look("register-2", evil)
    return world, {"a look at `victim`": looks[0], "a look at `evil`, of the other CA": looks[1]}


def _release_and_revoke() -> Prepared:
    world = ExploredWorld(home={"common_name": "other-[0-9]+"})
    device = world.device("device")
    world.bring_up(device)
    world.deploy(common_name="sensor-[0-9]+")
    return world, {
        "ann releases `device`": world.release("operator-ann", device),
        "bob revokes it": world.take_away("operator-bob", device, OperatorAction.REVOKED),
    }


def _retry_and_console() -> Prepared:
    world = ExploredWorld(home={})
    device = world.device("device")
    look = world.look("register", device)
    return world, {
        "a look whose UpdateCertificate is not answered": look,
        "the console revokes": world.console(device, "REVOKED"),
    }


def _taken_back(other: Other) -> Callable[[], Prepared]:
    """A look at a certificate that is INACTIVE, under a release order, and somebody else."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={"common_name": "other-[0-9]+"})
        device = world.device("device")
        world.bring_up(device)
        world.deploy(common_name="sensor-[0-9]+")
        world.clock.advance(60)
        world.order_release("operator-ann", device)()
        look = world.look_at_sent("register")
        return world, {"a look at `device`, which ann released": look, "the other": other(world, device)}

    return prepare


def _unanswered(call: Call, moment: Moment) -> Fault | None:
    is_it = (call.operation, call.caller, call.attempt, moment) == ("UpdateCertificate", "register", 1, "after")
    return Fault.TIMEOUT if is_it else None


KNOWN = (
    Pair("refusal-and-claim", "one certificate, two sets of rules (p01)", _refusal_and_claim),
    Pair("refusal-and-return", "a name that is given back meanwhile (p02)", _refusal_and_return, last_death=True),
    Pair("deletion-and-clone", "the owner is deleted, its predecessor works (p05)", _deletion_and_clone),
    Pair("two-cas", "two CAs, one name (p07)", _two_cas),
    Pair("release-and-revoke", "two operators (p08)", _release_and_revoke),
    Pair(
        "retry-and-console", "an answer is lost, and the console revokes (p13)", _retry_and_console, fault=_unanswered
    ),
    Pair(
        "release-order-and-deactivation",
        "a rejection is taken back, and an operator deactivates",
        _taken_back(lambda world, device: world.take_away("operator-bob", device, OperatorAction.DEACTIVATED)),
    ),
    Pair(
        "release-order-and-release",
        "a rejection is taken back, and an operator releases the one device",
        _taken_back(lambda world, device: world.release("operator-bob", device)),
    ),
)


# The brake on a CA's rules.


# Whoever may meet a look.


def _meeting(other: Other, *, hook: Sequence[str | None] = (), **settings: Any) -> Callable[[], Prepared]:
    """A look at a first certificate of a name, and somebody else; with a hook that gives these answers in turn."""

    def prepare() -> Prepared:
        world = ExploredWorld(home=settings | ({"hook": HOOK_ARN} if hook else {}), hostile={})
        if hook:
            world.hook(hook)
        device = world.device("device")
        look = world.look("register", device)
        return world, {"a look at `device`": look, "the other": other(world, device)}

    return prepare


def _rotation(other: Callable[[ExploredWorld, Any, Any], Act]) -> Callable[[], Prepared]:
    """A look at a certificate that follows another one, and somebody else."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={}, hostile={})
        old = world.device("old", begins=-300, ends=30)
        world.bring_up(old)
        new = world.device("new")
        look = world.look("register", new)
        return world, {"a look at `new`, which follows `old`": look, "the other": other(world, old, new)}

    return prepare


def _renamed(world: ExploredWorld, device: Any) -> Act:
    """A look under rules that make another name of it."""
    world.deploy(thing_name="new-{common_name}")
    return world.look("register-2", device)


def _deployment(world: ExploredWorld, device: Any) -> Act:
    """A deployment, and the look of the first environment that has it."""

    def run() -> None:
        world.deploy(thing_name="new-{common_name}")
        world.mapping.poll()

    world.clock.advance(20)
    world.connect(device)
    return run


def _narrowed(world: ExploredWorld, device: Any) -> Act:
    """A look under rules that refuse it for good."""
    world.deploy(common_name="gateway-[0-9]+")
    return world.look("register-2", device)


def _to_be_approved(world: ExploredWorld, device: Any) -> Act:
    """A look under rules that let it wait for an operator."""
    world.deploy(enrollment=EnrollmentRule.APPROVE)
    return world.look("register-2", device)


def _narrower(world: ExploredWorld, _old: Any, new: Any) -> Act:
    """A look under rules that do not let it follow yet."""
    world.deploy(rotation_window=10 * int(DAY))
    return world.look("register-2", new)


def _sharing(world: ExploredWorld, _device: Any) -> Act:
    world.deploy(HOSTILE, on_replacement=OnReplacement.SHARE)
    return world.look("register-2", world.device("evil", ca=HOSTILE))


def _twin_name(world: ExploredWorld, _device: Any) -> Act:
    return world.look("register-2", world.device("second", begins=-2))


def _retirement(other: Callable[[ExploredWorld, Any, Any], Act]) -> Callable[[], Prepared]:
    """The sweep, which retires the old certificate, and somebody else."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={}, hostile={})
        old = world.device("old", begins=-300, ends=30)
        world.bring_up(old)
        new = world.device("new")
        world.bring_up(new)
        world.clock.advance(3700)
        return world, {"the sweep, which retires `old`": world.sweep(), "the other": other(world, old, new)}

    return prepare


def _approval_and_revoke() -> Prepared:
    world = ExploredWorld(home={"enrollment": EnrollmentRule.APPROVE})
    device = world.device("device")
    world.bring_up(device)
    return world, {
        "ann approves `device`": world.approve("operator-ann", device),
        "bob revokes it": world.take_away("operator-bob", device, OperatorAction.REVOKED),
    }


_ON_ONE: dict[str, Other] = {
    "same-rules": lambda world, device: world.look("register-2", device),
    "renamed": _renamed,
    "narrowed": _narrowed,
    "to-be-approved": _to_be_approved,
    "deployment": _deployment,
    "same-name": _twin_name,
    "hostile-share": _sharing,
    "sweep": lambda world, _device: world.sweep(),
    "deny": lambda world, device: world.take_away("operator-bob", device, OperatorAction.DENIED),
    "deactivate": lambda world, device: world.take_away("operator-bob", device, OperatorAction.DEACTIVATED),
    "revoke": lambda world, device: world.take_away("operator-bob", device, OperatorAction.REVOKED),
    "release": lambda world, device: world.release("operator-bob", device),
    "approve": lambda world, device: world.approve("operator-bob", device),
    "console-active": lambda world, device: world.console(device, "ACTIVE"),
    "console-inactive": lambda world, device: world.console(device, "INACTIVE"),
    "console-revoked": lambda world, device: world.console(device, "REVOKED"),
    "console-delete": lambda world, device: world.console(device, "delete"),
}
_ON_ROTATION: dict[str, Callable[[ExploredWorld, Any, Any], Act]] = {
    "same-rules": lambda world, _old, new: world.look("register-2", new),
    "sweep": lambda world, _old, _new: world.sweep(),
    "revoke-new": lambda world, _old, new: world.take_away("operator-bob", new, OperatorAction.REVOKED),
    "revoke-old": lambda world, old, _new: world.take_away("operator-bob", old, OperatorAction.REVOKED),
    "release-new": lambda world, _old, new: world.release("operator-bob", new),
    "console-delete-old": lambda world, old, _new: world.console(old, "delete"),
    "console-revoke-new": lambda world, _old, new: world.console(new, "REVOKED"),
    "console-inactive-old": lambda world, old, _new: world.console(old, "INACTIVE"),
    "second-follower": lambda world, _old, _new: world.look("register-2", world.device("second", begins=-0.5)),
    "narrower": _narrower,
    "hostile": lambda world, _old, _new: world.look("register-2", world.device("evil", ca=HOSTILE)),
}
_ON_RETIREMENT: dict[str, Callable[[ExploredWorld, Any, Any], Act]] = {
    "revoke-new": lambda world, _old, new: world.take_away("operator-bob", new, OperatorAction.REVOKED),
    "revoke-old": lambda world, old, _new: world.take_away("operator-bob", old, OperatorAction.REVOKED),
    "release-old": lambda world, old, _new: world.release("operator-bob", old),
    "console-inactive-new": lambda world, _old, new: world.console(new, "INACTIVE"),
    "console-delete-new": lambda world, _old, new: world.console(new, "delete"),
    "console-revoke-old": lambda world, old, _new: world.console(old, "REVOKED"),
    "third": lambda world, _old, _new: world.look("register-2", world.device("third", begins=-0.5)),
}
# Two certificates of one name under one CA, and what the CA says about that.
_ONE_NAME = {"share": OnReplacement.SHARE, "reject": OnReplacement.REJECT}
# What a hook answers, in turn: a name, or that the device is refused.
_NAMES, _REFUSES, _RETURNS = ("{n}",), ("a", None), ("a", "b")
OTHERS = (
    *(Pair(f"look-{name}", f"a first look, and {name}", _meeting(other)) for name, other in _ON_ONE.items()),
    *(
        Pair(f"{name}-same-name", f"two certificates of one name, {name}", _meeting(_twin_name, on_replacement=word))
        for name, word in _ONE_NAME.items()
    ),
    *(
        Pair(f"hook-{name}", f"a look with a hook that names anew each time, and {name}", _meeting(other, hook=_NAMES))
        for name, other in _ON_ONE.items()
    ),
    *(
        Pair(
            f"hook-{how}-{name}",
            f"a look with a hook that {how} every other time, and {name}",
            _meeting(_ON_ONE[name], hook=answers),
        )
        for how, answers in (("refuses", _REFUSES), ("returns", _RETURNS))
        for name in ("same-rules", "sweep", "deny", "release", "console-delete", "deployment")
    ),
    *(Pair(f"rotation-{name}", f"a rotation, and {name}", _rotation(other)) for name, other in _ON_ROTATION.items()),
    *(
        Pair(f"retirement-{name}", f"a retirement, and {name}", _retirement(other))
        for name, other in _ON_RETIREMENT.items()
    ),
    Pair("approval-and-revoke", "two operators", _approval_and_revoke),
    *(
        Pair(f"release-order-{name}", f"a look under a release order, and {name}", _taken_back(_ON_ONE[name]))
        for name in ("sweep", "deny", "revoke", "narrowed", "console-inactive", "console-delete")
    ),
    Pair(
        "release-order-again",
        "a look under a release order, and another order",
        _taken_back(lambda world, device: world.order_release("operator-bob", device)),
    ),
)


# Two messages of one batch, each in a thread of the same environment.


def _threads(*names: str, hook: Sequence[str | None] = (), **settings: Any) -> Callable[[], Prepared]:
    """A batch with first certificates of these names; two of one name, if it is said twice."""

    def prepare() -> Prepared:
        world = ExploredWorld(home=settings | ({"hook": HOOK_ARN} if hook else {}))
        if hook:
            world.hook(hook)
        devices = [world.device(f"device-{number}", name=name, begins=-1 - number) for number, name in enumerate(names)]
        handler, thread = world.threads("register", *devices)
        return world, {"the handler of a batch": handler, "its thread": thread}

    return prepare


def _threads_on_one() -> Prepared:
    """A batch with two events of one device: they follow one another, and no thread is started."""
    world = ExploredWorld(home={})
    device = world.device("device")
    handler, thread = world.threads("register", device, device)
    return world, {"the handler of a batch": handler, "its thread": thread}


def _threads_on_a_rotation() -> Prepared:
    """A batch with two certificates that both would follow the same one."""
    world = ExploredWorld(home={})
    old = world.device("old", begins=-300, ends=30)
    world.bring_up(old)
    world.silent.add("old")
    devices = [world.device(label, begins=begins) for label, begins in (("new", -1), ("second", -0.5))]
    handler, thread = world.threads("register", *devices)
    return world, {"the handler of a batch": handler, "its thread": thread}


_PROCESS = frozenset({0, 1})
THREADED = (
    Pair("threads-two-devices", "two devices in one batch", _threads("sensor-1", "sensor-2"), process=_PROCESS),
    Pair(
        "threads-one-name",
        "two certificates of one name in one batch",
        _threads("sensor-1", "sensor-1"),
        process=_PROCESS,
    ),
    Pair(
        "threads-share",
        "two certificates that share a name in one batch",
        _threads("sensor-1", "sensor-1", on_replacement=OnReplacement.SHARE),
        process=_PROCESS,
    ),
    Pair("threads-rotation", "two certificates that follow one in one batch", _threads_on_a_rotation, process=_PROCESS),
    Pair(
        "threads-hook",
        "two certificates of one name in one batch, and a hook that names anew each time",
        _threads("sensor-1", "sensor-1", hook=_RETURNS),
        process=_PROCESS,
    ),
    Pair("threads-one-device", "two events of one device in one batch", _threads_on_one, process=_PROCESS),
)
ALL_PAIRS = (*KNOWN, *BRAKES, *OTHERS, *THREADED, *SESSIONS, *TAKE_AWAYS, *LOST_CAS, *CRLS, *IMPORTS, *JITP)
