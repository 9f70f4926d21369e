"""A CRL takes out devices that are connected, and lets one back whose hold is lifted; by the real stack.

Its CA also gives a billing group, which the local AWS does not have, and a first shadow, which it does.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ReasonFlags

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitrctl.__main__ import main
from jitrctl.demo.story import Story
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.connection import Connection
from tests.support.e2e.stage_devices import connect, expect_refusal
from tests.support.e2e.waiting import wait_until
from tests.support.local import deploying

CA = "partner"
PATIENCE = 60.0
SHADOW = '{"state": {"desired": {"name": "{thing_name}", "interval": 60}}}'


@pytest.fixture
def stage(sni_only_stage: LocalStage, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStage]:
    """The account, deployed anew with one CA's CRLs enforced, for ACTIVE devices too; and a shell for it."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(workspace.directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workspace.directory / "aws-credentials"))
    before = text = workspace.fleet_file.read_text(encoding="utf-8")
    if f"[ca.{CA}.checks]" not in text:
        text = text.replace("[sweep]", f'[ca.{CA}.checks]\nrevocation = "enforce"\n\n[sweep]', 1)
    text = text.replace('enrollment   = "listed"', 'enrollment   = "open"')
    pem = f'certificate  = "certs/{CA}.pem"\n'
    assert pem in text
    extras = 'revocation_of_active = "enforce"\nbilling_group = "costs"\nshadow = "shadow.json"\n'
    text = text.replace(pem, pem + extras, 1)
    (workspace.fleet_file.parent / "shadow.json").write_text(SHADOW, encoding="utf-8")
    workspace.fleet_file.write_text(text, encoding="utf-8")
    deploying.synthesize(workspace, sni_only_stage.name)
    deploying.deploy(workspace, sni_only_stage.account, sni_only_stage.place)
    yield sni_only_stage
    workspace.fleet_file.write_text(before, encoding="utf-8")


def crl(ca: IssuingCa, number: int, listed: dict[DeviceFiles, ReasonFlags]) -> bytes:
    key = load_pem_private_key(ca.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder().issuer_name(
        x509.load_pem_x509_certificate(ca.pem.encode()).subject
    )
    builder = builder.last_update(now).next_update(now + timedelta(days=7))
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for files, reason in listed.items():
        serial = x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def desired(stage: LocalStage, thing: str) -> object:
    payload = stage.account.client("iot-data").get_thing_shadow(thingName=thing)["payload"].read()
    return json.loads(payload)["state"]["desired"]


def is_closed(connection: Connection) -> bool:
    connection.serve(lambda: not connection.is_open, seconds=0.2)
    return not connection.is_open


def test_a_crl_takes_out_connected_devices_and_a_lifted_hold_lets_one_back(
    stage: LocalStage, story: Story, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ca = story.cast.cas[CA]
    names = ["gateway-0901", "gateway-0902", "gateway-0903"]
    stolen, lost, good = (ca.issue(tmp_path, name) for name in names)
    where = ["--account", stage.name, "--region", stage.account.region, "--fleet", str(workspace.fleet_file)]

    def publish(number: int, listed: dict[DeviceFiles, ReasonFlags]) -> None:
        file = tmp_path / "ca.crl"
        file.write_bytes(crl(ca, number, listed))
        assert main(["crl", "put", str(file), "--yes", *where]) == 0

    publish(101, {})
    connections = [
        connect(stage, files, name, patience=2 * PATIENCE)
        for files, name in zip((stolen, lost, good), names, strict=True)
    ]

    assert [desired(stage, name) for name in names] == [{"name": name, "interval": 60} for name in names]
    application = stage.account.client("iot-data")
    application.update_thing_shadow(thingName=names[1], payload=b'{"state": {"desired": {"interval": 5}}}')

    publish(102, {stolen: ReasonFlags.key_compromise, lost: ReasonFlags.certificate_hold})

    wait_until(lambda: stage.status(stolen.certificate_id) == "REVOKED", "the stolen one REVOKED", seconds=PATIENCE)
    wait_until(lambda: stage.status(lost.certificate_id) == "INACTIVE", "the lost one INACTIVE", seconds=PATIENCE)
    for connection in connections[:2]:
        wait_until(partial(is_closed, connection), "its session ended", seconds=10)
    expect_refusal(stage, stolen, names[0])
    expect_refusal(stage, lost, names[1])
    assert stage.status(good.certificate_id) == "ACTIVE"
    assert not is_closed(connections[2])
    decision = stage.wait_for_decision(stolen.certificate_id, seconds=PATIENCE)
    assert (decision.outcome, decision.reason) == (Outcome.FOUND, Reason.REVOKED_BY_CA)

    publish(103, {stolen: ReasonFlags.key_compromise})

    def is_lifted() -> bool:
        capsys.readouterr()
        assert main(["crl", "show", "--ca", CA, *where]) == 0
        return "1 device let back" in capsys.readouterr().out

    wait_until(is_lifted, "the hold lifted", seconds=PATIENCE)
    stage.sweep()
    connection = connect(stage, lost, names[1], patience=PATIENCE)
    connection.close()
    assert desired(stage, names[1]) == {"name": names[1], "interval": 5}, "the shadow is the application's"
    assert stage.status(stolen.certificate_id) == "REVOKED"
    assert not is_closed(connections[2])
    connections[2].close()
