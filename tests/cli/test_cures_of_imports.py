"""Cures for certificates that are registered without a CA: taken from what doctor prints, and carried out."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from jitr.errors import Reason
from jitrctl.device import import_plan, imports
from jitrctl.doctor import runner
from simulation import Authority, Leaf
from tests.support.cli.doctored import Doctored, doctored
from tests.support.cli.simulated import DEV, REGION, RULES

SENSOR = "sensor-0001"
HERE = f"--account {DEV} --region {REGION}"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctored:
    """One account is asked; while an import waits, the functions work."""
    made = doctored(tmp_path, monkeypatch)
    fleet = made.fleet
    fleet.write(RULES, source=RULES)
    fleet.deploy()

    def sleep(seconds: float) -> None:
        fleet.aws.clock.advance(seconds)
        fleet.deployments[DEV].mapping().drain()

    monkeypatch.setattr(imports, "time", SimpleNamespace(sleep=sleep, monotonic=fleet.aws.clock.monotonic))
    monkeypatch.setattr(import_plan, "now", fleet.aws.clock.now)
    monkeypatch.setattr(
        runner, "LINKS", tuple(link for link in runner.LINKS if link.name in ("certificate status", "decision"))
    )
    return made


@pytest.fixture
def maker() -> Authority:
    """A CA that is registered nowhere."""
    return Authority.new("Maker CA")


def take(made: Doctored, leaf: Leaf) -> int:
    return made.read("device", "import", made.file(leaf), "--account", DEV, "--yes")[0]


def is_held(made: Doctored, leaf: Leaf) -> bool:
    decision = made.fleet.record(DEV, leaf).decision
    return decision is not None and decision.reason is Reason.NOT_A_ROTATION


def test_an_import_that_follows_a_cas_certificate_is_imported_again(made: Doctored, maker: Authority) -> None:
    old = made.fleet.issue(SENSOR, begins=-10)
    assert made.connect(old, SENSOR) == "accepted"
    new = made.fleet.issue(SENSOR, ca=maker)
    assert take(made, new) == 1
    assert is_held(made, new)
    shown = made.fleet.say("device", "show", new.certificate_id, "--account", DEV)
    assert f"`jitrctl device import FILE --may-follow --source maker {HERE} --fleet" in shown
    assert "enrollment allow" not in shown

    made.fleet.aws.clock.advance(100)
    _, printed = made.ask_doctor(made.file(new))
    assert "succeeds" not in printed
    (command,) = [one for one in made.follow(printed) if one[1:3] == ["device", "import"]]
    assert "--may-follow" in command
    assert made.fleet.status(DEV, new) == "ACTIVE"


def test_a_cas_certificate_that_follows_an_import_gets_an_entry(made: Doctored, maker: Authority) -> None:
    assert take(made, made.fleet.issue(SENSOR, ca=maker, begins=-10)) == 0
    new = made.fleet.issue(SENSOR)
    assert made.connect(new, SENSOR) == "refused"
    assert is_held(made, new)

    _, printed = made.ask_doctor(made.file(new))
    assert "device remove" not in printed
    made.follow(printed)
    assert made.connect(new, SENSOR) == "accepted"


def test_an_import_that_an_operator_shut_out_is_released_and_imported_again(made: Doctored, maker: Authority) -> None:
    leaf = made.fleet.issue(SENSOR, ca=maker)
    assert take(made, leaf) == 0
    made.read("device", "deactivate", leaf.certificate_id, "--account", DEV, "--yes")
    _, printed = made.ask_doctor(made.file(leaf))
    made.follow(printed)
    assert made.fleet.status(DEV, leaf) == "ACTIVE", printed
