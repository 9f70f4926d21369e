"""A CRL that is late: the device is held, the next CRL is published, the same device comes up; by the real stack."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from jitr.aws.crl_bucket import object_key
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitrctl.__main__ import main
from jitrctl.demo.story import Story
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from tests.support.e2e.stage_devices import expect_refusal
from tests.support.e2e.waiting import wait_until
from tests.support.local import deploying

CA = "partner"
DAY = timedelta(days=1)
# Longer than the minute for which an execution environment keeps what it knows of the bucket.
PATIENCE = 120.0


@pytest.fixture
def stage(sni_only_stage: LocalStage, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
    """The account, deployed anew with the check enforced for one CA; and a shell that is pointed at it."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(workspace.directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workspace.directory / "aws-credentials"))
    text = workspace.fleet_file.read_text(encoding="utf-8")
    asked = (
        text
        if f"[ca.{CA}.checks]" in text
        else text.replace("[sweep]", f'[ca.{CA}.checks]\nrevocation = "enforce"\n\n[sweep]', 1)
    )
    asked = asked.replace('enrollment   = "listed"', 'enrollment   = "open"')
    workspace.fleet_file.write_text(asked, encoding="utf-8")
    deploying.synthesize(workspace, sni_only_stage.name)
    deploying.deploy(workspace, sni_only_stage.account, sni_only_stage.place)
    return sni_only_stage


def crl(ca: IssuingCa, number: int, *, begins: datetime, ends: datetime, revoked: DeviceFiles | None = None) -> bytes:
    key = load_pem_private_key(ca.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    issuer = x509.load_pem_x509_certificate(ca.pem.encode()).subject
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(begins).next_update(ends)
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if revoked:
        serial = x509.load_pem_x509_certificate(revoked.certificate.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_stale_crl_holds_and_the_next_one_lets_the_same_device_in_and_refuses_a_revoked_one(
    stage: LocalStage, story: Story, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ca, now = story.cast.cas[CA], datetime.now(UTC).replace(microsecond=0)
    good, stolen = ca.issue(tmp_path, "gateway-0801"), ca.issue(tmp_path, "gateway-0802")
    bucket = stage.names.crl_bucket(stage.account.id, stage.account.region)
    stale = crl(ca, 1, begins=now - 8 * DAY, ends=now - DAY)
    stage.account.client("s3").put_object(Bucket=bucket, Key=object_key(ca.certificate_id), Body=stale)

    expect_refusal(stage, good, "gateway-0801")
    decision = stage.wait_for_decision(good.certificate_id, seconds=PATIENCE)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CRL_STALE)
    assert stage.status(good.certificate_id) == "PENDING_ACTIVATION"

    file = tmp_path / "ca.crl"
    publish = put(workspace, stage, file)
    file.write_bytes(stale)
    assert publish() == 2
    assert "is stale since" in capsys.readouterr().err
    file.write_bytes(crl(ca, 2, begins=now, ends=now + 7 * DAY, revoked=stolen))
    assert publish() == 0

    stage.sweep()  # it sends who waits for the CRL, so that `register` reads it anew and not only after a minute
    connection, _ = stage.device(good, "gateway-0801").connect_until_accepted(stage.endpoint, patience=PATIENCE)
    connection.close()
    assert stage.status(good.certificate_id) == "ACTIVE"

    def evaluated() -> Reason | None:
        """An environment may keep the CRL before for a minute: then the device is held, and connects again."""
        expect_refusal(stage, stolen, "gateway-0802")
        return stage.wait_for_decision(stolen.certificate_id, seconds=PATIENCE).reason

    wait_until(lambda: evaluated() is Reason.REVOKED_BY_CA, "the new CRL in force", seconds=2 * PATIENCE)
    wait_until(lambda: stage.status(stolen.certificate_id) == "INACTIVE", "its certificate INACTIVE")


def put(workspace: Workspace, stage: LocalStage, file: Path) -> Callable[[], int]:
    """The operator's command."""
    where = ["--account", stage.name, "--region", stage.account.region, "--fleet", str(workspace.fleet_file)]
    return lambda: main(["crl", "put", str(file), "--yes", *where])
