"""Is a certificate registered that has expired, or is not valid yet?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_DAY = timedelta(days=1)
_WAIT = 10.0  # seconds for a registration that may never come


def run(run: Run) -> Mapping[str, Json]:
    ca, place = run.ca(SNI_ONLY)
    expired = run.identity(ca, "expired", begins=-2 * _DAY, lasts=_DAY)
    early = run.identity(ca, "early", begins=_DAY, lasts=_DAY)
    return {
        "expired": run.connect_new(place, expired, seconds=_WAIT) is not None,
        "not yet valid": run.connect_new(place, early, seconds=_WAIT) is not None,
    }


PROBE = Probe(
    name="outside-validity",
    question="Is a certificate registered at its first CONNECT that has expired, or is not valid yet?",
    method="A device with an expired certificate connects, and one with a certificate that is valid from tomorrow.",
    expects=(
        Expectation(
            what="expired",
            assumed=True,
            otherwise="`register` never sees an expired certificate at its first CONNECT: EXPIRED is then only "
            "reached by "
            "certificates that expire while they are pending",
            switch="registers_outside_validity",
            to_switch=bool,
        ),
        Expectation(
            what="not yet valid",
            assumed=True,
            otherwise="a device whose clock is right and whose certificate begins later is not held "
            "(NOT_YET_VALID): it "
            "is registered when its certificate is valid",
        ),
    ),
    run=run,
    makes="2 devices",
    calls=60,
    seconds=25,
)
