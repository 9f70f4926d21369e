"""Devices and operators against the deployed stack: real CDK app, real Lambda asset, real MQTT over mutual TLS."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.events import event_document
from jitr.store.registry_writes import STALE_INTENT
from jitrctl.__main__ import main
from jitrctl.demo.scenes.cast import Detail
from jitrctl.demo.story import Story
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import Connection
from tests.support.e2e.queues import dead_letters, event_of, send
from tests.support.e2e.stage_devices import NewDevice, certificate_arn, connect, expect_refusal
from tests.support.e2e.waiting import PATIENCE, wait_until


def test_the_demos_story_plays_to_its_end(played: tuple[Story, dict[str, Detail]]) -> None:
    _, told = played

    assert len(told) == 12
    outcomes = [row["outcome"] for row in list(told.values())[-1].rows]
    assert outcomes == [
        "activated",
        "activated",
        "not registered (no SNI)",
        "rejected: COMMON_NAME_REFUSED",
        "rejected: EXPIRES_TOO_SOON",
        "not registered (unknown CA)",
        "activated, once listed",
        "rejected: ENTRY_DENIES",
        "activated, once approved",
        "activated, by the sweep",
        "rotated",
        "stolen: revoked in both accounts",
    ]


def test_the_thing_carries_what_the_fleet_file_says(default_stage: LocalStage, new_device: NewDevice) -> None:
    files = new_device("sensor-0100")
    connect(default_stage, files, "sensor-0100").close()

    thing = default_stage.iot.describe_thing(thingName="sensor-0100")
    groups = default_stage.iot.list_thing_groups_for_thing(thingName="sensor-0100")["thingGroups"]

    assert thing["thingTypeName"] == "sensor"
    assert thing["attributes"] == {"model": "S1", "jitr_certificate": files.certificate_id}
    assert [group["groupName"] for group in groups] == ["factory-1"]


def test_a_device_may_not_use_another_things_client_id(default_stage: LocalStage, new_device: NewDevice) -> None:
    files = new_device("sensor-0101")
    connect(default_stage, files, "sensor-0101").close()

    assert expect_refusal(default_stage, files, "sensor-0102").how == "closed"


def test_an_activated_device_hears_its_own_topic_alone(sni_only_stage: LocalStage, new_device: NewDevice) -> None:
    files = new_device("sensor-0103")

    with connect(sni_only_stage, files, "sensor-0103") as connection:
        assert connection.subscribe("devices/sensor-0103/commands")
        assert connection.publish("devices/sensor-0103/commands", "restart")
        heard = connection.receive()
        assert heard
        assert heard.payload == b"restart"
        assert not connection.subscribe("devices/sensor-0001/commands")


def test_a_rejected_device_stays_out_however_often_it_knocks(default_stage: LocalStage, new_device: NewDevice) -> None:
    files = new_device("toaster-0100")
    expect_refusal(default_stage, files, "toaster-0100")
    decision = default_stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)

    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.COMMON_NAME_REFUSED)
    assert [expect_refusal(default_stage, files, "toaster-0100").how for _ in range(3)] == ["closed"] * 3
    assert default_stage.status(files.certificate_id) == "INACTIVE"


def test_a_poison_message_between_good_ones_goes_whole_to_the_dead_letters_and_they_are_processed(
    default_stage: LocalStage, new_device: NewDevice, story: Story
) -> None:
    stage = default_stage
    good = {name: new_device(name) for name in ("sensor-0104", "sensor-0107")}
    poison = '{"certificateId": "not hex", "note": "whole"}'
    with stage.disable_rule():
        for name, files in good.items():
            expect_refusal(stage, files, name)

    before, after = (event_of(stage, story, files) for files in good.values())
    send(stage, before, poison, after)

    for name, files in good.items():
        connect(stage, files, name).close()
    dead = wait_until(lambda: dead_letters(stage), "the poison in the dead-letter queue")
    assert dead == {poison: "unreadable: certificateId is not 64 hexadecimal digits"}


def test_an_event_that_is_delivered_again_and_again_after_the_decision_changes_nothing(
    default_stage: LocalStage, new_device: NewDevice, story: Story
) -> None:
    stage, files = default_stage, new_device("sensor-0113")
    connect(stage, files, "sensor-0113").close()
    decided = stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)

    def dropped() -> int:
        lines = (line for line in stage.log_lines() if line.get("certificate_id") == files.certificate_id)
        return sum(line.get("outcome") == Outcome.DUPLICATE for line in lines)

    earlier = dropped()
    send(stage, *[event_of(stage, story, files)] * 5)

    wait_until(lambda: dropped() >= earlier + 5, "five duplicates dropped")
    assert stage.decision(files.certificate_id) == decided
    assert stage.status(files.certificate_id) == "ACTIVE"


def test_the_sweep_takes_up_every_device_that_connected_while_the_rule_was_disabled(
    sni_only_stage: LocalStage, new_device: NewDevice
) -> None:
    stage = sni_only_stage
    devices = {name: new_device(name) for name in ("sensor-0114", "sensor-0115", "sensor-0116")}
    with stage.disable_rule():
        for name, files in devices.items():
            expect_refusal(stage, files, name)
            expect_refusal(stage, files, name)
    assert {stage.status(files.certificate_id) for files in devices.values()} == {"PENDING_ACTIVATION"}

    def swept() -> bool:
        stage.sweep()
        return all(stage.decision(files.certificate_id) for files in devices.values())

    wait_until(swept, "a decision on each")
    for name, files in devices.items():
        connect(stage, files, name).close()


def test_a_device_publishes_all_the_while_that_its_certificate_is_rotated(
    sni_only_stage: LocalStage, new_device: NewDevice, story: Story, tmp_path: Path
) -> None:
    stage, name = sni_only_stage, "sensor-0117"
    # Near its end, so that another one may follow, and long enough to be let in.
    old, new = new_device(name, days=45), story.cast.ca.issue(tmp_path / "new", name)

    def publishes(connection: Connection) -> bool:
        return connection.publish(f"devices/{name}/state", "21.5")

    with connect(stage, old, name) as connection:
        expect_refusal(stage, new, name)

        def followed() -> Any:
            assert publishes(connection)
            return stage.decision(new.certificate_id)

        decision = wait_until(followed, "the new certificate's decision")
        assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, old.certificate_id)
        assert stage.status(old.certificate_id) == "ACTIVE"
        assert publishes(connection)
    with connect(stage, new, name) as connection:

        def retired() -> bool:
            assert publishes(connection)
            stage.sweep()
            return stage.status(old.certificate_id) == "INACTIVE"

        wait_until(retired, "the old certificate's end")
        assert publishes(connection)
    assert expect_refusal(stage, old, name).how == "closed"
    connect(stage, new, name).close()


def test_a_forged_event_for_an_unknown_certificate_leaves_no_item(default_stage: LocalStage, story: Story) -> None:
    forged = event_document(
        certificate_id="0" * 64,
        ca_certificate_id=story.cast.ca.certificate_id,
        account_id=default_stage.account.id,
        published_at=None,
        registered_at=None,
    )

    send(default_stage, json.dumps(forged))

    wait_until(
        lambda: [line for line in default_stage.log_lines() if "does not know" in str(line.get("why"))],
        "the message put off",
    )
    assert default_stage.decision("0" * 64) is None


def test_the_certificate_decides_when_an_event_contradicts_it(default_stage: LocalStage, new_device: NewDevice) -> None:
    files = new_device("sensor-0105")
    forged = event_document(
        certificate_id=files.certificate_id,
        ca_certificate_id="f" * 64,
        account_id="999999999999",
        published_at=None,
        registered_at=None,
    )

    with default_stage.disable_rule():
        expect_refusal(default_stage, files, "sensor-0105")
        send(default_stage, json.dumps(forged))
        decision = default_stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)

    assert decision.outcome is Outcome.ACTIVATED

    def contradictions() -> list[Any]:
        lines = [one for one in default_stage.log_lines() if one["message"] == "event contradicts the certificate"]
        return [one for one in lines if one["certificate_id"] == files.certificate_id]

    # A function's log is written when the invocation has ended, and the decision before.
    (line,) = wait_until(contradictions, "the log line")
    assert line["said"] == {"account": "999999999999", "ca_certificate_id": "f" * 64}


@pytest.fixture
def in_local_aws(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's shell that is pointed at the local AWS by ordinary AWS files."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(workspace.directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workspace.directory / "aws-credentials"))


@pytest.mark.usefixtures("in_local_aws")
def test_replay_decides_on_a_lost_event_and_a_dry_run_changes_nothing(
    default_stage: LocalStage,
    new_device: NewDevice,
    story: Story,
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = new_device("sensor-0106")
    with default_stage.disable_rule():
        expect_refusal(default_stage, files, "sensor-0106")
    event = tmp_path / "lost.json"
    event.write_text(event_of(default_stage, story, files), encoding="utf-8")
    common = ["replay", str(event), "--account", default_stage.name, "--fleet", str(workspace.fleet_file)]

    assert main([*common, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "activated as thing sensor-0106" in shown
    assert shown.index("AttachPolicy") < shown.index("SetStatus")
    assert default_stage.status(files.certificate_id) == "PENDING_ACTIVATION"
    assert default_stage.decision(files.certificate_id) is None

    assert main(common) == 0
    assert "activated" in capsys.readouterr().out
    assert default_stage.status(files.certificate_id) == "ACTIVE"
    connect(default_stage, files, "sensor-0106").close()


@pytest.mark.usefixtures("in_local_aws")
def test_a_scheduled_event_runs_the_sweep_under_its_own_role(
    default_stage: LocalStage, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduled = workspace.checkout / "events" / "scheduled.json"
    fleet_file = str(workspace.fleet_file)

    code = main(["replay", str(scheduled), "--account", default_stage.name, "--fleet", fleet_file, "--json"])

    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert code == 0
    assert result["looked_at"] > 0
    assert result["sent"] == 0


@pytest.mark.usefixtures("in_local_aws")
def test_an_account_that_is_not_the_fleet_files_is_refused_before_anything_is_done(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = workspace.fleet_file.read_text(encoding="utf-8").replace('profile = "acme-dev"', 'profile = "acme-prod"')
    # The local fleet file names each account's endpoint, where no profile counts.
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("endpoint_url"))
    wrong = workspace.directory / "wrong-profile.toml"
    wrong.write_text(text, encoding="utf-8")

    code = main(["replay", str(tmp_path / "any.json"), "--account", "dev", "--fleet", str(wrong)])

    assert code == 2
    assert "acme-prod is account 222222222222" in capsys.readouterr().err


@pytest.mark.usefixtures("in_local_aws")
def test_a_revoked_certificate_that_is_deleted_stays_out_when_it_comes_back(
    default_stage: LocalStage, new_device: NewDevice, workspace: Workspace
) -> None:
    files = new_device("sensor-0108")
    connect(default_stage, files, "sensor-0108").close()
    common = ["--account", default_stage.name, "--fleet", str(workspace.fleet_file)]
    iot, certificate_id = default_stage.iot, files.certificate_id

    assert main(["device", "revoke", str(files.certificate), "--note", "stolen", "--yes", *common]) == 0
    assert default_stage.status(certificate_id) == "REVOKED"
    iot.detach_policy(policyName="jitr-acme--factory", target=certificate_arn(default_stage, certificate_id))
    iot.detach_thing_principal(thingName="sensor-0108", principal=certificate_arn(default_stage, certificate_id))
    iot.delete_certificate(certificateId=certificate_id)

    assert expect_refusal(default_stage, files, "sensor-0108").how == "closed"
    decision = wait_until(lambda: _refusal(default_stage, certificate_id), "the refusal")
    assert decision.reason is Reason.WAS_REVOKED
    assert default_stage.status(certificate_id) == "INACTIVE"

    assert main(["device", "release", certificate_id, "--yes", *common]) == 1, "only with --revoked"
    assert main(["device", "release", certificate_id, "--revoked", "--yes", *common]) == 0
    connect(default_stage, files, "sensor-0108").close()


def _refusal(stage: LocalStage, certificate_id: str) -> Any:
    decision = stage.decision(certificate_id)
    return decision if decision and decision.reason else None


def test_a_second_device_under_a_known_name_is_held_and_the_first_one_left_alone(
    default_stage: LocalStage, new_device: NewDevice, story: Story, tmp_path: Path
) -> None:
    first, clone = new_device("sensor-0109"), story.cast.ca.issue(tmp_path / "clone", "sensor-0109")
    connect(default_stage, first, "sensor-0109").close()

    expect_refusal(default_stage, clone, "sensor-0109")
    decision = default_stage.wait_for_decision(clone.certificate_id, seconds=PATIENCE)

    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert default_stage.status(clone.certificate_id) == "PENDING_ACTIVATION"
    connect(default_stage, first, "sensor-0109").close()


@pytest.mark.usefixtures("in_local_aws")
def test_a_thing_that_somebody_made_is_adopted_when_nobody_is_attached_and_left_alone_otherwise(
    default_stage: LocalStage, new_device: NewDevice, workspace: Workspace
) -> None:
    free, taken, foreign = new_device("sensor-0110"), new_device("sensor-0111"), new_device("sensor-0112")
    default_stage.iot.create_thing(thingName="sensor-0110", attributePayload={"attributes": {"colour": "red"}})
    default_stage.iot.create_thing(thingName="sensor-0111")
    connect(default_stage, foreign, "sensor-0112").close()
    default_stage.iot.attach_thing_principal(
        thingName="sensor-0111", principal=certificate_arn(default_stage, foreign.certificate_id)
    )

    connect(default_stage, free, "sensor-0110").close()
    expect_refusal(default_stage, taken, "sensor-0111")
    decision = default_stage.wait_for_decision(taken.certificate_id, seconds=PATIENCE)

    adopted = default_stage.iot.describe_thing(thingName="sensor-0110")["attributes"]
    assert adopted == {"colour": "red", "model": "S1", "jitr_certificate": free.certificate_id}
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.THING_TAKEN)
    common = ["--account", default_stage.name, "--fleet", str(workspace.fleet_file)]
    assert main(["device", "adopt", "sensor-0111", *common]) == 0
    owner = default_stage.registry.owner("sensor-0111")
    assert owner
    assert owner.certificate_id == foreign.certificate_id


def _workers(stage: LocalStage) -> list[int]:
    """The processes that run the account's Lambda functions: the local AWS's process group, without itself."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, group in pairs if group == stage.account.pid and pid != group]


