"""The checked-in fleet.toml is an example that works, and stays one."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.rules import CertificateMode
from jitr_fleet.model import Fleet
from jitr_fleet.parse import load
from jitr_fleet.policy import MAX_POLICY

ROOT = Path(__file__).parents[2]
THING = "${iot:Connection.Thing.ThingName}"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return load(ROOT / "fleet.toml")


def test_one_ca_is_in_both_modes_and_the_other_in_sni_only_alone(fleet: Fleet) -> None:
    assert fleet.name == "acme"
    assert [
        (account.name, account.id, account.regions, [(it.ca.name, it.mode) for it in account.cas])
        for account in fleet.accounts
    ] == [
        (
            "dev",
            "111111111111",
            ("eu-central-1",),
            [("factory", CertificateMode.DEFAULT), ("partner", CertificateMode.SNI_ONLY)],
        ),
        (
            "prod",
            "222222222222",
            ("eu-central-1", "us-east-1"),
            [("factory", CertificateMode.SNI_ONLY), ("partner", CertificateMode.SNI_ONLY)],
        ),
    ]
    assert fleet.cas[0].minimum_remaining_life == 30 * 86_400


def test_it_stays_usable_for_decades() -> None:
    load(ROOT / "fleet.toml", now=datetime(2046, 1, 1, tzinfo=UTC))


def test_its_ca_is_the_one_of_the_article(fleet: Fleet) -> None:
    certificate = x509.load_der_x509_certificate(fleet.cas[0].certificate.der)
    assert certificate.public_key().key_size == 2048  # type: ignore[union-attr]
    assert {type(it.value) for it in certificate.extensions} <= {x509.BasicConstraints, x509.SubjectKeyIdentifier}
    pem = fleet.accounts[0].cas[0].verification_certificate_pem
    assert pem is not None
    (code,) = x509.load_pem_x509_certificate(pem.encode()).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert re.fullmatch("[0-9a-f]{64}", str(code.value))


@pytest.mark.parametrize("path", sorted((ROOT / "certs").iterdir()), ids=lambda path: path.name)
def test_no_private_key_is_checked_in(path: Path) -> None:
    assert "PRIVATE KEY" not in path.read_text()


def test_its_policy_lets_a_device_be_itself_and_no_other(fleet: Fleet) -> None:
    assert fleet.cas[0].policy is not None
    text = fleet.cas[0].policy.read_text()
    assert len("".join(text.split())) < MAX_POLICY
    allowed = {}
    for statement in json.loads(text)["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        allowed.update({action: (resources, statement.get("Condition")) for action in actions})
    arn = "arn:<partition>:iot:<region>:<account>:"
    own = [f"devices/{THING}/*", f"$aws/things/{THING}/shadow/*", f"$aws/things/{THING}/jobs/*"]
    assert allowed == {
        "iot:Connect": (
            [f"{arn}client/{THING}"],
            {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        ),
        "iot:Publish": ([f"{arn}topic/{topic}" for topic in own], None),
        "iot:Receive": ([f"{arn}topic/{topic}" for topic in own], None),
        "iot:Subscribe": ([f"{arn}topicfilter/{topic}" for topic in own], None),
    }
