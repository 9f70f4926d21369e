"""`jitrctl fleet try-rules`: what the fleet file would do to devices that there are."""

import io
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.pacing.schedule import PACE
from jitr.rules import Rules
from jitrctl.__main__ import main
from jitrctl.rules import trial
from jitrctl.rules.deployed import NotReadable, read_deployed_rules, rules_in
from jitrctl.rules.trial import ADMITTED, DecisionChange
from jitrctl.session.stage import Stage
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated
from tests.support.cli.terminal import Terminal

WRONG = RULES.replace("sensor", "senzor", 1)
# What one of two devices has, and the other lacks.
NARROW = RULES.replace("[0-9]{4,}", "[0-9]{5,}")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "read_deployed_rules", lambda stage: fleet.deployments[stage.account.name].rules)
    monkeypatch.setattr(trial, "now", fleet.aws.clock.now)
    return fleet


def come_up(fleet: Simulated, *names: str) -> list[Leaf]:
    leaves = [fleet.issue(name) for name in names]
    for leaf, name in zip(leaves, names, strict=True):
        fleet.knock(DEV, leaf, name)
    return leaves


def test_a_device_that_works_and_would_be_refused_fails_the_trial(fleet: Simulated) -> None:
    (device,) = come_up(fleet, "sensor-0001")
    fleet.write(WRONG)
    told = fleet.ask("fleet", "try-rules", code=1)
    (change,) = told[DEV]["changes"]
    assert change["certificate_id"] == device.certificate_id
    assert (change["status"], change["deployed"]) == ("ACTIVE", "admitted")
    assert (change["fleet_file"], change["breaks"]) == ("COMMON_NAME_REFUSED", True)
    assert told[PROD]["changes"] == []
    said = fleet.say("fleet", "try-rules", code=1)
    assert "1 of 1 ACTIVE" in said
    assert "COMMON_NAME_REFUSED" in said
    assert device.certificate_id[:16] in said
    assert said.startswith("At most 600 calls of DescribeCertificate")


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("reason", ["COMMON_NAME_REFUSED", max(Reason.__members__, key=len)])
def test_a_reason_is_shown_whole_at_80_columns(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, width: int, reason: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    (device,) = come_up(fleet, "sensor-0001")
    change = DecisionChange(
        ca="factory-of-2027",
        certificate_id=device.certificate_id,
        status=Status.ACTIVE,
        before=ADMITTED,
        after=reason,
        detail="the common name 'sensor-0001' does not match 'senzor-[0-9]{4,}', which the fleet file asks for",
        is_refused=True,
    )
    monkeypatch.setattr(trial, "compare", lambda *_: change)
    said = Terminal()
    with redirect_stdout(said):
        main(["fleet", "try-rules", "--fleet", str(fleet.file), "--account", "dev"])
    heading, *rows = said.getvalue().partition("\n\n")[0].splitlines()
    assert max(map(len, rows)) <= width
    at = heading.index("deployed")
    assert " ".join(row[at:].strip() for row in rows).split() == ["admitted", "→", reason]
    assert rows[0].startswith(DEV if width == 200 else "dev/")


def test_devices_that_aws_lists_under_no_ca_are_tried_too(fleet: Simulated) -> None:
    fleet.aws.undocumented.hide_sni_only_cas()
    (device,) = come_up(fleet, "sensor-0001")
    fleet.write(WRONG)
    told = fleet.ask("fleet", "try-rules", code=1)[DEV]
    assert [(one["ca"], one["certificate_id"]) for one in told["changes"]] == [("factory", device.certificate_id)]
    assert told["unlisted_cas"] == ["factory"]
    assert told["looked_at"] == {"factory": 1}
    assert "lists no certificate under CA factory;" in fleet.say("fleet", "try-rules", code=1)


def test_rules_that_decide_alike_pass_the_trial(fleet: Simulated) -> None:
    come_up(fleet, "sensor-0001", "badger-0001")
    assert "Nothing is decided otherwise: 2 certificates judged." in fleet.say("fleet", "try-rules")


def test_a_device_that_is_refused_and_would_come_in_is_shown_and_fails_nothing(fleet: Simulated) -> None:
    come_up(fleet, "badger-0001")
    fleet.write(RULES.replace("sensor-", "[a-z]+-", 1))
    (change,) = fleet.ask("fleet", "try-rules")[DEV]["changes"]
    assert (change["status"], change["deployed"]) == ("INACTIVE", "COMMON_NAME_REFUSED")
    assert (change["fleet_file"], change["detail"]) == ("admitted", "as thing badger-0001")


def test_a_device_that_would_become_another_thing_is_shown(fleet: Simulated) -> None:
    come_up(fleet, "sensor-0001")
    fleet.write(f'{RULES}thing_name = "acme-{{common_name}}"\n')
    (change,) = fleet.ask("fleet", "try-rules")[DEV]["changes"]
    assert change["detail"] == "thing acme-sensor-0001 instead of sensor-0001"
    assert not change["breaks"]


def test_a_device_that_would_get_a_billing_group_and_a_first_shadow_is_shown(fleet: Simulated) -> None:
    come_up(fleet, "sensor-0001")
    (fleet.directory / "shadow.json").write_text('{"state": {"desired": {"n": "{thing_name}"}}}', encoding="utf-8")
    fleet.write(f'{RULES}billing_group = "costs"\nshadow = "shadow.json"\n')
    (change,) = fleet.ask("fleet", "try-rules")[DEV]["changes"]
    assert change["detail"] == (
        'billing group costs instead of None; first shadow {"state":{"desired":{"n":"sensor-0001"}}} instead of None'
    )


def test_only_the_chosen_ca_is_tried(fleet: Simulated) -> None:
    come_up(fleet, "sensor-0001")
    fleet.write(WRONG)
    assert fleet.ask("fleet", "try-rules", "--ca", "factory-2")[DEV]["changes"] == []
    fleet.say("fleet", "try-rules", "--ca", "another", code=2)


def test_the_sample_holds_the_newest_and_the_oldest(fleet: Simulated) -> None:
    devices = []
    for number in range(9):
        devices += come_up(fleet, f"sensor-000{number}")
        fleet.aws.clock.advance(60)
    fleet.write(WRONG)
    changes = fleet.ask("fleet", "try-rules", "--ca", "factory", "--sample", "4", code=1)[DEV]["changes"]
    tried = {change["certificate_id"] for change in changes}
    assert tried == {devices[number].certificate_id for number in (0, 1, 7, 8)}
    for sample, number in ((9, 9), (300, 9), (1, 1)):
        told = fleet.ask("fleet", "try-rules", "--ca", "factory", "--sample", str(sample), code=1)
        assert told[DEV]["looked_at"] == {"factory": number}


def test_without_the_deployed_rules_what_is_active_is_taken_as_admitted(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_up(fleet, "sensor-0001", "badger-0001")

    def unreadable(stage: Stage) -> Rules:
        raise NotReadable(f"{stage}: no")

    monkeypatch.setattr(trial, "read_deployed_rules", unreadable)
    assert "deployed rules cannot be read" in fleet.say("fleet", "try-rules")
    fleet.write(NARROW)
    told = fleet.ask("fleet", "try-rules", code=1)[DEV]
    assert [change["fleet_file"] for change in told["changes"]] == ["COMMON_NAME_REFUSED"]
    assert told["deployed_rules_unread"] == "dev/eu-central-1: no"


def test_nothing_is_changed_and_only_lists_and_descriptions_are_asked_for(fleet: Simulated) -> None:
    come_up(fleet, "sensor-0001")
    fleet.write(WRONG)
    began = len(fleet.aws.calls)
    fleet.ask("fleet", "try-rules", code=1)
    turns = [call for call in fleet.aws.calls[began:] if call.parameters.get("Key") == {"id": {"S": PACE}}]
    assert turns
    operations = {call.operation for call in fleet.aws.calls[began:] if call not in turns}
    # The second CA has none yet, so the account is looked through for it.
    assert operations == {"ListCertificatesByCA", "ListCertificates", "DescribeCertificate"}
    described = [call for call in fleet.aws.calls[began:] if call.operation == "DescribeCertificate"]
    assert len(described) == 1


def archive(**files: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as code:
        for name, text in files.items():
            code.writestr(name.replace("_json", ".json"), text)
    return written.getvalue()


def test_the_deployed_rules_are_those_in_the_functions_code(fleet: Simulated) -> None:
    rules = fleet.deployments[DEV].rules
    assert rules_in(archive(rules_json=rules.to_json())) == rules


@pytest.mark.parametrize("code", [b"no archive", archive(other="x"), archive(rules_json='{"schema": 9}')])
def test_code_without_rules_that_can_be_read_says_so(code: bytes) -> None:
    with pytest.raises(NotReadable):
        rules_in(code)


@pytest.mark.parametrize("location", ["", "file:///etc/passwd"])
def test_code_is_downloaded_from_where_lambda_says_and_from_no_file(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    class Lambda:
        exceptions: Any = None

        def get_function(self, **_: str) -> dict[str, Any]:
            return {"Code": {"Location": location}}

    stage = fleet.stage(DEV)
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: None)
    stage.__dict__["lambda_"] = Lambda()
    with pytest.raises(NotReadable, match="names no place"):
        read_deployed_rules(stage)
