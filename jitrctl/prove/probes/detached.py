"""How long does DetachThingPrincipal take?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe, Unanswered, Within
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_PATIENCE = 60.0  # seconds


def run(run: Run) -> Mapping[str, Json]:
    device = run.register_device(SNI_ONLY, "detached")
    iot, thing = device.place.iot, run.create_thing(device.place)
    iot.attach_thing_principal(thingName=thing, principal=device.arn, thingPrincipalType="EXCLUSIVE_THING")

    def attached() -> bool | None:
        return bool(iot.list_principal_things(principal=device.arn)["things"]) or None

    if not run.wait(attached, seconds=_PATIENCE):  # else a list that is out of date would look like a quick detachment
        raise Unanswered(f"the thing was not listed {_PATIENCE:.0f} s after it was attached")
    began = run.time.monotonic()
    iot.detach_thing_principal(thingName=thing, principal=device.arn)

    def gone() -> float | None:
        return None if iot.list_principal_things(principal=device.arn)["things"] else run.time.monotonic()

    ended = run.wait(gone, seconds=_PATIENCE)
    return {"detached after": "not in a minute" if ended is None else round(ended - began, 1)}


PROBE = Probe(
    name="detached",
    question="How many seconds does DetachThingPrincipal take?",
    method="Attaches a device to a thing, detaches it, and lists its things each second until there is none.",
    expects=(
        Expectation(
            what="detached after",
            assumed=Within(most=15),
            otherwise="`jitrctl device release` and `remove` give up too early on deleting a certificate",
            switch="detach_seconds",
            to_switch=lambda found: float(found) if isinstance(found, int | float) else 60.0,
        ),
    ),
    run=run,
    makes="1 device, 1 thing",
    calls=170,
    seconds=10,
)
