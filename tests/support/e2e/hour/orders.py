"""What operators order: a list of devices, a denial and its end, a move, an early rotation, a further account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.e2e.hour.outcome import HourError, Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator

_LISTED = 500


def enrolled(operator: Operator) -> str:
    """A device comes before its list: it is held, allowed as the cure says; all others come in by the list."""
    why = operator.ask_why(operator.connect("gateway-1000", ca="partner"))
    operator.read(why, "NOT_LISTED")
    operator.follow(why)
    first = operator.comes_in("gateway-1000", ca="partner")
    batch = operator.checkout.folder / "batch-7.csv"
    names = [f"gateway-{1000 + number}" for number in range(_LISTED)]
    batch.write_text("thing_name\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")
    imported = operator.jitrctl('enrollment import batch-7.csv --account dev --note "batch 7"')
    counts = [line.split()[1:3] for line in imported.text.splitlines() if line.startswith("dev/")][-1]
    if sum(map(int, counts)) != _LISTED:  # written and unchanged
        raise HourError(imported.text)
    return f"{first}; {_LISTED} are listed, {operator.comes_in(names[-1], ca='partner')}"


def undo_a_deny(operator: Operator) -> str:
    operator.comes_in("sensor-0401")
    operator.jitrctl('device deny sensor-0401 --account dev --note "lost in transit"')
    why = operator.ask_why(operator.connect("sensor-0401"))
    operator.read(why, "lost in transit")
    operator.follow(why)
    return operator.comes_in("sensor-0401")


def moved(operator: Operator) -> str:
    """A device belongs to prod, and is switched on in dev; later it is to work in dev, too."""
    operator.jitrctl('enrollment allow sensor-0402 --belongs-to prod --note "sold to hall 2"')
    why = operator.ask_why(operator.connect("sensor-0402"))
    operator.read(why, "OTHER_ACCOUNT")
    first = operator.comes_in("sensor-0402", "prod")
    operator.follow(why)
    return f"in prod {first}; in dev {operator.comes_in('sensor-0402')}"


def rotated_early(operator: Operator) -> str:
    operator.comes_in("sensor-0403")
    operator.run("jitrctl local issue sensor-0403 --ca factory")
    why = operator.ask_why(operator.connect("sensor-0403"))
    operator.read(why, "NOT_A_ROTATION")
    operator.follow(why)
    return operator.comes_in("sensor-0403")


def third_account(operator: Operator) -> str:
    """Its stack is not there yet; before its CA is registered, what the others deny is copied there."""
    operator.jitrctl('enrollment deny sensor-0404 --account dev --note "stolen"')
    status = operator.jitrctl("fleet status --account lab", code=1)
    operator.read(status, "is not deployed")
    *_, applied = operator.follow(status)
    if "sensor-0404" not in applied.text:
        raise HourError(f"the denial was not copied: {applied.text}")
    why = operator.ask_why(operator.connect("sensor-0404", "lab"))
    if "ENTRY_DENIES" not in why.text:
        raise HourError(why.text)
    return f"{operator.comes_in('sensor-0405', 'lab')}; a denied one does not"


# Orders are on all accounts: the ones below have all of them deployed.
STEPS = (
    Step(name="third account", broken="an account of the fleet file is not set up", play=third_account),
    Step(name="500 devices", broken="a device comes before its list of 500", play=enrolled),
    Step(name="undo a deny", broken="a device was denied, and is found again", play=undo_a_deny),
    Step(name="device moved", broken="a device of another account is switched on here", play=moved),
    Step(name="rotated early", broken="a new certificate a year before the old one ends", play=rotated_early),
)
