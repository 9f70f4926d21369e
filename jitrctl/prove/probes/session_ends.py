"""How long after INACTIVE does a live session end?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe, Within
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_PATIENCE = 900.0  # seconds


def run(run: Run) -> Mapping[str, Json]:
    device = run.activate_device(SNI_ONLY, "session")
    session = run.open_session(device)
    try:
        device.place.iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
        began = run.time.monotonic()
        ended = run.wait(lambda: None if session.is_open else run.time.monotonic(), seconds=_PATIENCE)
    finally:
        session.close()
    return {"INACTIVE to the session's end": "not in 15 minutes" if ended is None else round(ended - began, 1)}


PROBE = Probe(
    name="session-ends",
    question="How many seconds after its certificate left ACTIVE does a session end?",
    method="Connects an active device, sets its certificate INACTIVE, and waits for the broker to close, at "
    "most 15 minutes.",
    expects=(
        Expectation(
            what="INACTIVE to the session's end",
            assumed=Within(most=300),
            otherwise="`jitrctl device revoke` without `--disconnect` leaves a device connected for longer "
            "than the docs say",
            switch="session_seconds",
            to_switch=lambda found: float(found) if isinstance(found, int | float) else 900.0,
        ),
    ),
    run=run,
    makes="1 device, the run's policy",
    calls=45,
    seconds=200,
)
