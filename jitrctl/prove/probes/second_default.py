"""Which error does a second account get that registers a CA in DEFAULT mode?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import try_call
from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    ca, _ = run.ca(DEFAULT)
    return {"second account in DEFAULT mode": try_call(lambda: run.register_ca(run.last, ca, DEFAULT))}


PROBE = Probe(
    name="second-default",
    question="Which error does a second account get that registers a CA in DEFAULT mode?",
    method="Registers the run's DEFAULT CA in DEFAULT mode in the second account, with that account's proof.",
    expects=(
        Expectation(
            what="second account in DEFAULT mode",
            assumed="ResourceAlreadyExistsException",
            otherwise="`jitrctl ca apply` explains the wrong error; if it is accepted, DEFAULT needs no check "
            "in fleet.toml",
        ),
    ),
    run=run,
    makes="nothing, if it is refused",
    calls=3,
    seconds=2,
    accounts=2,
    not_local="each account is a process of its own, which knows nothing of the other's CAs (docs/divergences.md)",
)
