"""How `jitrctl doctor` is told which device is meant: by name, id, serial or fingerprint, as `device show` is."""

from pathlib import Path

import pytest

from jitr.errors import Reason
from simulation import Leaf
from tests.support.cli.doctored import Doctored, doctored
from tests.support.cli.simulated import DEV, PROD

SENSOR = "sensor-0001"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctored:
    return doctored(tmp_path, monkeypatch)


def admitted(made: Doctored) -> Leaf:
    leaf = made.fleet.issue(SENSOR)
    assert made.connect(leaf, SENSOR) == "accepted"
    return leaf


@pytest.mark.parametrize("named", ["name", "id", "serial", "fingerprint"])
def test_doctor_takes_what_device_show_takes(made: Doctored, named: str) -> None:
    leaf = admitted(made)
    colons = ":".join(leaf.certificate_id[one : one + 2] for one in range(0, 64, 2)).upper()
    decision = made.fleet.record(DEV, leaf).decision
    assert decision
    words = {"name": SENSOR, "id": leaf.certificate_id, "serial": f"0x{decision.serial}", "fingerprint": colons}

    code, printed = made.ask_doctor(words[named])
    assert code == 0, printed
    assert f"id {leaf.certificate_id}" in printed
    assert leaf.certificate_id in made.fleet.say("device", "show", words[named])


def test_of_a_rotated_device_the_present_certificate_is_looked_at(made: Doctored) -> None:
    old = made.fleet.issue(SENSOR, begins=-330)
    assert made.connect(old, SENSOR) == "accepted"
    new = made.fleet.issue(SENSOR, begins=-0.5)
    assert made.connect(new, SENSOR) == "accepted"

    code, printed = made.ask_doctor(SENSOR)
    assert code == 0, printed
    assert f"id {new.certificate_id}" in printed
    assert f"too: certificate {old.certificate_id}, which another followed: the sweep detaches it" in printed
    assert not made.cures(printed)


def test_of_several_certificates_each_is_named_to_choose_from(made: Doctored) -> None:
    owner = admitted(made)
    clone = made.fleet.issue(SENSOR, begins=-0.5)
    assert made.connect(clone, SENSOR) == "refused"
    decision = made.fleet.record(DEV, clone).decision
    assert decision
    assert decision.reason is Reason.NOT_A_ROTATION

    code, printed = made.ask_doctor(SENSOR)
    assert code == 1
    assert f"`jitrctl doctor {owner.certificate_id} --fleet {made.fleet.file}`, which has the name" in printed
    assert f"`jitrctl doctor {clone.certificate_id} --fleet" in printed
    assert "NOT_A_ROTATION" in made.ask_doctor(clone.certificate_id)[1]


def test_what_no_account_knows_is_said_to_be_unknown(made: Doctored) -> None:
    code, printed = made.ask_doctor("abcdef")
    assert code == 1
    assert "no account knows a thing abcdef with a certificate, and none a certificate with serial number" in printed
    code, printed = made.ask_doctor("ab" * 32)
    assert code == 1
    assert "give its file, or correct the id" in printed


def test_the_certificate_is_read_from_an_account_that_was_not_asked_about(made: Doctored) -> None:
    leaf = admitted(made)
    code, printed = made.ask_doctor(leaf.certificate_id, PROD)
    assert code == 1
    assert "CA registered  " in printed
    assert "certificate status is broken: AWS IoT in prod/eu-central-1 has never seen it" in printed
