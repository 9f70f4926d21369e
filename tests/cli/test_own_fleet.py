"""A user's fleet file as the local AWS runs it: what is started, what is changed, what is said. Nothing starts here."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jitr.x509.certificate import Certificate
from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.commands import local_display
from jitrctl.errors import Unusable
from jitrctl.localaws import accounts, deployment
from jitrctl.localaws.account import LocalAccount
from jitrctl.localaws.device_shape import device_like
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.own_fleet import OwnFleet
from jitrctl.localaws.workspace import Workspace
from tests.support.fleet.drafts import Draft, Issuer

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {
    "dev/eu-central-1": "http://127.0.0.1:1",
    "staging/us-east-1": "http://127.0.0.1:2",
    "prod/eu-central-1": "http://127.0.0.1:3",
    "prod/us-east-1": "http://127.0.0.1:4",
}
STAGING = """
[account.staging]
id = "333333333333"
regions = ["us-east-1"]
role_arn = "arn:aws:iam::333333333333:role/operator"
ca.partner = { mode = "SNI_ONLY" }

[ca.partner]
certificate = "partner.pem"
serial_number = "N[0-9]+"
thing_name = "{serial_number}"
maximum_life = "90d"
"""


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """Three accounts in two Regions, in a folder of their own."""
    folder = tmp_path / "of the user"
    folder.mkdir()
    made = Draft(folder, Issuer())
    made.text += STAGING
    made.write("partner.pem", Issuer("Partner CA").certificate())
    made.path.write_text(made.text, encoding="utf-8")
    return made


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty local directory, in which nothing can be started."""
    workspace = Workspace(directory=tmp_path / "local")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something is started")

    monkeypatch.setattr("jitrctl.commands.local.Workspace", lambda: workspace)
    monkeypatch.setattr(accounts, "up", refuse)
    return workspace


class _Running(LocalAccount):
    """An account that answers its registration code, and nothing else."""

    def client(self, service: str) -> Any:
        assert service == "iot"
        return self

    def get_registration_code(self) -> dict[str, str]:
        return {"registrationCode": "c0de" * 16}


def running(own: OwnFleet, directory: Path) -> list[LocalAccount]:
    return [
        _Running(
            name=spec.name,
            id=spec.id,
            region=spec.region,
            profile=spec.profile,
            gateway_port=int(PLACES[spec.stage].rpartition(":")[2]),
            mqtt_port=9,
            pid=1,
            log=directory / "x.log",
        )
        for spec in own.specs
    ]


def prepare(draft: Draft, workspace: Workspace, *names: str, regions: tuple[str, ...] = ()) -> dict[str, Any]:
    """The local fleet file for these accounts, which is a right one; its document."""
    draft.path.write_text(draft.text, encoding="utf-8")
    own = OwnFleet.read(draft.path, names, regions)
    own.prepare(workspace, running(own, workspace.directory))
    return tomllib.loads(workspace.fleet_file.read_text(encoding="utf-8"))


def test_each_account_and_region_is_a_process_with_a_profile_of_its_own(draft: Draft) -> None:
    draft.replace("activations_per_second = 50", 'profile = "acme-dev"')
    draft.path.write_text(draft.text, encoding="utf-8")
    specs = OwnFleet.read(draft.path).specs
    assert [(spec.stage, spec.id, spec.profile) for spec in specs] == [
        ("dev/eu-central-1", "111111111111", "acme-dev"),
        ("prod/eu-central-1", "222222222222", "prod"),
        ("prod/us-east-1", "222222222222", "prod-us-east-1"),
        ("staging/us-east-1", "333333333333", "staging"),
    ]


