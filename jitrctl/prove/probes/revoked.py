"""Can a REVOKED certificate be made ACTIVE or INACTIVE?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import ACCEPTED, try_call
from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    device = run.register_device(SNI_ONLY, "revoked")
    iot, found = device.place.iot, {}
    for status in ("INACTIVE", "ACTIVE"):
        iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
        if device.status() != "REVOKED":
            continue
        found[f"REVOKED to {status}"] = try_call(
            lambda to=status: iot.update_certificate(certificateId=device.certificate_id, newStatus=to)  # type: ignore[misc]
        )
    return found


PROBE = Probe(
    name="revoked",
    question="What does UpdateCertificate answer for a REVOKED certificate?",
    method="Revokes a registered device's certificate, and sets it INACTIVE and ACTIVE.",
    expects=(
        Expectation(
            what="REVOKED to INACTIVE",
            assumed="CertificateStateException",
            otherwise="if it is accepted, REVOKED is not final: a user who may update certificates can lift a "
            "revocation, and only the record's verdict keeps the device out",
        ),
        Expectation(
            what="REVOKED to ACTIVE",
            assumed="CertificateStateException",
            otherwise="if it is accepted, REVOKED is not final (the simulation already plays it so); `jitrctl` "
            "explains another error with the wrong sentence",
            switch="revoked_may_become_active",
            to_switch=lambda found: found == ACCEPTED,
        ),
    ),
    run=run,
    makes="1 device",
    calls=45,
    seconds=5,
    not_local="ministack lets any status follow any other, which AWS's guide does not",
)
