"""How a certificate came to be registered: each kind of evidence, alone and against the others."""

# ruff: noqa: E501 -- a line for each kind of evidence

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jitr.errors import Reason
from jitr.x509.certificate import Certificate
from jitrctl.survey.origins import CertificateFacts, CertificateOrigin, infer_origin
from simulation import Authority
from simulation.iot.certificates import Certificates
from tests.support.cli.importing import bundle, deploy_with_source, take
from tests.support.cli.old_fleet import OldFleet, old_fleet
from tests.support.cli.simulated import BOTH, DEV, NOW

CA = "a" * 64
AWS_ISSUER = "OU=Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"
O = CertificateOrigin  # noqa: E741 -- it is in every line below


def infer(**facts: Any) -> tuple[CertificateOrigin, str]:
    """The origin of an ACTIVE certificate in SNI_ONLY mode of which nothing else is known."""
    known: dict[str, Any] = {
        "status": "ACTIVE", "mode": "SNI_ONLY", "record": None, "record_ca": None, "ca": None, "is_named": False,
        "is_ca_registered": False, "registers": False, "template": None, "template_policies": frozenset(),
        "is_described": True, "issuer": "CN=Maker", "subject": "CN=sensor", "policies": frozenset({"old"}),
        "provisioning": None, "jitp": None, "names_sni_only": False, "other_fleet": None,
    }  # fmt: skip
    return infer_origin(CertificateFacts(**{**known, **facts}))


NAMED = {"ca": CA, "is_named": True, "is_ca_registered": True}
SIGNED = {"ca": CA, "is_named": False, "is_ca_registered": True}
REGISTERS, TEMPLATE = {"registers": True}, {"registers": True, "template": "jitp"}
PENDING = "PENDING_ACTIVATION, as after a first connection; fleet provisioning sets it too, for an hour at most"
BY_AWS = {"mode": "DEFAULT", "issuer": AWS_ISSUER, "subject": "CN=AWS IoT Certificate"}


@pytest.mark.parametrize(
    ("facts", "origin", "evidence"),
    [
        # What jitr decided, or another fleet of it.
        ({**NAMED, **TEMPLATE, "record": "activated"}, O.JITR, "record of jitr"),
        ({"record": "activated", "record_ca": "registered.maker"}, O.WITHOUT_CA, "jitr imported it from a source of the fleet file"),
        ({**NAMED, **REGISTERS, "other_fleet": "beta"}, O.JITR, "has a policy of jitr's fleet beta"),
        # Adopted: jitr found it, and did not register it.
        ({**NAMED, **TEMPLATE, "record": "found"}, O.JITP, "its CA has a provisioning template"),
        # Held under a template: another party registered it.
        ({**NAMED, **TEMPLATE, "record": "held"}, O.JITR, "record of jitr"),
        ({**NAMED, **TEMPLATE, "record": "held under a template"}, O.JITP, "its CA has a provisioning template"),
        # Under a registered CA that AWS names.
        ({**NAMED, **TEMPLATE}, O.JITP, "its CA has a provisioning template"),
        ({**NAMED, **TEMPLATE, "template_policies": frozenset({"old"})}, O.JITP, "its CA has a provisioning template, which attaches its policy"),
        ({**NAMED, **TEMPLATE, "template_policies": frozenset({"new"})}, O.JITP, "its CA has a provisioning template, which attaches another policy"),
        ({**NAMED, **REGISTERS, "jitp": "taken-off"}, O.JITP, "template taken-off attaches its policy, and is not on its CA"),
        ({**NAMED, **REGISTERS}, O.JITR, "its CA registers automatically, without a template"),
        ({**NAMED, "status": "PENDING_ACTIVATION"}, O.JITR, PENDING),
        (NAMED, O.UNKNOWN, "its CA does not register automatically"),
        ({**NAMED, "is_ca_registered": False}, O.UNKNOWN, "its CA is not registered here any more"),
        # Signed by a CA of the fleet, which AWS does not name.
        (SIGNED, O.WITHOUT_CA, "no caCertificateId; signed by a CA of the fleet, which does not register automatically"),
        ({**SIGNED, **REGISTERS, "names_sni_only": True}, O.WITHOUT_CA, "signed by a CA of the fleet, and AWS names no CA, as it does of others in SNI_ONLY mode"),
        ({**SIGNED, **REGISTERS}, O.JITR, "its CA registers automatically, without a template; AWS names no CA, one of the fleet signed it"),
        ({**SIGNED, **TEMPLATE}, O.JITP, "its CA has a provisioning template; AWS names no CA, one of the fleet signed it"),
        ({**SIGNED, "status": "PENDING_ACTIVATION", "names_sni_only": True}, O.JITR, f"{PENDING}; AWS names no CA, one of the fleet signed it"),
        # Without a CA.
        ({}, O.WITHOUT_CA, "SNI_ONLY, and no caCertificateId"),
        ({"mode": None}, O.WITHOUT_CA, "no caCertificateId, and AWS did not issue it"),
        ({"ca": "registered.maker"}, O.WITHOUT_CA, "SNI_ONLY, and no caCertificateId"),
        (BY_AWS, O.AWS, "its issuer is AWS, and no caCertificateId"),
        ({**BY_AWS, "mode": None}, O.AWS, "its issuer is AWS, and no caCertificateId"),
        ({**BY_AWS, "issuer": "CN=local"}, O.AWS, "its subject is what AWS writes, and no caCertificateId"),
        # Anybody may write AWS's names; what AWS issued here is in DEFAULT mode.
        ({**BY_AWS, "mode": "SNI_ONLY"}, O.WITHOUT_CA, "SNI_ONLY, and no caCertificateId"),
        ({**BY_AWS, **NAMED, **REGISTERS}, O.JITR, "its CA registers automatically, without a template"),
        ({**BY_AWS, "provisioning": "claims"}, O.FLEET_PROVISIONING, "its policy is fleet provisioning template claims's; AWS issued it"),
        ({"provisioning": "claims"}, O.FLEET_PROVISIONING, "its policy is fleet provisioning template claims's; AWS did not issue it, as with a certificate provider"),
        ({"mode": "DEFAULT"}, O.UNKNOWN, "DEFAULT mode without a caCertificateId, and AWS did not issue it"),
        ({"mode": "DEFAULT", "issuer": None, "subject": None}, O.UNKNOWN, "its PEM cannot be read"),
    ],
)  # fmt: skip
def test_each_kind_of_evidence_has_its_origin(facts: dict[str, Any], origin: CertificateOrigin, evidence: str) -> None:
    assert infer(**facts) == (origin, evidence)