def test_the_local_fleet_is_the_users_at_other_addresses(draft: Draft, workspace: Workspace) -> None:
    document = prepare(draft, workspace)
    before = tomllib.loads(draft.text)
    assert document["sweep"] == before["sweep"]
    assert {name: account["regions"] for name, account in document["account"].items()} == {
        "dev": ["eu-central-1"],
        "prod": ["eu-central-1", "us-east-1"],
        "staging": ["us-east-1"],
    }
    assert document["account"]["dev"]["endpoint_url"] == PLACES["dev/eu-central-1"]
    assert document["account"]["prod"]["endpoint_url"] == {
        "eu-central-1": PLACES["prod/eu-central-1"],
        "us-east-1": PLACES["prod/us-east-1"],
    }
    assert "role_arn" not in document["account"]["staging"]
    changed = {"certificate", "policy"}
    for name, ca in before["ca"].items():
        assert {key: one for key, one in document["ca"][name].items() if key not in changed} == {
            key: one for key, one in ca.items() if key not in changed
        }
    fleet = workspace.load_fleet()
    assert fleet.cas[0].policy == draft.folder / "device.json"
    assert fleet.accounts[0].cas[0].verification_certificate_pem


def test_its_cas_have_keys_here_and_no_certificate_of_the_users(draft: Draft, workspace: Workspace) -> None:
    prepare(draft, workspace)
    real = {ca.name: ca.certificate_id for ca in load(draft.path, proven=False).cas}
    for ca in workspace.load_fleet().cas:
        assert ca.certificate_id != real[ca.name]
        files = workspace.issuing_ca(ca).issue(workspace.devices, f"try-{ca.name}")
        assert Certificate.from_pem(files.certificate.read_text()).is_issued_by(ca.certificate)
        assert workspace.issuing_ca(ca).key.stat().st_mode & 0o077 == 0


def test_a_second_preparation_keeps_the_cas_and_follows_the_file(draft: Draft, workspace: Workspace) -> None:
    prepare(draft, workspace)
    before = {ca.name: ca.certificate_id for ca in workspace.load_fleet().cas}
    draft.replace('"sensor-[0-9]{4,}"', '"sensor-[0-9]{6}"')
    draft.write("partner.pem", Issuer("Partner CA 2").certificate())
    prepare(draft, workspace)
    after = workspace.load_fleet().cas
    assert after[0].common_name == "sensor-[0-9]{6}"
    assert after[0].certificate_id == before["factory"]
    assert after[1].certificate_id != before["partner"]


def test_what_is_not_chosen_is_left_out_and_named(draft: Draft, workspace: Workspace) -> None:
    document = prepare(draft, workspace, "dev", "prod", regions=("eu-central-1",))
    assert {name: account["regions"] for name, account in document["account"].items()} == {
        "dev": ["eu-central-1"],
        "prod": ["eu-central-1"],
    }
    assert list(document["ca"]) == ["factory"]
    assert OwnFleet.read(draft.path, ["dev", "prod"], ["eu-central-1"]).describe_differences() == [
        "prod/us-east-1, staging/us-east-1: left out, not chosen",
        "CA partner: left out, no account that was chosen has it",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said", "gone"),
    [
        (
            'thing_type = "sensor"',
            'thing_type = "sensor"\nhook = "arn:aws:lambda:{region}:{account}:function:decide"',
            "ca.factory.hook is left out: your function is not there, and devices are admitted without it",
            ("ca", "factory", "hook"),
        ),
        (
            'thing_type = "sensor"',
            'thing_type = "sensor"\nexisting = true',
            "ca.factory.existing is false: the stack makes the thing type and groups, which are not there",
            ("ca", "factory", "existing"),
        ),
        (
            "[sweep]",
            '[stack]\nkms_key = "arn:<partition>:kms:<region>:<account>:alias/jitr"\n[sweep]',
            "kms_key is left out: your KMS keys are not there",
            ("stack", "kms_key"),
        ),
        (
            "[sweep]",
            '[alarms]\ntopic = "arn:<partition>:sns:<region>:<account>:oncall"\n[sweep]',
            "[alarms] topic is left out: your topics are not there; `aws cloudwatch describe-alarms` shows alarms",
            ("alarms", "topic"),
        ),
        (
            "[sweep]",
            '[hub]\naccount = "staging"\n[sweep]',
            "[hub] is left out: staging/us-east-1 was not chosen",
            ("hub", "account"),
        ),
        (
            'thing_type = "sensor"',
            'thing_type = "sensor"\nhome = ["prod"]',
            "ca.factory.home names only the accounts that were chosen",
            None,
        ),
        (
            ', verification_certificate = "dev.pem" }',
            ', verification_certificate = "dev.pem", jitp = true }',
            "account.dev.ca.factory.jitp is left out: no provisioning template is on the CA there",
            ("account", "dev", "ca", "factory", "jitp"),
        ),
    ],
    ids=["hook", "existing", "key", "topic", "hub", "home", "jitp"],
)
def test_what_the_local_aws_lacks_is_left_out_and_said(
    draft: Draft, workspace: Workspace, old: str, new: str, said: str, gone: tuple[str, ...] | None
) -> None:
    draft.replace(old, new)
    document: Any = prepare(draft, workspace, "dev")
    assert said in OwnFleet.read(draft.path, ["dev"]).describe_differences()
    for key in gone or ():
        document = document.get(key, {})
    assert not gone or document == {}


