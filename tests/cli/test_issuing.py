"""A CA and devices to try things with: real files, said to be for development only, and no key is overwritten."""

from pathlib import Path

import pytest

from jitr.x509.certificate import Certificate
from jitrctl.__main__ import main


def test_a_ca_and_a_device_are_made_for_development_only_and_no_key_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["ca", "create", "try-out", "-o", str(tmp_path)]
    ca, key = tmp_path / "try-out.pem", tmp_path / "try-out.key"
    issue = ["device", "issue", "sensor-0001", "--ca-file", str(ca), "--ca-key", str(key), "-o", str(tmp_path)]
    assert main(issue) == 2
    assert "`jitrctl ca create`" in capsys.readouterr().err

    for order in (create, issue):
        assert main(order) == 0
        assert "For development only" in capsys.readouterr().err
        assert main(order) == 2
        assert "a key is never overwritten" in " ".join(capsys.readouterr().err.split())

    device = Certificate.from_pem((tmp_path / "sensor-0001.pem").read_text())
    assert device.is_issued_by(Certificate.from_pem(ca.read_text()))
    assert key.stat().st_mode & 0o077 == 0
