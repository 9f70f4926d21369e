"""Is the registration code the account's, or the account's in one Region?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe, Unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    if run.other_region is None:
        raise Unanswered("the first account has no other Region here")
    here = run.first.iot.get_registration_code()["registrationCode"]
    return {"same code in two Regions": here == run.first.registration_code_in(run.other_region)}


PROBE = Probe(
    name="registration-code",
    question="Is the registration code one per account, or one per account and Region?",
    method="Reads the account's code in two Regions; AWS makes one if there is none, and it is never deleted.",
    expects=(
        Expectation(
            what="same code in two Regions",
            assumed=False,
            otherwise="one verification certificate serves all Regions of an account: `jitrctl ca csr` asks "
            "for more than "
            "is needed",
        ),
    ),
    run=run,
    makes="nothing",
    calls=2,
    seconds=1,
    not_local="a process of ministack is one account in one Region",
)
