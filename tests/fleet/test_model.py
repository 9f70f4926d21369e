"""A valid fleet is read completely, and rules follow from it."""

from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from jitr.admission.check_list import MODES
from jitr.admission.naming import RESERVED_PREFIX
from jitr.brake import BrakeLimits
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.rules import CaRules, CertificateMode, CheckMode, OnReject, Rules, default_mode
from jitr_fleet.keys import CA, REQUIRED, SWEEP, Keys
from jitr_fleet.model import Fleet, SweepSchedule
from jitr_fleet.parse import load
from jitr_fleet.problems import KeyPosition, Report
from tests.support.fleet.drafts import NOW, Draft, Issuer

MINIMAL = """\
[fleet]
name = "acme"
[ca.factory]
certificate = "factory.pem"
common_name = ".+"
[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
ca.factory.mode = "SNI_ONLY"
"""


def test_everything_that_is_written_is_read(draft: Draft) -> None:
    fleet = draft.load()
    (ca,) = fleet.cas
    dev, prod = fleet.accounts
    assert (fleet.name, fleet.path) == ("acme", draft.path)
    assert fleet.sweep == SweepSchedule(every=300, pending_after=90, horizon=43_200)
    assert (ca.name, ca.common_name, ca.thing_name) == ("factory", "sensor-[0-9]{4,}", "{common_name}")
    assert (ca.thing_type, ca.thing_groups) == ("sensor", ("factory-1", "sensors"))
    assert ca.attributes == {"model": "{organizational_unit}", "line": "A:1"}
    assert (ca.policy, ca.certificate_path) == (draft.folder / "device.json", draft.folder / "factory.pem")
    assert ca.on_reject is OnReject.REVOKE
    assert ca.checks == {check: default_mode(check) for check in MODES} | {"subject": CheckMode.OBSERVE}
    assert (ca.minimum_remaining_life, ca.rsa_bits, ca.curves) == (2_592_000, (3072, 4096), ("P-256",))
    assert (dev.name, dev.id, dev.profile, dev.regions) == ("dev", "111111111111", "acme-dev", ("eu-central-1",))
    assert (dev.activations_per_second, prod.activations_per_second, prod.profile) == (10, 50, None)
    assert [(it.ca, it.mode) for it in dev.cas + prod.cas] == [
        (ca, CertificateMode.DEFAULT),
        (ca, CertificateMode.SNI_ONLY),
    ]
    assert dev.cas[0].verification_certificate_path == draft.folder / "dev.pem"
    assert dev.cas[0].verification_certificate_pem == (draft.folder / "dev.pem").read_text()
    assert prod.cas[0].verification_certificate_pem is None
    assert prod.cas[0].verification_certificate_path is None


def test_a_fleet_is_a_value(draft: Draft) -> None:
    fleet = draft.load()
    assert fleet == draft.load()
    assert hash(fleet) == hash(draft.load())
    with pytest.raises(TypeError):
        fleet.cas[0].attributes["model"] = "other"  # type: ignore[index]


def test_the_certificate_id_is_the_fingerprint_that_aws_uses(draft: Draft) -> None:
    ca = draft.load().cas[0]
    certificate = x509.load_pem_x509_certificate((draft.folder / "factory.pem").read_bytes())
    assert ca.certificate.der == certificate.public_bytes(Encoding.DER)
    assert ca.certificate_id == certificate.fingerprint(hashes.SHA256()).hex()


def test_the_pem_is_the_certificate_alone_whatever_stands_around_it(draft: Draft) -> None:
    plain = draft.load().cas[0]
    content = (draft.folder / "factory.pem").read_bytes()
    draft.write("factory.pem", b"Certificate:\n  Subject: CN = x\n" + content.replace(b"\n", b"\r\n"))
    assert draft.load().cas[0] == plain


def test_a_file_with_windows_line_ends_and_a_byte_order_mark_is_read(draft: Draft) -> None:
    draft.path.write_bytes(b"\xef\xbb\xbf" + draft.text.replace("\n", "\r\n").encode())
    assert load(draft.path, now=NOW) == draft.load()


