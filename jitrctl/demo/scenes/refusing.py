"""Shows devices that must not be admitted: rejected ones, and one of a CA that is not registered."""

from __future__ import annotations

from jitr.errors import Reason
from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_refused, expect
from jitrctl.localaws.issuing import IssuingCa
from jitrctl.localaws.stage import UNKNOWN


def refusals(cast: Cast) -> Detail:
    stage, rows, stranger_name = cast.first, [], "sensor-0003"
    stranger = IssuingCa.create(cast.devices / "unregistered-ca", "unregistered").issue(cast.devices, stranger_name)
    answer = connect_refused(stage, stranger, stranger_name)
    for name, days, reason in (
        ("toaster-0001", 365, Reason.COMMON_NAME_REFUSED),
        ("sensor-0004", 7, Reason.EXPIRES_TOO_SOON),
    ):
        files = cast.ca.issue(cast.devices, name, days=days)
        connect_refused(stage, files, name)
        decision = stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)
        status = stage.status(files.certificate_id)
        expect(decision.reason is reason, f"{name} was {decision.outcome} {decision.reason}, not {reason}")
        expect(status == decision.status, f"{name} is {status}, the record says {decision.status}")
        rows.append(
            {"device": name, "recorded": str(decision.reason), "certificate": status, "why": decision.detail or ""}
        )
        cast.sum_up(name, stage, f"rejected: {decision.reason}")
    # Two later events have been decided by now, so an event of the unknown device would have been too.
    status = stage.status(stranger.certificate_id)
    heard = [line for line in stage.log_lines() if line.get("certificate_id") == stranger.certificate_id]
    expect(status == UNKNOWN, f"a certificate of an unregistered CA is {status}")
    expect(not heard, "a certificate of an unregistered CA caused an event")
    rows.append(
        {
            "device": stranger_name,
            "recorded": "nothing: no event",
            "certificate": status,
            "why": f"its CA is not registered; {answer}",
        }
    )
    cast.sum_up(stranger_name, stage, "not registered (unknown CA)")
    return Detail(rows=rows)
