"""How soon is a device's CONNECT accepted again after DeleteConnection?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe, Within
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_PATIENCE = 60.0  # seconds


def run(run: Run) -> Mapping[str, Json]:
    device = run.activate_device(SNI_ONLY, "deleted")
    session = run.open_session(device)
    try:
        device.place.client("iot-data").delete_connection(clientId=device.client_id)
        began = run.time.monotonic()
        ended = run.wait(lambda: None if session.is_open else run.time.monotonic(), seconds=_PATIENCE)
    finally:
        session.close()
    if ended is None:
        return {"DeleteConnection to the session's end": "not in a minute"}
    found: dict[str, Json] = {"DeleteConnection to the session's end": round(ended - began, 1)}
    run.open_session(device).close()
    return found | {"the end to an accepted CONNECT": round(run.time.monotonic() - ended, 1)}


PROBE = Probe(
    name="reconnected",
    question="How many seconds after DeleteConnection does a session end, and when is the device accepted again?",
    method="Connects an active device, deletes its connection, and connects each second until it is accepted.",
    expects=(
        Expectation(
            what="DeleteConnection to the session's end",
            assumed=Within(most=10),
            otherwise="`jitrctl device revoke --disconnect` says too early that the device is disconnected",
        ),
        Expectation(
            what="the end to an accepted CONNECT",
            assumed=Within(most=10),
            otherwise="DeleteConnection keeps a device out for a while: better than assumed; setting INACTIVE first "
            "stays right",
        ),
    ),
    run=run,
    makes="1 device, the run's policy",
    calls=50,
    seconds=20,
)
