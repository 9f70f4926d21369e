"""What is an EXCLUSIVE_THING attachment answered: again, not exclusively, on a second thing, with a second device?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import ACCEPTED, try_call
from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.place import ProbeDevice
    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_EXCLUSIVE, _SHARED = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"


def run(run: Run) -> Mapping[str, Json]:
    one, two = run.register_device(SNI_ONLY, "exclusive"), run.register_device(SNI_ONLY, "exclusive")
    thing, other = run.create_thing(one.place), run.create_thing(one.place)
    shared, third = run.register_device(SNI_ONLY, "exclusive"), run.create_thing(one.place)
    _attach(one, thing, _EXCLUSIVE)
    return {
        "attached again": try_call(lambda: _attach(one, thing, _EXCLUSIVE)),
        "attached again, not exclusively": try_call(lambda: _attach(one, thing, _SHARED)),
        "attached to another thing": try_call(lambda: _attach(one, other, _EXCLUSIVE)),
        "two certificates on one thing": try_call(lambda: _attach(two, thing, _EXCLUSIVE)),
        "attached not exclusively, then exclusively": _attach_both_ways(shared, third),
    }


def _attach_both_ways(device: ProbeDevice, thing: str) -> Json:
    """As jitr does with a device that a provisioning template has attached to its thing."""
    _attach(device, thing, _SHARED)
    return try_call(lambda: _attach(device, thing, _EXCLUSIVE))


def _attach(device: ProbeDevice, thing: str, kind: str) -> None:
    device.place.iot.attach_thing_principal(thingName=thing, principal=device.arn, thingPrincipalType=kind)


PROBE = Probe(
    name="exclusive",
    question="What does AttachThingPrincipal answer when an exclusive attachment is repeated, changed, or conflicts?",
    method="Attaches a device exclusively to a thing, then again, not exclusively, to another thing; and a "
    "second device.",
    expects=(
        Expectation(
            what="attached again",
            assumed=ACCEPTED,
            otherwise="the plan's step is not repeatable: a redelivery is held as if the thing were another's",
        ),
        Expectation(
            what="attached again, not exclusively",
            assumed="InvalidRequestException",
            otherwise="`jitrctl device adopt` has another outcome for a device that is not attached exclusively",
        ),
        Expectation(
            what="attached to another thing",
            assumed="InvalidRequestException",
            otherwise="`register` takes another error for a failure of AWS, and retries; if it is "
            "accepted, a device "
            "can have two things",
        ),
        Expectation(
            what="two certificates on one thing",
            assumed=ACCEPTED,
            otherwise="the overlap of a rotation is not possible: old and new cannot both be the thing's",
        ),
        Expectation(
            what="attached not exclusively, then exclusively",
            assumed="InvalidRequestException",
            otherwise="a device that a provisioning template left half made comes up without `jitrctl device release`, "
            "with the template's policy beside jitr's",
        ),
    ),
    run=run,
    makes="3 devices, 3 things",
    calls=110,
    seconds=10,
    not_local="ministack ignores thingPrincipalType (docs/divergences.md, exclusive-thing-ignored)",
)
