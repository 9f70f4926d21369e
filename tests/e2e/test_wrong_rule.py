"""A wrong pattern is deployed, and mended: nobody is lost, nobody is let in who was taken away; by the real stack."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from jitrctl.localaws import deployment
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.mqtt.client import ConnectRefusal
from tests.e2e.conftest import awaited
from tests.support.local.deployed import Deployed, deployed

REASON = "COMMON_NAME_REFUSED"
RIGHT, WRONG = '"sensor-[0-9]{4,}"', '"senzor-[0-9]{4,}"'
DEVICES = 60
# Held devices have a twentieth of the rate where new ones wait, and each environment looks at one of them now and then.
PATIENCE = 600.0


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    with deployed(tmp_path / "wrong", lambda text: text.replace(RIGHT, WRONG, 1)) as fleet:
        for name, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            monkeypatch.setenv(name, str(fleet.workspace.directory / file))
        yield fleet


def statuses(fleet: Deployed, devices: list[DeviceFiles]) -> Counter[str]:
    return Counter(fleet.local.status(one.certificate_id) for one in devices)


def mend(fleet: Deployed) -> None:
    file = fleet.workspace.fleet_file
    file.write_text(file.read_text(encoding="utf-8").replace(WRONG, RIGHT, 1), encoding="utf-8")
    deployment.synthesize(fleet.workspace, fleet.local.account)
    deployment.deploy(fleet.workspace, fleet.local.account, fleet.local.place)


def until_active(fleet: Deployed, devices: list[DeviceFiles], number: int) -> None:
    """Let the sweep run, as often as the schedule would, until so many are ACTIVE."""

    def all_active() -> bool:
        if statuses(fleet, devices)["ACTIVE"] == number:
            return True
        fleet.local.sweep()
        time.sleep(5)
        return False

    awaited(all_active, f"{number} devices ACTIVE", seconds=PATIENCE)


def test_sixty_devices_under_a_wrong_pattern_come_up_but_for_one_that_is_taken_away(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = [fleet.issue(f"sensor-{4000 + number}") for number in range(DEVICES)]
    for number, one in enumerate(devices):
        device = fleet.local.device(one, f"sensor-{4000 + number}")
        assert isinstance(device.connect(fleet.local.endpoint), ConnectRefusal)
    for one in devices:
        assert fleet.local.awaited_decision(one.certificate_id, seconds=PATIENCE).reason
    found = statuses(fleet, devices)
    # A refusal is counted before it is carried out, and twice where its function failed in between.
    assert 15 <= found["INACTIVE"] <= 20
    assert found["PENDING_ACTIVATION"] == DEVICES - found["INACTIVE"]

    code, status = fleet.ask(capsys, "fleet", "status")
    assert code == 1
    assert "COMMON_NAME_REFUSED" in json.dumps(status)

    rejected = [one for one in devices if fleet.local.status(one.certificate_id) == "INACTIVE"]
    held = [one for one in devices if one not in rejected]
    taken, *others = rejected
    fleet.run("device", "deactivate", taken.certificate_id, "--yes", "--note", "stolen")
    mend(fleet)
    until_active(fleet, held, len(held))
    assert statuses(fleet, rejected) == {"INACTIVE": len(rejected)}

    words = ["device", "release", "--rejected-for", REASON, "--would-be-admitted", "--yes", "--note", "pattern"]
    code, told = fleet.ask(capsys, *words)
    assert (code, told["found"], told["ordered"]) == (0, len(rejected), len(others)), told
    until_active(fleet, others, len(others))
    assert fleet.local.status(taken.certificate_id) == "INACTIVE"
    device = fleet.local.device(others[0], f"sensor-{4000 + devices.index(others[0])}")
    connection, _ = device.connect_until_accepted(fleet.local.endpoint, patience=60)
    connection.close()
    where = ["--account", fleet.local.name, "--fleet", str(fleet.workspace.fleet_file)]
    assert main(["device", "release", "--rejected-for", REASON, "--dry-run", *where]) == 0
