"""Is a device that sends no SNI registered, in each mode?"""

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
        identity = run.identity(ca, "no-sni")
        found[f"registered without SNI, {mode}"] = (
            run.connect_new(place, identity, sni=False, seconds=_WAIT) is not None
        )
    return found


PROBE = Probe(
    name="no-sni",
    question="Is a device that sends no SNI registered, in each mode?",
    method="A new device of each mode connects to the endpoint's address without a name, and sends its CA too.",
    expects=(
        Expectation(
            what="registered without SNI, DEFAULT",
            assumed=True,
            otherwise="DEFAULT mode has no use: docs/fleet.md must not name devices without SNI as its reason",
        ),
        Expectation(
            what="registered without SNI, SNI_ONLY",
            assumed=False,
            otherwise="devices of SNI_ONLY accounts need no SNI: docs/devices.md asks for too much",
        ),
    ),
    run=run,
    makes="2 devices",
    calls=60,
    seconds=20,
)
