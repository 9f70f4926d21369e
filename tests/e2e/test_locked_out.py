"""One order takes connected devices out of both accounts at once, and leaves every other device's session; for real."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from jitrctl.demo.story import Story
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import Connection
from tests.support.e2e.stage_devices import NewDevice, connect, expect_refusal

# From the order to the end of the session. The local AWS itself ends one 5 seconds after its certificate left ACTIVE.
SECONDS = 5.0
STOLEN, OTHER, ROTATED = "sensor-0120", "sensor-0121", "sensor-0122"


@pytest.fixture(autouse=True)
def _in_local_aws(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(workspace.directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workspace.directory / "aws-credentials"))


def works(connection: Connection) -> bool:
    return connection.publish(f"devices/{connection.client_id}/state", "21.5")


def reason(stage: LocalStage, client_id: str) -> Any:
    return stage.account.client("iot-data").get_connection(clientId=client_id).get("disconnectReason")


def test_a_stolen_device_is_out_of_both_accounts_and_no_other_session_ends(
    default_stage: LocalStage,
    sni_only_stage: LocalStage,
    new_device: NewDevice,
    story: Story,
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stages = (default_stage, sni_only_stage)
    stolen, other = new_device(STOLEN), new_device(OTHER)
    old, new = new_device(ROTATED, days=45), story.cast.ca.issue(tmp_path / "new", ROTATED)
    with ExitStack() as open_ones:

        def stays(stage: LocalStage, files: DeviceFiles, name: str) -> Connection:
            return open_ones.enter_context(connect(stage, files, name))

        lost = [stays(stage, stolen, STOLEN) for stage in stages]
        stays(default_stage, old, ROTATED)
        kept = [stays(default_stage, other, OTHER), stays(default_stage, new, ROTATED)]
        assert default_stage.status(old.certificate_id) == "ACTIVE", "within the overlap"
        assert all(works(one) for one in (*lost, *kept))

        order = ["device", "revoke", str(stolen.certificate), str(old.certificate), "--note", "stolen", "--yes"]
        code = main([*order, "--json", "--fleet", str(workspace.fleet_file)])

        told = json.loads(capsys.readouterr().out)
        assert code == 0, told
        for stage, of_stage, connection in zip(stages, told["stages"], lost, strict=True):
            (session,) = of_stage["devices"][0]["sessions"]
            assert (session["client_id"], session["state"]) == (STOLEN, "ended")
            assert session["seconds"] < SECONDS
            assert not connection.is_open
            assert reason(stage, STOLEN) == "API_INITIATED_DISCONNECT", "not by the local AWS itself"
            assert stage.status(stolen.certificate_id) == "REVOKED"
            assert expect_refusal(stage, stolen, STOLEN).how == "closed"
        (rotated,) = told["stages"][0]["devices"][1]["sessions"]
        assert rotated["state"] == "left"
        assert f"certificate {new.certificate_id[:16]} of thing {ROTATED} is ACTIVE" in rotated["why"]
        assert default_stage.status(old.certificate_id) == "REVOKED"
        assert all(works(one) for one in kept)
