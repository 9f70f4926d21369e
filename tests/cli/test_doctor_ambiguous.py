"""`jitrctl doctor` of a device that two CAs of its account may have issued: what it means, and a cure that works."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from jitr.errors import Reason
from jitr_fleet.parse import load
from jitrctl.doctor import decision as deciding
from jitrctl.doctor import files
from jitrctl.doctor.context import DeviceContext
from jitrctl.doctor.finding import State
from simulation import Leaf
from tests.support.cli.simulated import DEV, NOW, REGION, RULES, Simulated, simulated

SENSOR = "sensor-0001"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A fleet whose CA was renewed with its name and key, in an account where AWS names no certificate's CA."""
    fleet = simulated(tmp_path, monkeypatch)
    fleet.new = fleet.old.renew()
    (tmp_path / "factory-2.pem").write_text(fleet.new.pem)
    fleet.write()
    fleet.deploy()
    fleet.iot(DEV).register_ca_certificate(
        caCertificate=fleet.new.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    return fleet


def case(fleet: Simulated, leaf: Leaf) -> DeviceContext:
    path = fleet.directory / "device.pem"
    path.write_text(leaf.pem)
    return DeviceContext(
        stage=fleet.stage(DEV), file=path, certificates=(leaf.pem,), client_id=None, now=fleet.aws.clock.now()
    )


def held(fleet: Simulated) -> Leaf:
    """A device that is held since either CA may have issued it."""
    fleet.aws.undocumented.hide_sni_only_cas()
    leaf = fleet.issue(SENSOR)
    assert fleet.knock(DEV, leaf, SENSOR) == "refused"
    decision = fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is Reason.CA_AMBIGUOUS
    return leaf


def test_of_a_device_that_two_cas_may_have_issued_it_is_said_what_that_means(fleet: Simulated) -> None:
    finding = deciding.check_decision(case(fleet, held(fleet)))

    assert finding.state is State.BROKEN
    assert (
        "CA_AMBIGUOUS: AWS IoT names no CA, and CAs factory and factory-2 have the key that signed it" in finding.text
    )
    assert "the certificate fits ca.factory and ca.factory-2 alike" in finding.cure
    assert f"from [account.{DEV}] in the fleet file and deploy (`" in finding.cure
    assert f"cdk deploy {DEV}/{REGION} -c fleet={fleet.file}`)" in finding.cure
    assert f"`jitrctl sweep --account {DEV} --region {REGION}`" in finding.cure


@pytest.mark.parametrize("left", ["factory", "factory-2"])
def test_the_cure_lets_the_device_in_under_the_ca_that_is_left(fleet: Simulated, left: str) -> None:
    leaf = held(fleet)
    fleet.sweep(DEV)
    assert fleet.status(DEV, leaf) == "PENDING_ACTIVATION", "nothing else lets it in"

    if left == "factory":
        fleet.write(successor_in=())
    else:
        shutil.copy(fleet.directory / "factory-2.pem", fleet.directory / "factory.pem")
        fleet.write(RULES, successor_in=())
    fleet.deploy()
    fleet.sweep(DEV, after=60)

    assert fleet.place(DEV).connect(leaf, client_id=SENSOR) == "accepted"
    decision = fleet.record(DEV, leaf).decision
    assert decision
    assert decision.ca_certificate_id == load(fleet.file).cas[0].certificate_id
    after = case(fleet, leaf)
    assert files.check_issuer(after).state is State.GOOD
    assert deciding.check_decision(after).state is State.GOOD


def test_a_device_that_was_let_in_before_the_renewal_is_said_to_be_its_cas(fleet: Simulated) -> None:
    fleet.write(successor_in=())
    fleet.deploy()
    fleet.aws.undocumented.hide_sni_only_cas()
    leaf = fleet.issue(SENSOR)
    assert fleet.knock(DEV, leaf, SENSOR) == "accepted"
    fleet.write()
    fleet.deploy()

    finding = files.check_issuer(case(fleet, leaf))
    assert (finding.state, finding.text) == (State.GOOD, "signed by CA factory")
    assert deciding.check_decision(case(fleet, leaf)).state is State.GOOD


@pytest.mark.parametrize("ca", ["factory", "factory-2"])
def test_where_aws_names_the_ca_the_links_are_about_that_one(fleet: Simulated, ca: str) -> None:
    issuer = fleet.old if ca == "factory" else fleet.new
    leaf = issuer.issue(SENSOR, not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=365))
    assert fleet.knock(DEV, leaf, SENSOR) == "accepted"

    one = case(fleet, leaf)
    assert (files.check_issuer(one).text, one.issuing.ca.name) == (f"signed by CA {ca}", ca)


def test_of_a_device_that_never_connected_it_is_said_that_two_cas_fit(fleet: Simulated) -> None:
    finding = files.check_issuer(case(fleet, fleet.issue(SENSOR)))

    assert finding.state is State.NOTE
    assert finding.text.startswith("CAs factory and factory-2 have the name and the key of its issuer")
    assert "held as CA_AMBIGUOUS" in finding.cure
