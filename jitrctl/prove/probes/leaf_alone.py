"""Does a device have to send its CA's certificate at its first CONNECT?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import DEFAULT, SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_WAIT = 10.0  # seconds for a registration that may never come


def run(run: Run) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    for mode in (DEFAULT, SNI_ONLY):
        ca, place = run.ca(mode)
        device = run.connect_new(place, run.identity(ca, "alone"), alone=True, seconds=_WAIT)
        found[f"registered by its leaf alone, {mode}"] = device is not None
    return found


PROBE = Probe(
    name="leaf-alone",
    question="Is a device registered that sends SNI and its own certificate, without its CA's?",
    method="A new device of each mode connects with its leaf alone.",
    expects=tuple(
        Expectation(
            what=f"registered by its leaf alone, {mode}",
            assumed=True,
            otherwise="docs/devices.md must ask for the CA's certificate in the device's file",
        )
        for mode in (DEFAULT, SNI_ONLY)
    ),
    run=run,
    makes="2 devices",
    calls=60,
    seconds=10,
)
