"""Commands whose JSON no other test prints: the fixture of all tests here holds each document to its schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitrctl.__main__ import main
from jitrctl.ca import rotation
from jitrctl.ca.rotation import Dependents
from jitrctl.device.adopt import Adoption
from jitrctl.localaws.account import LocalAccount
from jitrctl.localaws.workspace import Workspace
from jitrctl.queues.replay import Replay
from tests.support.cases.issuing import Authority
from tests.support.cli.orders import create_unknown_thing
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated

EVENT = {
    "certificateId": "",
    "caCertificateId": "",
    "timestamp": 1_790_000_000_000,
    "certificateStatus": "PENDING_ACTIVATION",
    "awsAccountId": "111111111111",
    "certificateRegistrationTimestamp": "1790000000000",
}


def ask(fleet: Simulated, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json; its whole document."""
    ended = main([*words, "--json", "--fleet", str(fleet.file)])
    shown = capsys.readouterr()
    assert ended == code, shown.out + shown.err
    document: dict[str, Any] = json.loads(shown.out)
    assert document["ok"] is (code == 0)
    return document


def test_cas_are_planned_and_applied(fleet: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    planned = ask(fleet, capsys, "ca", "plan")
    applied = ask(fleet, capsys, "ca", "apply", "--yes")
    assert planned["stages"] == applied["stages"]
    assert [plan["ca"] for plan in applied["stages"][0]["cas"]] == ["factory", "factory-2"]


@pytest.mark.usefixtures("mapping")
def test_decisions_are_paused_and_resumed(fleet: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(fleet, capsys, "ca", "pause", "--yes")["stages"][0]["mapping"] == "Disabled"
    assert ask(fleet, capsys, "ca", "resume")["stages"][0]["mapping"] == "Enabled"


def test_rejections_are_accepted_where_nothing_is_braked(fleet: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(fleet, capsys, "ca", "accept-rejections", "factory", "--note", "not ours")
    assert [stage["brake"] for stage in said["stages"]] == ["off already", "off already"]


def test_a_verification_certificate_is_requested_and_signed(
    fleet: Simulated, tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jitrctl.ca.registry.registration_code", lambda _: "c0de" * 16)
    asked = ask(fleet, capsys, "ca", "csr", "--ca", "factory", "--account", DEV)
    assert asked["stages"] == [{"account": DEV, "region": "eu-central-1", "ok": True}]

    (fleet.directory / "factory.pem").write_text(ca.pem)
    (tmp_path / "dev.csr").write_text(asked["request"])
    key = ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.key").write_bytes(key)
    files = ["--csr", str(tmp_path / "dev.csr"), "--ca-key", str(tmp_path / "ca.key")]
    signed = ask(fleet, capsys, "ca", "verification", "--ca", "factory", *files)
    assert signed["verification_certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert signed["stages"] == []


def test_a_fleet_file_is_shown(fleet: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(fleet, capsys, "fleet", "check")
    assert [(stage["account"], stage["account_id"]) for stage in said["stages"]] == [
        (DEV, "111111111111"),
        (PROD, "222222222222"),
    ]
    assert [one["ca"] for one in said["cas"]] == ["factory", "factory-2"]


def test_a_device_is_found_and_its_old_certificate_retired(
    fleet: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.write(RULES + 'rotation_window = "400d"\n')
    fleet.deploy()
    old, new = fleet.issue("sensor-0001", begins=-20), fleet.issue("sensor-0001")
    fleet.knock(DEV, old, "sensor-0001")
    fleet.knock(DEV, new, "sensor-0001")
    fleet.knock(PROD, old, "sensor-0001")

    where = ask(fleet, capsys, "device", "where", "sensor-0001")
    assert [len(stage["certificates"]) for stage in where["stages"]] == [2, 1]
    retired = ask(fleet, capsys, "device", "retire", old.certificate_id, "--account", PROD, "--yes")
    assert retired["certificate_id"] == old.certificate_id


def test_an_adopted_thing_whose_ca_is_not_known_is_warned_of(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_unknown_thing(fleet)
    monkeypatch.setattr(Adoption, "is_without_ca", property(lambda _: True, lambda *_: None), raising=False)

    (warning,) = ask(fleet, capsys, "device", "adopt", "old-0001")["warnings"]
    assert warning.startswith("dev/eu-central-1: which CA issued its certificate is not known here")
    assert "NOT_A_ROTATION" in fleet.say("device", "adopt", "old-0001", "--account", DEV)


def test_an_adopted_thing_that_keeps_policies_of_others_is_warned_of(
    fleet: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate_id = create_unknown_thing(fleet)
    iot = fleet.iot(DEV)
    iot.create_policy(policyName="old-policy", policyDocument="{}")
    arn = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
    iot.attach_policy(policyName="old-policy", target=arn)

    (warning,) = ask(fleet, capsys, "device", "adopt", "old-0001")["warnings"]
    assert warning.startswith("dev/eu-central-1: its certificate keeps policies that are not jitr's (old-policy), ")
    assert ask(fleet, capsys, "device", "adopt", "old-0001")["warnings"] == [], "nothing is adopted any more"


def test_a_retired_ca_that_more_devices_may_depend_on_is_warned_of(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rotation, "dependents", lambda *_: Dependents(unknown=2))

    (warning,) = ask(fleet, capsys, "ca", "retire", "factory", "--account", DEV, "--yes")["warnings"]
    assert warning.startswith("dev/eu-central-1: 2 live certificates are listed under no CA")
    assert "listed under no CA" in fleet.say("ca", "retire", "factory", "--account", DEV, "--yes")


def test_a_device_is_allowed_also_where_a_colleague_denied_it(
    fleet: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(fleet, capsys, "enrollment", "deny", "sensor-0001", "--yes")
    said = ask(fleet, capsys, "enrollment", "allow", "sensor-0001", "--yes", code=1)
    assert said["stages"][0]["still_denied"] == [{"thing": "sensor-0001"}]


def test_an_event_is_previewed_and_replayed(
    fleet: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leaf = fleet.issue("sensor-0001")
    fleet.place(DEV).connect(leaf, client_id="sensor-0001")
    event = EVENT | {"certificateId": leaf.certificate_id, "caCertificateId": fleet.old.certificate_id}
    (tmp_path / "event.json").write_text(json.dumps(event))
    words = ["replay", str(tmp_path / "event.json"), "--account", DEV]

    (previewed,) = ask(fleet, capsys, *words, "--dry-run")["results"]
    assert previewed["outcome"] == "activated"

    monkeypatch.setattr(Replay, "send", lambda *_: {"outcome": "rejected", "decision": None, "of_a_later_version": 1})
    said = ask(fleet, capsys, *words)
    assert said["results"][0]["outcome"] == "rejected"
    assert said["stages"] == [{"account": DEV, "region": "eu-central-1", "ok": True}]

    (tmp_path / "event.json").write_text("{")
    assert "error" in ask(fleet, capsys, *words, code=1)["results"][0]


@pytest.mark.parametrize(
    "answer",
    [
        {"another_sweep_is_under_way": True},
        {"looked_at": 3, "sent": 1, "queue_is_behind": False, "unfinished": [], "of_a_later_version": 1},
    ],
)
def test_a_sweep_tells_what_the_function_answers(
    answer: dict[str, Any], fleet: Simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jitrctl.commands.sweep.invoke", lambda *_: answer)
    assert ask(fleet, capsys, "sweep", "--account", DEV)["stages"][0]["swept"] == answer


def test_the_local_accounts_that_run_are_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(directory=tmp_path / "local")
    running = LocalAccount(
        name="dev",
        id="111111111111",
        region="eu-central-1",
        profile="acme-dev",
        gateway_port=8,
        mqtt_port=9,
        pid=1,
        log=tmp_path / "dev.log",
    )
    monkeypatch.setattr("jitrctl.commands.local.Workspace", lambda: workspace)
    monkeypatch.setattr("jitrctl.localaws.accounts.find_running", lambda _: (running,))
    assert main(["local", "status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["fleet_file"] == str(workspace.checkout / "fleet.toml")
    (stage,) = document["stages"]
    assert (stage["account"], stage["account_id"], stage["mqtt"]) == ("dev", "111111111111", "127.0.0.1:9")
