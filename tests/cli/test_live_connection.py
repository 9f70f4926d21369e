"""`device show` and `doctor` say since when a device is connected, from where, and why it went."""

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from jitrctl.doctor import provisioned, runner
from jitrctl.doctor.finding import State
from simulation import Call, Fault, Leaf, Moment
from simulation.faults import denied
from tests.support.cli.simulated import DEV, Simulated, simulated

if TYPE_CHECKING:
    from pathlib import Path

    from jitrctl.doctor.context import DeviceContext

SENSOR = "sensor-0001"


@pytest.fixture
def fleet(tmp_path: "Path", monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


@pytest.fixture
def leaf(fleet: Simulated) -> Leaf:
    leaf = fleet.issue(SENSOR)
    assert fleet.knock(DEV, leaf, SENSOR) == "accepted"
    return leaf


def refuse(call: Call, moment: Moment) -> Fault | None:
    if call.service == "iot-data" and moment == "before":
        raise denied(call)
    return None


def found(fleet: Simulated) -> tuple[State, str]:
    """What doctor's link says."""
    case = cast("DeviceContext", SimpleNamespace(stage=fleet.stage(DEV), connects_as=SENSOR))
    finding = provisioned.check_connection(case)
    return finding.state, finding.text


def test_doctor_looks_at_the_connection_last_of_a_device_that_is_registered() -> None:
    assert runner.LINKS[-1].check is provisioned.check_connection
    assert runner.LINKS[-1].of_registered


def test_a_device_that_is_connected_is_shown_since_when(fleet: Simulated, leaf: Leaf) -> None:
    said = fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert f"client {SENSOR}: connected since" in said
    assert found(fleet)[0] is State.GOOD


def test_json_has_the_connection(fleet: Simulated, leaf: Leaf, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    capsys.readouterr()
    document: Any = json.loads(fleet.say("device", "show", leaf.certificate_id, "--account", DEV, "--json"))
    (certificate,) = document["stages"][0]["certificates"]
    assert certificate["connection"]["connected"] is True
    assert certificate["connection"]["client_id"] == SENSOR


def test_why_a_device_went_is_shown_while_aws_knows(fleet: Simulated, leaf: Leaf) -> None:
    fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
    fleet.aws.clock.advance(fleet.aws.undocumented.session_seconds)
    said = fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "not connected since" in said
    assert "SERVER_INITIATED_DISCONNECT" in said
    assert found(fleet)[0] is State.NOTE
    fleet.aws.clock.advance(31 * 60)
    assert "not connected, and was not in the last 30 minutes" in found(fleet)[1]


def test_where_it_is_refused_aws_does_not_say_and_the_rest_is_shown(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.fault = refuse
    said = fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "AWS does not say whether it is connected (GetConnection is not allowed" in said
    assert "ACTIVE (SNI_ONLY)" in said
    assert found(fleet)[0] is State.NOTE
