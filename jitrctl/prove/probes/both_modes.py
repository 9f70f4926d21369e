"""Can one account hold a CA as DEFAULT and another as SNI_ONLY, and do devices register in both?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import ACCEPTED, try_call
from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import DEFAULT, SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    ca, first = run.ca(DEFAULT)
    found: dict[str, Json] = {"SNI_ONLY beside DEFAULT": try_call(lambda: run.register_ca(run.last, ca, SNI_ONLY))}
    if found["SNI_ONLY beside DEFAULT"] == ACCEPTED:
        identity = run.identity(ca, "both")
        for what, place in (("DEFAULT", first), ("SNI_ONLY", run.last)):
            device = run.connect_new(place, identity)
            found[f"one device registers in the {what} account"] = device is not None
    return found


PROBE = Probe(
    name="both-modes",
    question="Do DEFAULT in one account and SNI_ONLY in another work for one CA in one Region, with one "
    "device in both?",
    method="Registers the run's DEFAULT CA as SNI_ONLY in the second account; one device connects to both.",
    expects=(
        Expectation(
            what="SNI_ONLY beside DEFAULT",
            assumed=ACCEPTED,
            otherwise="a fleet cannot mix the modes: fleet.toml has to refuse it, and `ca switch-mode` cannot work",
        ),
        *(
            Expectation(
                what=f"one device registers in the {mode} account",
                assumed=True,
                otherwise="a device cannot move between the fleet's accounts, which jitr promises",
            )
            for mode in (DEFAULT, SNI_ONLY)
        ),
    ),
    run=run,
    makes="1 CA in the second account, 1 device in both",
    calls=70,
    seconds=10,
    accounts=2,
)
