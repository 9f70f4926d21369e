"""Does UpdateCertificate refuse to set PENDING_ACTIVATION, and with which error?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import try_call
from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    device = run.register_device(SNI_ONLY, "pending")
    iot = device.place.iot
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    return {
        "INACTIVE to PENDING_ACTIVATION": try_call(
            lambda: iot.update_certificate(certificateId=device.certificate_id, newStatus="PENDING_ACTIVATION")
        )
    }


PROBE = Probe(
    name="pending-set",
    question="Which error does UpdateCertificate answer if it sets PENDING_ACTIVATION?",
    method="Sets a registered device's certificate INACTIVE, then PENDING_ACTIVATION.",
    expects=(
        Expectation(
            what="INACTIVE to PENDING_ACTIVATION",
            assumed="InvalidRequestException",
            otherwise="if it is accepted, an operator could set a device pending in the console, and the sweep "
            "would find it; jitr itself never does",
        ),
    ),
    run=run,
    makes="1 device",
    calls=40,
    seconds=5,
    not_local="ministack accepts it (docs/divergences.md, pending-settable)",
)
