"""Whoever's local device is not accepted is told the whole command that says why."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jitrctl.localaws.doctor_command import pointing_to_doctor
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.errors import NotAcceptedError


def test_a_device_that_is_not_accepted_is_pointed_to_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my devices"
    files: Any = SimpleNamespace(certificate=folder / "sensor-0042.pem", key=folder / "sensor-0042.key")
    account: Any = SimpleNamespace(name="dev", region="eu-central-1")

    with (
        pytest.raises(LocalAwsError) as failed,
        pointing_to_doctor(files, account, tmp_path / "fleet.toml", "sensor-0042"),
    ):
        raise NotAcceptedError("sensor-0042 was refused 9 times in 15.0 s", ())

    said = re.fullmatch(r"sensor-0042 was refused 9 times in 15.0 s; why: `jitrctl (.*)`", str(failed.value))
    assert said
    words = shlex.split(said[1])
    assert words == [
        *("doctor", "my devices/sensor-0042.pem", "--key", "my devices/sensor-0042.key", "--client-id", "sensor-0042"),
        *("--account", "dev", "--region", "eu-central-1", "--fleet", "fleet.toml"),
    ]
