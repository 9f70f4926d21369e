"""What is a SUBSCRIBE answered that the policy does not allow?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    device = run.activate_device(SNI_ONLY, "subscribing")
    session = run.open_session(device)
    try:
        return {"unauthorized SUBSCRIBE": session.subscribe(f"{run.id}/not-allowed")}
    finally:
        session.close()


PROBE = Probe(
    name="unauthorized-subscribe",
    question="Is an unauthorized SUBSCRIBE answered with a failure code, or with the end of the connection?",
    method="A device whose policy allows CONNECT alone subscribes (MQTT 3.1.1).",
    expects=(
        Expectation(
            what="unauthorized SUBSCRIBE",
            assumed="closed",
            otherwise="docs/devices.md must tell firmware to read the SUBACK; if it is granted, the policy "
            "has no effect",
        ),
    ),
    run=run,
    makes="1 device, the run's policy",
    calls=45,
    seconds=10,
)