def test_a_predecessor_is_kept_though_no_account_has_it(draft: Draft, workspace: Workspace) -> None:
    draft.write("old.pem", Issuer("Factory CA 1").certificate())
    draft.replace('certificate = "factory.pem"', 'certificate = "factory.pem"\nsucceeds = "old"')
    draft.text += '\n[ca.old]\ncertificate = "old.pem"\ncommon_name = ".+"\n'
    assert list(prepare(draft, workspace, "dev")["ca"]) == ["factory", "old"]
    new, old = workspace.load_fleet().cas
    assert new.succeeds == old.certificate_id


def test_more_processes_than_there_may_be_are_refused_with_a_choice(
    draft: Draft, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    draft.replace('["us-east-1"]', '["us-east-1", "us-east-2", "eu-west-1", "eu-west-2"]')
    draft.path.write_text(draft.text, encoding="utf-8")
    assert main(["local", "up", "--fleet", str(draft.path)]) == 2
    said = capsys.readouterr().err
    assert "has 7 stages, and the local AWS runs 6 at most" in said
    assert f"jitrctl local up --fleet {draft.path} --account dev --account prod" in said
    assert not workspace.directory.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--account", "test"], "has no account test: it has dev, prod, staging"),
        (["--account", "dev", "--region", "us-east-1"], "has the Region us-east-1"),
    ],
)
def test_a_choice_that_the_file_does_not_have_is_refused(
    draft: Draft, workspace: Workspace, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", "up", "--fleet", str(draft.path), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not workspace.directory.exists()


def test_another_partition_is_refused(draft: Draft) -> None:
    draft.replace('["us-east-1"]', '["cn-north-1"]')
    draft.path.write_text(draft.text, encoding="utf-8")
    with pytest.raises(Unusable, match="staging/cn-north-1 is in the partition aws-cn"):
        OwnFleet.read(draft.path)
    assert OwnFleet.read(draft.path, ["dev"]).specs


def test_stages_that_came_after_the_start_are_refused_with_what_to_do(draft: Draft, workspace: Workspace) -> None:
    started = running(OwnFleet.read(draft.path, ["dev"]), workspace.directory)
    with pytest.raises(LocalAwsError, match=r"prod/eu-central-1.*`jitrctl local down`, then"):
        OwnFleet.read(draft.path, ["dev", "prod"]).prepare(workspace, started)


@pytest.mark.usefixtures("workspace")
def test_without_a_fleet_file_what_the_example_has_besides_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="something is started"):
        main(["local", "up"])
    assert "fleet.toml also has prod/us-east-1" in capsys.readouterr().err


def test_the_example_leaves_out_what_its_pair_of_accounts_does_not_share(draft: Draft, tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path / "local", checkout=draft.folder)
    assert [place.stack for place in workspace.find_places()] == ["dev/eu-central-1", "prod/eu-central-1"]
    assert workspace.find_left_out() == ("prod/us-east-1", "staging/us-east-1")


