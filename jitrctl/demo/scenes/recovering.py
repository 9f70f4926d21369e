"""Shows a device whose event was lost, and that stopped connecting: the sweep finds it."""

from __future__ import annotations

import time

from jitr.decisions import Outcome
from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_accepted, connect_refused, expect, row, sweep_until
from jitrctl.localaws.errors import LocalAwsError

_NAME = "sensor-0005"
# `register` puts off what it takes for a repeat of a first event that is under way: what is sent for a certificate of
# up to 15 seconds (jitr/events.py). On AWS the sweep comes minutes later.
_NOT_EARLY = 15.5


def lose_event(cast: Cast) -> None:
    """Let the device connect, and lose its event; in an earlier step than `lost_event`."""
    stage, files = cast.second, cast.ca.issue(cast.devices, _NAME)
    with stage.disable_rule():
        cast.lost = files, connect_refused(stage, files, _NAME), time.monotonic()


def lost_event(cast: Cast) -> Detail:
    stage, name = cast.second, _NAME
    if cast.lost is None:
        raise LocalAwsError(f"{name} has not connected yet")
    files, answer, lost_at = cast.lost
    status = stage.status(files.certificate_id)
    expect(status == "PENDING_ACTIVATION", f"{name} is {status} although its event was lost")
    time.sleep(max(0.0, _NOT_EARLY - (time.monotonic() - lost_at)))
    began = time.monotonic()
    sent = sweep_until(stage, lambda: stage.decision(files.certificate_id) is not None)
    decision = stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)
    expect(decision.outcome is Outcome.ACTIVATED, f"{name} was {decision.outcome}: {decision.detail}")
    connect_accepted(stage, files, name).close()
    seconds = f"{time.monotonic() - began:.2f}"
    cast.sum_up(name, stage, "activated, by the sweep")
    return Detail(
        rows=[
            row("", "CONNECT in step 3, topic rule disabled", f"{answer}; no event; certificate {status}"),
            row("", "gives up", f"the sweep sends {sent} lost certificate to the queue"),
            row(seconds, "CONNECT, later", f"CONNACK: accepted, as thing {decision.thing_name}"),
        ],
        note=f"The sweep was run at once here; its schedule is every {cast.example.sweep.every // 60} minutes.",
    )
