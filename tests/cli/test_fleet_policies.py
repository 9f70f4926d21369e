"""What `jitrctl fleet check` says of device policies, on a narrow terminal and in a pipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jitr_fleet.policy import BUILT_IN_POLICY
from jitrctl.__main__ import main
from jitrctl.terminal import err, out
from tests.support.fleet.policies import ARN, CONNECT, THING, allow, deny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TALK = [
    allow(["iot:Publish", "iot:Receive"], f"{ARN}topic/devices/{THING}/*"),
    allow("iot:Subscribe", f"{ARN}topicfilter/devices/{THING}/*"),
]


@pytest.fixture
def write_policy(write_fleet: Callable[..., Path]) -> Callable[..., Path]:
    """Write a fleet file whose CA has a policy of these statements."""

    def write(*statements: dict[str, Any]) -> Path:
        path = write_fleet('thing_type  = "sensor"', 'thing_type = "sensor"\npolicy = "device.json"')
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        (path.parent / "device.json").write_text(json.dumps(document, indent=1))
        return path

    return write


@pytest.fixture(params=[80, 100])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    for console in (out, err):
        monkeypatch.setattr(console, "width", request.param)
    return int(request.param)


@pytest.mark.usefixtures("width")
def test_what_was_proven_is_one_line_for_each_policy(
    write_policy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_policy(CONNECT, *TALK)

    assert main(["fleet", "check", "--fleet", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{path.parent}/device.json (factory): a device such as sensor-7777 connects, publishes to "
        "devices/sensor-7777/x, subscribes to devices/sensor-7777/x and receives there."
    )


@pytest.mark.usefixtures("width")
def test_the_policy_that_jitr_brings_is_tried_too(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "check", "--fleet", str(fleet_file)]) == 0
    assert "jitr's own policy (factory): a device such as sensor-7777 connects, publ" in capsys.readouterr().out


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize(
    ("statements", "line", "said"),
    [
        (TALK, 3, "no statement allows iot:Connect, so no device can connect; add { "),
        ([CONNECT, deny("*", "*")], 14, "statement 2 denies iot:Connect to every device; a Deny wins"),
        ([CONNECT, allow("iot:Conect", "*")], 16, '"iot:Conect", which no device can carry out; did you mean iot:C'),
        (
            [CONNECT, allow("iot:Receive", "arn:aws:iot:eu-central-1:999999999999:topic/x")],
            17,
            'statement 2 names the account "999999999999", where this policy is not deployed; write <account> there',
        ),
        (
            [CONNECT, allow("iot:Publish", f"{ARN}topic/*")],
            17,
            'below $aws/rules/: in "topic/*" the * after "topic/" also stands for $aws/rules/…; name the devices',
        ),
    ],
)
def test_a_refused_policy_is_one_line_with_its_place(
    write_policy: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    statements: list[dict[str, Any]],
    line: int,
    said: str,
) -> None:
    path = write_policy(*statements)

    assert main(["fleet", "check", "--fleet", str(path)]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert f"{path.parent}/device.json:{line}: the policy of ca.factory: " in told
    assert said in told


@pytest.mark.usefixtures("width")
def test_a_note_is_one_line_and_no_failure(
    write_policy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_policy(CONNECT, TALK[0])

    assert main(["fleet", "check", "--fleet", str(path)]) == 0
    *_, proven, noted = capsys.readouterr().out.splitlines()
    assert proven.endswith("sensor-7777 connects, publishes to devices/sensor-7777/x.")
    assert noted == (
        f"  {path.parent}/device.json:3: the policy of ca.factory: no statement allows iot:Subscribe: devices "
        f"subscribe to nothing; if that is not meant, allow iot:Subscribe on {ARN}topicfilter/…."
    )


def test_programs_are_told_the_same(write_policy: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = write_policy(CONNECT, TALK[0])

    assert main(["fleet", "check", "--json", "--fleet", str(path)]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    (note,) = policy.pop("notes")
    assert policy == {
        "file": f"{path.parent}/device.json",
        "built_in": False,
        "cas": ["factory"],
        "device": "sensor-7777",
        "connect": "allowed",
        "publish": "devices/sensor-7777/x",
        "subscribe": None,
        "receive": None,
    }
    assert (note["file"], note["line"]) == (policy["file"], 3)


def test_programs_know_jitrs_own_policy(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "check", "--json", "--fleet", str(fleet_file)]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    assert (policy["built_in"], policy["file"], policy["notes"]) == (True, str(BUILT_IN_POLICY), [])
