"""Pairs of acts that meet at the rule brake: refusals, its acceptance, its end."""

from jitr.brake import BrakeLimits
from tests.support.survival.explored_world import ExploredWorld, Prepared
from tests.support.survival.explorer import Pair


def _braked(refused: int) -> ExploredWorld:
    """Rules that refuse every device, and a brake that allows so many rejections."""
    return ExploredWorld(home={"common_name": "other-[0-9]+", "brake": BrakeLimits(refused=refused)})


def _two_refusals() -> Prepared:
    world = _braked(1)
    looks = [world.look(f"register-{name}", world.device(name, name=f"sensor-{name}")) for name in ("1", "2")]
    return world, {"a look at `1`, which the rules refuse": looks[0], "a look at `2`, likewise": looks[1]}


def _same_refusal_twice() -> Prepared:
    world = _braked(0)
    device = world.device("device")
    looks = world.look("register-1", device), world.look("register-2", device)
    return world, {"a look at `device`, which the rules refuse": looks[0], "another look at it": looks[1]}


def _refusal_and_acceptance() -> Prepared:
    world = _braked(0)
    world.bring_up(world.device("held", name="sensor-2"))
    look = world.look("register", world.device("device"))
    return world, {"a look at `device`, which the brake holds": look, "ann accepts": world.accept_rejections("ann")}


def _engagement_and_acceptance() -> Prepared:
    world = _braked(0)
    looks = [world.look(f"register-{name}", world.device(name, name=f"sensor-{name}")) for name in ("1", "2")]
    return world, {
        "a look at `1`, which the brake holds": looks[0],
        "a look at `2`, likewise": looks[1],
        "ann accepts": world.accept_rejections("ann"),
    }


def _refusal_and_sweep() -> Prepared:
    world = _braked(0)
    look = world.look("register", world.device("device"))
    world.clock.advance(300)
    return world, {"a look at `device`, at which the brake engages": look, "the sweep": world.sweep()}


def _refusal_and_mended_rules() -> Prepared:
    world = _braked(0)
    world.bring_up(world.device("held", name="sensor-2"))
    look = world.look("register", world.device("device"))

    def mend() -> None:
        world.deploy(common_name="sensor-[0-9]+")
        world.sweep()()

    return world, {"a look at `device` under the wrong rules": look, "the rules are mended, and a sweep": mend}


BRAKES = (
    Pair("brake-two-refusals", "one rejection is allowed, and two devices are refused", _two_refusals),
    Pair("brake-one-refusal-twice", "two looks at one device that the brake holds", _same_refusal_twice),
    Pair("brake-and-acceptance", "the brake holds, and an operator accepts the rejections", _refusal_and_acceptance),
    Pair("brake-engages-and-acceptance", "two engage the brake, and an operator ends it", _engagement_and_acceptance),
    Pair("brake-and-sweep", "a brake engages while the sweep looks after it", _refusal_and_sweep),
    Pair("brake-and-mended-rules", "a look under the wrong rules, and mended ones", _refusal_and_mended_rules),
)