def test_a_function_that_is_killed_in_the_middle_of_a_batch_leaves_nobody_behind(
    sni_only_stage: LocalStage, new_device: NewDevice, story: Story
) -> None:
    stage = sni_only_stage
    # Three batches: turns for them lie three seconds apart, so that not all are done when the first one is.
    names = [f"sensor-{number:04}" for number in range(200, 230)]
    devices = {name: new_device(name) for name in names}
    with stage.disable_rule():
        for name, files in devices.items():
            expect_refusal(stage, files, name)
    sqs = stage.account.client("sqs")
    url = sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"]
    # The stack's is six minutes; the messages of the killed function are to come again while we wait.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "5"})

    send(stage, *(event_of(stage, story, files) for files in devices.values()))
    wait_until(
        lambda: any(stage.status(files.certificate_id) == "ACTIVE" for files in devices.values()), "the first one"
    )
    killed = _workers(stage)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    left = [name for name, files in devices.items() if stage.status(files.certificate_id) != "ACTIVE"]

    assert killed
    assert left, "the batch was done already: nothing was killed in its middle"
    # What the killed run had claimed is nobody else's until the claim is stale.
    patience = STALE_INTENT.total_seconds() + PATIENCE
    for name in names:
        connect(stage, devices[name], name, patience=patience).close()
    assert not dead_letters(stage)
