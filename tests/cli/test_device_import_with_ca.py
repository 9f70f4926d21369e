"""`jitrctl device import --with-ca`: certificates that are registered under their CA before they connect."""

from pathlib import Path

import pytest

from jitr.iot_models import Status
from jitrctl.terminal import Exit
from simulation import Authority
from tests.support.cli.importing import bundle, calls, deploy_with_source, take
from tests.support.cli.simulated import DEV, PROD, Simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return deploy_with_source(tmp_path, monkeypatch)


@pytest.mark.parametrize("names_cas", [True, False])
def test_devices_of_a_ca_are_accepted_at_their_first_connect(fleet: Simulated, *, names_cas: bool) -> None:
    """Also where AWS IoT names no CA of a certificate in SNI_ONLY mode."""
    fleet.aws.undocumented.names_sni_only_cas = names_cas
    leaf = fleet.issue("sensor-0001")
    told = take(fleet, bundle(fleet, leaf), "--with-ca", "factory")
    assert [(told[name]["activated"], told[name]["source"]) for name in (DEV, PROD)] == [(1, "factory"), (1, "factory")]
    assert (calls(fleet, "RegisterCertificate"), calls(fleet, "RegisterCertificateWithoutCA")) == (2, 0)
    for name in (DEV, PROD):
        assert fleet.place(name).connect(leaf, client_id="sensor-0001") == "accepted"
        decision = fleet.record(name, leaf).decision
        assert decision
        assert (decision.ca, decision.thing_name, fleet.record(name, leaf).import_order) == (
            "factory",
            "sensor-0001",
            None,
        )
    told = take(fleet, bundle(fleet, leaf), "--with-ca", "factory")
    assert (told[DEV]["done"], told[DEV]["planned"]) == (1, 0)


def test_what_the_ca_has_not_signed_or_its_rules_refuse_is_not_registered(fleet: Simulated) -> None:
    foreign = fleet.issue("sensor-0001", ca=Authority.new("Maker CA"))
    misnamed = fleet.issue("pump-0001")
    told = take(fleet, bundle(fleet, foreign, misnamed), "--with-ca", "factory", "--account", DEV, code=Exit.FAILED)
    why = {one["certificate_id"]: one["why"] for one in told[DEV]["refused"]}
    assert why[foreign.certificate_id].startswith("NOT_ISSUED_BY_CA: ")
    assert why[misnamed.certificate_id].startswith("COMMON_NAME_REFUSED: ")
    assert calls(fleet, "RegisterCertificate") == 0


def test_a_device_that_connected_before_is_its_cas_and_an_import_leaves_it(fleet: Simulated) -> None:
    waiting, known = fleet.issue("sensor-0001"), fleet.issue("sensor-0002")
    fleet.place(DEV).connect(waiting, client_id="sensor-0001")
    fleet.knock(DEV, known, "sensor-0002")
    fleet.knock(DEV, waiting, "sensor-0001")
    told = take(fleet, bundle(fleet, waiting, known), "--with-ca", "factory", "--account", DEV)[DEV]
    assert (told["done"], told["planned"]) == (2, 0)


def test_a_pending_device_is_reported_and_stays_its_cas(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    fleet.place(DEV).connect(leaf, client_id="sensor-0001")
    fleet.deployments[DEV].registrations.receive(10)  # its event is under way
    told = take(fleet, bundle(fleet, leaf), "--with-ca", "factory", "--account", DEV, code=Exit.FAILED)[DEV]
    (refused,) = told["refused"]
    assert refused["why"] == "has connected before, and the rules of its CA decide on it"
    assert fleet.record(DEV, leaf).import_order is None


def test_a_killed_import_under_a_ca_is_completed_by_the_sweep(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    fleet.aws.fault = lambda call, _: Exception() if call.operation == "SendMessageBatch" else None  # type: ignore[assignment, return-value]
    fleet.say("device", "import", bundle(fleet, leaf), "--with-ca", "factory", "--account", DEV, "--yes", code=1)
    fleet.aws.fault = None
    assert fleet.status(DEV, leaf) == Status.INACTIVE
    fleet.sweep(DEV, after=400)
    assert fleet.status(DEV, leaf) == Status.ACTIVE


def test_one_of_source_and_ca_is_named_and_the_ca_is_known(fleet: Simulated) -> None:
    file = bundle(fleet, fleet.issue("sensor-0001"))
    both = fleet.say("device", "import", file, "--with-ca", "factory", "--source", "maker", code=Exit.UNUSABLE)
    assert "say one of --source and --with-ca" in both
    assert "maker is a source" in fleet.say("device", "import", file, "--with-ca", "maker", code=Exit.UNUSABLE)
    assert "did you mean factory?" in fleet.say("device", "import", file, "--with-ca", "factori", code=Exit.UNUSABLE)
