"""Shows a stolen device that is connected in both accounts: one order ends it in both, and no other device."""

from __future__ import annotations

import json

from jitrctl.demo.scenes.cast import Cast, Detail, connect_accepted, connect_refused, expect, row

_STOLEN, _OTHER = "sensor-0001", "sensor-0006"  # the one that moved, and the one that rotated
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
        order = ("device", "revoke", files.certificate_id, "--note", _NOTE, "--yes", "--json")
        seconds = _read_seconds(cast.order_in(stages, *order))
        for stage, session in sessions.items():
            expect(not session.is_open, f"the device is still connected in {stage.name}")
        expect(other.publish(f"devices/{_OTHER}/state", "{}"), f"the session of {_OTHER} ended, too")
    rows = [row("", "CONNECT and publish in both accounts", "accepted and acknowledged, with one certificate")]
    for stage in stages:
        answer = connect_refused(stage, files, _STOLEN)
        status = stage.status(files.certificate_id)
        expect(status == "REVOKED", f"{stage.name} has the certificate {status}")
        ended = f"{seconds[stage.name]:.2f}"
        rows.append(row(ended, f"is revoked by its operator, in {stage.name}", f"session ended; {status}"))
        rows.append(row("", f"CONNECT again in {stage.name}", answer))
    rows.append(row("", f"{_OTHER}, connected meanwhile", "publishes on"))
    cast.sum_up(_STOLEN, cast.first, "stolen: revoked in both accounts")
    return Detail(
        rows=rows,
        note=(
            "One `jitrctl device revoke`, for both accounts. seconds: from the order to the session's end; without "
            "that step AWS IoT ends a session minutes after REVOKED. Ten seconds later the command looks again."
        ),
    )


def _read_seconds(document: str) -> dict[str, float]:
    """The seconds from the order to the session's end, by account, as the order's document says.

    Raises LocalAwsError when a session was not ended by the order.
    """
    seconds = {}
    for stage in json.loads(document)["stages"]:
        (session,) = stage["sessions"]
        expect(session["state"] == "ended", f"in {stage['account']} the order found the session {session['state']}")
        seconds[stage["account"]] = session["seconds"]
    return seconds