def test_optional_keys_have_defaults(draft: Draft) -> None:
    draft.text = MINIMAL
    fleet = draft.load()
    ca = fleet.cas[0]
    assert fleet.sweep == SweepSchedule(every=900, pending_after=600, horizon=604_800)
    assert (ca.thing_type, ca.policy, ca.attributes) == (None, None, {})
    assert fleet.accounts[0].profile is None


@pytest.mark.parametrize(
    ("keys", "field"),
    [(CA, field) for field in fields(CaRules) if field.name in CA and field.name not in ("checks", "brake")]
    + [(SWEEP, field) for field in fields(Rules) if field.name in SWEEP],
    ids=lambda value: getattr(value, "name", ""),
)
def test_defaults_are_those_of_the_rules(keys: Keys, field: Field[Any], tmp_path: Path) -> None:
    in_rules = field.default if field.default_factory is MISSING else field.default_factory()
    in_file = keys[field.name].default
    if in_rules is not MISSING:
        place = KeyPosition(Report(tmp_path, ""))
        assert (None if in_file is None else keys[field.name].read(in_file, place)) == in_rules
    else:
        assert in_file in (REQUIRED, None)  # None: infra writes the policy's name


def test_the_brake_is_on_by_default_and_can_be_set_or_switched_off(draft: Draft) -> None:
    def rules() -> CaRules:
        fleet = draft.load()
        return fleet.rules(fleet.accounts[0], fleet.accounts[0].regions[0]).cas[0]

    assert rules().brake == BrakeLimits()
    plain, plain_digest = draft.text, rules().digest
    draft.text = plain + "[ca.factory.brake]\nrefused = 100\nshare = 10\ngrowth = 1.5\n"
    assert rules().brake == BrakeLimits(refused=100, share=10, growth=1.5)
    assert rules().digest == plain_digest  # the figures of the brake are no other rules
    draft.text = plain + '[ca.factory.brake]\nmode = "off"\nrefused = 100\n'
    assert rules().brake is None


def test_every_key_of_the_sweep_reaches_the_rules(draft: Draft) -> None:
    fleet = draft.load()
    assert {one.name for one in fields(SweepSchedule)} == SWEEP.keys()
    for name in SWEEP:
        changed = replace(fleet, sweep=replace(fleet.sweep, **{name: 12_345}))
        assert getattr(changed.rules(fleet.accounts[0], "eu-central-1"), name) == 12_345, name


def test_rules_hold_what_the_account_registers(draft: Draft) -> None:
    fleet = draft.load()
    dev, prod = fleet.accounts
    ca = fleet.cas[0]
    rules = fleet.rules(dev, "eu-central-1")
    assert rules == Rules(
        fleet="acme",
        cas=(
            CaRules(
                name="factory",
                certificate_id=ca.certificate_id,
                certificate_pem=ca.certificate_pem,
                certificate_mode=CertificateMode.DEFAULT,
                common_name="sensor-[0-9]{4,}",
                thing_name="{common_name}",
                thing_type="sensor",
                thing_groups=("factory-1", "sensors"),
                attributes={"model": "{organizational_unit}", "line": "A:1"},
                policy="jitr-acme--factory",
                policy_variables=(),
                on_reject=OnReject.REVOKE,
                checks={check: default_mode(check) for check in MODES} | {"subject": CheckMode.OBSERVE},
                minimum_remaining_life=2_592_000,
                maximum_life=None,
                rsa_bits=(3072, 4096),
                curves=("P-256",),
            ),
        ),
        pending_after=90,
        horizon=43_200,
        every=300,
    )
    assert fleet.rules(prod, "us-east-1").cas[0].certificate_mode is CertificateMode.SNI_ONLY


def test_rules_survive_their_file(draft: Draft) -> None:
    fleet = draft.load()
    rules = fleet.rules(fleet.accounts[0], "eu-central-1")
    assert Rules.from_json(rules.to_json()) == rules


