"""`jitrctl device import` of a large list: how far its checks are, and its memory."""

from pathlib import Path
from ssl import PEM_cert_to_DER_cert as to_der

import pytest

from bench import import_check
from jitrctl.device.import_plan import plan_import
from tests.support.cli.importing import deploy_with_source
from tests.support.cli.simulated import DEV

MOST = 150  # MB for 100,000 certificates in two accounts


def test_the_checks_tell_how_many_certificates_they_are_done_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = deploy_with_source(tmp_path, monkeypatch)
    leaves = [fleet.issue(f"sensor-{number:04}") for number in range(101)]
    told: list[int] = []

    plan = plan_import(
        fleet.stage(DEV), {leaf.certificate_id: to_der(leaf.pem) for leaf in leaves}, None, tell=told.append
    )

    assert len(plan.todo) == 101
    assert told == [0, 100]


def test_the_certificates_that_are_measured_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = deploy_with_source(tmp_path, monkeypatch)
    bundle = tmp_path / "bundle.pem"
    import_check.write_bundle(bundle, 20)

    found = fleet.ask("device", "import", str(bundle), "--dry-run")

    assert [(one["planned"], one["refused"]) for one in found.values()] == [(20, []), (20, [])]


@pytest.mark.deep
def test_a_hundred_thousand_certificates_are_checked_in_bounded_memory() -> None:
    found = import_check.measure_apart(100_000)

    assert found["planned"] == 100_000
    assert found["megabytes"] < MOST
