"""Shows a device's first connection, its move to another account, and a connection without SNI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_accepted, connect_refused, expect, row
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.stage import UNKNOWN
from jitrctl.mqtt.client import ConnectRefusal

if TYPE_CHECKING:
    from jitrctl.localaws.issuing import DeviceFiles
    from jitrctl.localaws.stage import LocalStage

_NAME = "sensor-0001"


def first_connection(cast: Cast) -> Detail:
    return _onboard(cast, cast.first, cast.ca.issue(cast.devices, _NAME))


def move(cast: Cast) -> Detail:
    files = cast.ca.find_issued(cast.devices, _NAME)
    assert files is not None  # noqa: S101 -- the first connection was played before
    detail = _onboard(cast, cast.second, files)
    with connect_accepted(cast.first, files, _NAME) as connection:
        acknowledged = connection.publish(f"devices/{_NAME}/state", '{"back": true}')
    expect(acknowledged, f"the device does not work in {cast.first.name} any more")
    detail.rows.append(row("", f"CONNECT and publish in {cast.first.name}", "accepted and acknowledged, as before"))
    return detail


def _onboard(cast: Cast, stage: LocalStage, files: DeviceFiles) -> Detail:
    """First connection, activation, second connection, own topic, another's topic."""
    began = time.monotonic()
    refusal = stage.device(files, _NAME).connect(stage.endpoint)
    first_answer = time.monotonic() - began
    if not isinstance(refusal, ConnectRefusal):
        refusal.close()
        raise LocalAwsError(f"{stage.name} accepted a certificate that it had never seen")
    status = stage.status(files.certificate_id)
    expect(status != UNKNOWN, f"{stage.name} did not register the certificate")
    connection = connect_accepted(stage, files, _NAME)
    seconds = time.monotonic() - began
    decision = stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)
    expect(decision.outcome is Outcome.ACTIVATED, f"{stage.name} recorded {decision.outcome} {decision.detail or ''}")
    with connection:
        own = connection.publish(f"devices/{_NAME}/state", '{"temperature": 21}')
        other = connection.publish("devices/sensor-9999/state", "{}", timeout=2)
    expect(own, f"a publish on the device's own topic was not acknowledged in {stage.name}")
    expect(not other, f"{stage.name} lets a device publish on another thing's topic")
    cast.sum_up(_NAME, stage, "activated", f"{seconds:.2f}")
    return Detail(
        rows=[
            row(f"{first_answer:.2f}", "first CONNECT", f"{refusal.how} without CONNACK; certificate {status}"),
            row(f"{seconds:.2f}", "CONNECT again", f"CONNACK: accepted, as thing {decision.thing_name}"),
            row("", f"publish devices/{_NAME}/state", "acknowledged"),
            row("", "publish devices/sensor-9999/state", "refused: another thing's topic; connection closed"),
        ]
    )


def without_sni(cast: Cast) -> Detail:
    stage, name = cast.second, "sensor-0002"
    files = cast.ca.issue(cast.devices, name)
    answer = connect_refused(stage, files, name, sni=False)
    status = stage.status(files.certificate_id)
    expect(status == UNKNOWN, f"{stage.name} registered a device that sent no SNI: {status}")
    cast.sum_up(name, stage, "not registered (no SNI)")
    return Detail(
        rows=[row("", "CONNECT without SNI", f"{answer}; certificate {status}")],
        note=(
            "Real AWS hands such a device to the account that holds the CA in DEFAULT mode, here "
            f"{cast.first.name}. Two separate local processes cannot show that."
        ),
    )
