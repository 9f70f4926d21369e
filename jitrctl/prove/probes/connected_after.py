"""How long after ACTIVE is a CONNECT accepted?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe, Within
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    device = run.register_device(SNI_ONLY, "activated")
    run.allow(device)
    device.place.iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
    began = run.time.monotonic()
    session = run.open_session(device)
    seconds = run.time.monotonic() - began
    session.close()
    return {"ACTIVE to CONNACK": round(seconds, 1)}


PROBE = Probe(
    name="connected-after",
    question="How many seconds after it became ACTIVE is a device's CONNECT accepted?",
    method="Activates a registered device with a policy, and connects each second until it is accepted.",
    expects=(
        Expectation(
            what="ACTIVE to CONNACK",
            assumed=Within(most=15),
            otherwise="docs/devices.md must ask firmware to retry for longer, and `doctor --key` waits too briefly",
        ),
    ),
    run=run,
    makes="1 device, the run's policy",
    calls=45,
    seconds=15,
)
