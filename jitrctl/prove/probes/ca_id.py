"""Is a CA's id the SHA-256 of its DER, in both modes? Cleaning depends on it, so this is the first probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import DEFAULT, SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

SHA256, OTHER = "SHA-256 of the DER", "something else"
_OTHERWISE = (
    "the topic rules' names for CAs (fleet/jitr_fleet/resources.py, registered_topic) and the CA check of admission "
    "compare the wrong id: devices of this mode are never activated"
)


def run(run: Run) -> Mapping[str, Json]:
    found = {}
    for mode in (DEFAULT, SNI_ONLY):
        ca, place = run.ca(mode)
        found[f"CA id, {mode}"] = SHA256 if run.ca_id(ca, place) == ca.certificate_id else OTHER
    device = run.register_device(SNI_ONLY, "first")
    found["device's id"] = SHA256 if device.certificate_id == device.identity.certificate_id else OTHER
    return found


PROBE = Probe(
    name="ca-id",
    question="Are the ids of CAs, in both modes, and of devices the SHA-256 of their DER?",
    method="Registers a CA in each mode and a device, and compares the ids.",
    expects=(
        *(Expectation(what=f"CA id, {mode}", assumed=SHA256, otherwise=_OTHERWISE) for mode in (DEFAULT, SNI_ONLY)),
        Expectation(
            what="device's id",
            assumed=SHA256,
            otherwise="a device has another id in each account: verdicts, the hub and `jitrctl device where` "
            "search for it "
            "under the wrong one",
        ),
    ),
    run=run,
    makes="1 device",
    calls=10,
    seconds=5,
)
