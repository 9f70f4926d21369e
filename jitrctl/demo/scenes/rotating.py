"""Shows a device that rotates its certificate without a gap in publishing."""

from __future__ import annotations

from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_accepted, connect_refused, expect, row, sweep_until


def rotation(cast: Cast) -> Detail:
    stage, name = cast.first, "sensor-0006"
    # Within the rotation window (60 days), and long enough to be admitted (30 days).
    old = cast.ca.issue(cast.devices / "old", name, days=45)
    new = cast.ca.issue(cast.devices / "new", name)
    with connect_accepted(stage, old, name) as connection:
        expect(connection.publish(f"devices/{name}/state", "{}"), "the old certificate does not work")
        answer = connect_refused(stage, new, name)
        follows = stage.wait_for_decision(new.certificate_id, seconds=PATIENCE)
        expect(follows.replaces == old.certificate_id, f"the new certificate was {follows.outcome}: {follows.detail}")
        expect(connection.publish(f"devices/{name}/state", "{}"), "there was a gap before the new one worked")
    with connect_accepted(stage, new, name) as connection:
        sweep_until(stage, lambda: stage.status(old.certificate_id) == "INACTIVE")
        expect(connection.publish(f"devices/{name}/state", "{}"), "the new certificate stopped working")
    status = stage.status(old.certificate_id)
    expect(status == "INACTIVE", f"the old certificate is {status} after the overlap")
    cast.sum_up(name, stage, "rotated")
    overlap = cast.example.cas[0].overlap // 86_400
    return Detail(
        rows=[
            row("", "old certificate, 45 days left", "works"),
            row("", "new certificate, first CONNECT", f"{answer}; activated, for thing {follows.thing_name}"),
            row("", "old certificate, still connected", "publishes on: no gap"),
            row("", "new certificate, CONNECT again", "CONNACK: accepted"),
            row("", f"after the overlap ({overlap} days)", f"the sweep retires the old certificate: {status}"),
        ],
        note="The overlap was cut to one second here.",
    )
