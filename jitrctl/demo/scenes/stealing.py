"""Shows a stolen device that is connected in both accounts: one order ends it in both, and no other device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_accepted, connect_refused, expect, row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.localaws.stage import LocalStage
    from jitrctl.mqtt.client import Connection

_STOLEN, _OTHER = "sensor-0001", "sensor-0006"  # the one that moved, and the one that rotated
_LOOK = 0.05  # seconds
_NOTE = "stolen from the van"


def theft(cast: Cast) -> Detail:
    files = cast.ca.find_issued(cast.devices, _STOLEN)
    bystander = cast.ca.find_issued(cast.devices / "new", _OTHER)
    assert files is not None  # noqa: S101 -- both were connected in earlier scenes
    assert bystander is not None  # noqa: S101
    stages = (cast.first, cast.second)
    with (
        connect_accepted(cast.first, files, _STOLEN) as in_first,
        connect_accepted(cast.second, files, _STOLEN) as in_second,
        connect_accepted(cast.first, bystander, _OTHER) as other,
    ):
        sessions = dict(zip(stages, (in_first, in_second), strict=True))
        for stage, session in sessions.items():
            expect(session.publish(f"devices/{_STOLEN}/state", "{}"), f"the device does not work in {stage.name}")
        order = cast.begin_order(stages, "device", "revoke", files.certificate_id, "--note", _NOTE, "--yes")
        with order:
            seconds = _wait_for_ends(sessions)
            cast.finish_order(order)
        expect(other.publish(f"devices/{_OTHER}/state", "{}"), f"the session of {_OTHER} ended, too")
    rows = [row("", "CONNECT and publish in both accounts", "accepted and acknowledged, with one certificate")]
    for stage in stages:
        answer = connect_refused(stage, files, _STOLEN)
        status = stage.status(files.certificate_id)
        expect(status == "REVOKED", f"{stage.name} has the certificate {status}")
        rows.append(
            row(f"{seconds[stage]:.2f}", f"is revoked by its operator: in {stage.name}", f"session ended; {status}")
        )
        rows.append(row("", f"CONNECT again in {stage.name}", answer))
    rows.append(row("", f"{_OTHER}, connected meanwhile", "publishes on"))
    cast.sum_up(_STOLEN, cast.first, "stolen: revoked in both accounts", f"{max(seconds.values()):.2f}")
    return Detail(
        rows=rows,
        note=(
            "seconds: from the command's start to the end of the device's connection. Without the order's last step, "
            "AWS IoT ends a session minutes after REVOKED. The command looks again ten seconds later."
        ),
    )


def _wait_for_ends(sessions: Mapping[LocalStage, Connection]) -> dict[LocalStage, float]:
    """The seconds until each of these connections ended.

    Raises LocalAwsError when one is open for too long.
    """
    began = time.monotonic()
    ended: dict[LocalStage, float] = {}
    while len(ended) < len(sessions):
        for stage, session in sessions.items():
            if stage not in ended and not session.is_open:
                ended[stage] = time.monotonic() - began
        late = [stage.name for stage in sessions if stage not in ended]
        expect(time.monotonic() - began < PATIENCE, f"the device is still connected in {', '.join(late)}")
        time.sleep(_LOOK)
    return ended