def test_there_are_no_rules_for_a_region_that_the_account_does_not_have(draft: Draft) -> None:
    fleet = draft.load()
    with pytest.raises(ValueError, match="no stage for account dev in us-east-1"):
        fleet.rules(fleet.accounts[0], "us-east-1")


def test_our_own_attribute_is_among_the_reserved_names() -> None:
    assert OWNER_ATTRIBUTE.startswith(RESERVED_PREFIX)


def test_a_ca_is_only_in_the_rules_of_accounts_that_register_it(draft: Draft) -> None:
    draft.write("second.pem", Issuer("Second CA").certificate())
    draft.text += 'ca.second = { mode = "SNI_ONLY" }\n[ca.second]\ncertificate = "second.pem"\ncommon_name = "x"\n'
    fleet: Fleet = draft.load()
    dev, prod = fleet.accounts
    assert [ca.name for ca in fleet.cas] == ["factory", "second"]
    assert [ca.name for ca in fleet.rules(dev, "eu-central-1").cas] == ["factory"]
    assert [ca.name for ca in fleet.rules(prod, "us-east-1").cas] == ["factory", "second"]


def test_a_ca_knows_the_certificate_id_of_the_one_that_it_succeeds(draft: Draft) -> None:
    draft.write("second.pem", Issuer("Second CA").certificate())
    draft.text += 'ca.second = { mode = "SNI_ONLY" }\n[ca.second]\ncertificate = "second.pem"\ncommon_name = "x"\n'
    draft.text += 'succeeds = "factory"\n'
    fleet: Fleet = draft.load()
    assert [ca.succeeds for ca in fleet.cas] == [None, fleet.cas[0].certificate_id]
    assert fleet.rules(fleet.accounts[1], "us-east-1").cas[1].succeeds == fleet.cas[0].certificate_id


def test_a_hook_is_each_stages_own(draft: Draft) -> None:
    draft.replace('on_reject = "revoke"', 'hook = "arn:{partition}:lambda:{region}:{account}:function:check:live"')
    fleet = draft.load()
    assert [fleet.rules(account, region).cas[0].hook for account in fleet.accounts for region in account.regions] == [
        "arn:aws:lambda:eu-central-1:111111111111:function:check:live",
        "arn:aws:lambda:eu-central-1:222222222222:function:check:live",
        "arn:aws:lambda:us-east-1:222222222222:function:check:live",
    ]


@pytest.mark.parametrize(
    "written",
    [
        "check-device",
        "arn:aws:lambda:{zone}:{account}:function:check",
        "arn:aws:lambda:nowhere:{account}:function:check",
        "arn:aws:sqs:{region}:{account}:function:check",
        "arn:aws:lambda:{region}:1234:function:check",
        "arn:aws:lambda:{region}:{account}:function:",
        "arn:aws:lambda:{region}:{account}:function:a b",
        "arn:aws:lambda:{region}:{account}:function:{0}",
    ],
)
def test_a_hook_is_the_arn_of_a_function(draft: Draft, written: str) -> None:
    draft.replace('on_reject = "revoke"', f'hook = "{written}"')
    _, said = draft.problem()
    assert "not the ARN of a function" in said


def test_an_account_has_one_endpoint_or_one_for_each_region(draft: Draft) -> None:
    regions = 'regions = ["eu-central-1", "us-east-1"]'
    draft.replace('profile = "acme-dev"', 'endpoint_url = "http://a"')
    draft.replace(regions, f'{regions}\nendpoint_url = {{ eu-central-1 = "http://b", us-east-1 = "http://c" }}')
    dev, prod = draft.load().accounts
    assert (dev.endpoint_in("eu-central-1"), dev.endpoint_in("us-east-1")) == ("http://a", "http://a")
    assert (prod.endpoint_in("eu-central-1"), prod.endpoint_in("us-east-1")) == ("http://b", "http://c")
    assert hash(prod)