def test_status_says_whose_fleet_runs(draft: Draft, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    started = running(OwnFleet.read(draft.path), workspace.directory)
    prepare(draft, workspace)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(accounts, "find_running", lambda _: tuple(started))
        assert main(["local", "status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["fleet_file"] == str(draft.path)
    assert [one["account"] for one in document["stages"]] == ["dev", "prod", "prod", "staging"]


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "JSON"])
def test_deploy_reads_the_file_again_and_says_what_became_of_each_stage(
    draft: Draft,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    as_json: bool,
) -> None:
    prepare(draft, workspace, "dev", "prod")
    started = running(OwnFleet.read(draft.path, ["dev", "prod"]), workspace.directory)
    monkeypatch.setattr(accounts, "find_running", lambda _: tuple(started))
    draft.path.write_text(draft.text.replace('"sensor-[0-9]{4,}"', '"sensor-[0-9]{6}"'), encoding="utf-8")
    synthesized: list[str | None] = []

    def deploy(_: Workspace, account: LocalAccount, __: object) -> None:
        if account.region == "us-east-1":
            raise LocalAwsError("cdk deploy failed")

    monkeypatch.setattr(deployment, "check_tools", lambda _: None)
    monkeypatch.setattr(
        deployment, "synthesize", lambda made, _: synthesized.append(made.load_fleet().cas[0].common_name)
    )
    monkeypatch.setattr(deployment, "deploy", deploy)

    assert main(["local", "deploy", *(["--json"] if as_json else [])]) == 1

    assert synthesized == ["sensor-[0-9]{6}"]
    said = capsys.readouterr().out
    if as_json:
        document = json.loads(said)
        assert document["ok"] is False
        assert {(one["account"], one["region"]): one.get("error") for one in document["stages"]} == {
            ("dev", "eu-central-1"): None,
            ("prod", "eu-central-1"): None,
            ("prod", "us-east-1"): "cdk deploy failed",
        }
    else:
        assert "prod/us-east-1: cdk deploy failed\n" in said
        assert "dev/eu-central-1: deployed, " in said


def test_a_throw_away_ca_is_on_the_curve_of_the_real_one(draft: Draft, workspace: Workspace) -> None:
    draft.write("partner.pem", Issuer("Partner CA", ec.generate_private_key(ec.SECP384R1())).certificate())
    prepare(draft, workspace, "staging")
    (ca,) = workspace.load_fleet().cas
    public = ca.certificate.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp384r1"


def test_a_try_out_device_has_its_name_where_the_rules_look_for_it(draft: Draft) -> None:
    factory, partner = load(draft.path, proven=False).cas
    assert device_like(factory, "sensor-0001").subject == "/O=Acme/OU=S1/CN=sensor-0001"
    assert device_like(factory, "sensor-0001").days == 365
    named = device_like(partner, "N1")
    assert (named.subject, named.san, named.days) == ("/O=Acme/OU=S1/serialNumber=N1/CN=N1", None, 90)


def test_the_commands_to_paste_name_a_device_that_the_account_admits(draft: Draft, workspace: Workspace) -> None:
    prepare(draft, workspace, "dev", "staging")
    started = running(OwnFleet.read(draft.path, ["dev", "staging"]), workspace.directory)
    assert [local_display._example_device(workspace, one) for one in started] == ["sensor-7777", "N7"]


def test_a_device_connects_with_the_certificate_it_has_or_one_of_the_accounts_first_ca(
    draft: Draft, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(draft, workspace, "dev", "staging")
    started = running(OwnFleet.read(draft.path, ["dev", "staging"]), workspace.directory)
    monkeypatch.setattr(accounts, "find_running", lambda _: tuple(started))

    def stop(*_: object) -> None:
        raise LocalAwsError("it would connect")

    monkeypatch.setattr(Workspace, "places_of", stop)
    factory, partner = (workspace.issuing_ca(ca) for ca in workspace.load_fleet().cas)

    def connect(name: str, *options: str) -> None:
        assert main(["local", "connect", name, "--account", "staging", *options]) == 1

    connect("N1")
    assert partner.find_issued(workspace.devices, "N1")
    assert main(["local", "issue", "sensor-0001"]) == 0
    before = factory.find_issued(workspace.devices, "sensor-0001")
    assert before
    first = before.certificate_id
    connect("sensor-0001")
    kept = factory.find_issued(workspace.devices, "sensor-0001")
    assert kept
    assert kept.certificate_id == first
    connect("sensor-0001", "--ca", "partner")
    assert partner.find_issued(workspace.devices, "sensor-0001")