def test_the_issuer_that_aws_writes_is_read_also_longer_than_x509_allows() -> None:
    """A certificate of CreateKeysAndCertificate has the whole name in OU, which is of 66 characters."""
    key = ec.generate_private_key(ec.SECP256R1())
    unit = x509.NameAttribute(
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US",
        _validate=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")]))
        .issuer_name(x509.Name([unit]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    read = Certificate.from_pem(made.public_bytes(Encoding.PEM).decode())
    origin, _ = infer(mode="DEFAULT", issuer=read.issuer, subject="CN=of-a-csr")
    assert (origin, read.subject) == (O.AWS, "CN=AWS IoT Certificate")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def evidence(old: OldFleet, file: Path) -> dict[tuple[str, str], int]:
    return {(one["origin"], one["evidence"]): one["number"] for one in old.survey(file)["evidence"]}


def test_a_certificate_whose_ca_is_gone_is_unknown_and_counted_under_its_id(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    old.iot.update_ca_certificate(certificateId=old.jitp.certificate_id, newStatus="INACTIVE")
    old.iot.delete_ca_certificate(certificateId=old.jitp.certificate_id)
    found = old.survey(tmp_path / "dev.survey")
    assert found["evidence"] == [
        {"origin": "unknown", "evidence": "its CA is not registered here any more", "number": 1}
    ]
    assert [one["ca"] for one in found["certificates"]] == ["factory"]


def test_a_device_that_jitr_holds_under_a_template_is_not_of_jitr(old: OldFleet, tmp_path: Path) -> None:
    fleet, ca = old.fleet, old.jitp
    text = fleet.file.read_text(encoding="utf-8")
    fleet.file.write_text(text.replace(BOTH, BOTH.replace(" }", ", jitp = true }"), 1), encoding="utf-8")
    fleet.deploy()
    leaf = fleet.issue("sensor-0001", ca=ca)
    fleet.place(DEV).iot.certificates.register(
        leaf, status="PENDING_ACTIVATION", mode="SNI_ONLY", ca_certificate_id=ca.certificate_id
    )
    fleet.sweep(DEV, after=1000)
    decision = fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is Reason.CA_HAS_TEMPLATE
    old.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    assert evidence(old, tmp_path / "held.survey") == {("JITP", "its CA has a provisioning template"): 1}


def test_a_template_by_name_or_as_a_body_tells_which_policies_it_attaches(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001", policy="provisioned")
    ca = old.fleet.place(DEV).iot.cas.by_id[old.jitp.certificate_id]
    body = '{"Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "provisioned"}}}}'
    wanted = {("JITP", "its CA has a provisioning template, which attaches its policy"): 1}
    ca.template = {"templateBody": body, "roleArn": "arn:aws:iam::1:role/x"}
    assert evidence(old, tmp_path / "body.survey") == wanted
    old.iot.create_provisioning_template(
        templateName="named", templateBody=body, provisioningRoleArn="arn:aws:iam::1:role/x", type="JITP"
    )
    ca.template = {"templateName": "named"}
    assert evidence(old, tmp_path / "name.survey") == wanted
    ca.template = None
    wanted = {("JITP", "template named attaches its policy, and is not on its CA"): 1}
    assert evidence(old, tmp_path / "off.survey") == wanted


@pytest.mark.parametrize("names", [True, False])
def test_what_a_ca_of_the_fleet_signed_and_was_registered_without_it(
    old: OldFleet, tmp_path: Path, *, names: bool
) -> None:
    if not names:
        old.fleet.aws.undocumented.hide_sni_only_cas()
    old.add("sensor-0001")
    old.iot.register_certificate_without_ca(certificatePem=old.fleet.issue("sensor-0002").pem, status="ACTIVE")
    found = evidence(old, tmp_path / "dev.survey")
    signed = "its CA has a provisioning template; AWS names no CA, one of the fleet signed it"
    if names:
        without = "signed by a CA of the fleet, and AWS names no CA, as it does of others in SNI_ONLY mode"
        assert found == {("JITP", "its CA has a provisioning template"): 1, ("without a CA", without): 1}
    else:
        assert found == {("JITP", signed): 2}  # which of the two is which nobody can tell


def test_certificates_that_ended_and_cas_that_ended_are_told(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.survey.summary.now", old.fleet.aws.clock.now)
    old.add("sensor-0001", ca=Authority.new("Maker"), days=2)
    old.fleet.aws.clock.advance(4 * 86_400)
    told = old.fleet.say("fleet", "survey", str(tmp_path / "ended.survey"), "--account", DEV)
    assert "certificates 1 of those that were described have ended" in told
    assert "CA factory ACTIVE, ended" not in told
    old.fleet.aws.clock.advance(3650 * 86_400)
    told = old.fleet.say("fleet", "survey", str(tmp_path / "ca.survey"), "--account", DEV)
    assert "CA factory ACTIVE, ended on 2036-" in told


def test_another_fleets_certificates_are_told_by_its_policies(old: OldFleet, tmp_path: Path) -> None:
    old.iot.create_policy(policyName="jitr-beta--factory", policyDocument='{"Statement": []}')
    old.add("sensor-0001", policy="jitr-beta--factory")
    old.add("sensor-0002", policy="jitr-acme--factory")
    found = old.survey(tmp_path / "dev.survey")
    assert found["other_fleets"] == [{"fleet": "beta", "certificates": 1}]
    assert {one["evidence"] for one in found["evidence"]} == {
        "has a policy of jitr's fleet beta", "its CA has a provisioning template",
    }  # fmt: skip


def test_what_jitr_imported_is_counted_under_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = deploy_with_source(tmp_path, monkeypatch)
    take(fleet, bundle(fleet, fleet.issue("sensor-0001", ca=Authority.new("Maker"))), "--account", DEV)
    found = fleet.ask("fleet", "survey", str(tmp_path / "dev.survey"), "--account", DEV)[DEV]
    assert found["certificates"] == [
        {"origin": "without a CA", "ca": "maker", "status": "ACTIVE", "mode": "SNI_ONLY", "number": 1}
    ]
    assert found["evidence"][0]["evidence"] == "jitr imported it from a source of the fleet file"


def test_a_certificate_that_cannot_be_read_is_counted(old: OldFleet, tmp_path: Path) -> None:
    leaf = replace(old.fleet.issue("sensor-0001", ca=old.aws), pem="-----BEGIN CERTIFICATE-----\nbm9uZQ==\n")
    old.fleet.place(DEV).iot.certificates.register(leaf, status="PENDING_TRANSFER", mode="DEFAULT")
    assert evidence(old, tmp_path / "dev.survey") == {("unknown", "its PEM cannot be read"): 1}


def test_a_certificate_from_another_account_is_told(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = Certificates.describe_certificate

    def transferred(certificates: Certificates, params: Any) -> Any:
        description = describe(certificates, params)["certificateDescription"]
        return {"certificateDescription": description | {"previousOwnedBy": "333333333333"}}

    monkeypatch.setattr(Certificates, "describe_certificate", transferred)
    old.add("sensor-0001", ca=old.aws)
    told = old.fleet.say("fleet", "survey", str(tmp_path / "dev.survey"), "--account", DEV)
    assert "certificates 1 came from another account" in told
