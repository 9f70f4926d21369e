"""`jitrctl prove` on the local AWS with real MQTT devices, as a user who has policies/operators/prove.json alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate
from jitrctl.__main__ import main
from jitrctl.localaws.accounts import AccountSpec, LocalAccount, down, up
from jitrctl.prove.journal import FOLDER
from jitrctl.prove.operations import OPERATIONS, By
from jitrctl.prove.probes import PROBES
from tests.support.local.authority import Authority
from tests.support.local.operator_policies import REFUSED, Called, policy_document, record_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION = "eu-central-1"
ACCOUNTS = (
    AccountSpec(name="dev", id="111111111111", region=REGION, profile="prove-dev"),
    AccountSpec(name="prod", id="222222222222", region=REGION, profile="prove-prod"),
)
# What the local AWS checks against other resources than AWS does (docs/divergences.md).
_LOCALLY = {
    "Sid": "LocalAwsChecksOtherArns",
    "Effect": "Allow",
    "Action": [
        "iot:AttachPolicy",
        "iot:AttachThingPrincipal",
        "iot:DeleteCACertificate",
        "iot:DescribeCACertificate",
        "iot:DetachPolicy",
        "iot:DetachThingPrincipal",
        "iot:ListAttachedPolicies",
        "iot:UpdateCACertificate",
    ],
    "Resource": "*",
}
# ten seconds each for what may not come
_SLOW = ("no-sni", "outside-validity")


class Sandboxes:
    """Two accounts, the fleet file, and the user."""

    def __init__(self, directory: Path, started: tuple[LocalAccount, ...]) -> None:
        self.started = started
        self.file = directory / "fleet.toml"
        (directory / "factory.pem").write_text(Authority.new("factory", directory).pem)
        text = '[fleet]\nname = "acme"\n[ca.factory]\ncertificate = "factory.pem"\ncommon_name = "sensor-[0-9]{4,}"\n'
        config = credentials = ""
        for account in started:
            held = policy_document("prove", account.id, account.region)
            iam = account.client("iam")
            iam.create_user(UserName="prover")
            allowed = {**held, "Statement": [*held["Statement"], _LOCALLY]}
            iam.put_user_policy(UserName="prover", PolicyName="prove", PolicyDocument=json.dumps(allowed))
            key = iam.create_access_key(UserName="prover")["AccessKey"]
            credentials += f"[as-{account.name}]\naws_access_key_id = {key['AccessKeyId']}\n"
            credentials += f"aws_secret_access_key = {key['SecretAccessKey']}\n"
            config += f"[profile as-{account.name}]\nregion = {REGION}\nendpoint_url = {account.endpoint_url}\n"
            text += f'[account.{account.name}]\nid = "{account.id}"\nregions = ["{REGION}"]\n'
            text += f'profile = "as-{account.name}"\nca.factory = {{ mode = "SNI_ONLY" }}\n'
        self.file.write_text(text)
        self.config, self.credentials = directory / "prover-config", directory / "prover-credentials"
        self.config.write_text(config)
        self.credentials.write_text(credentials)

    def left(self) -> list[str]:
        """Everything that is in the accounts."""
        found = []
        for account in self.started:
            iot, iam = account.client("iot"), account.client("iam")
            found += [one["certificateId"] for one in iot.list_ca_certificates()["certificates"]]
            found += [one["certificateId"] for one in iot.list_certificates()["certificates"]]
            found += [one["thingName"] for one in iot.list_things()["things"]]
            found += [one["policyName"] for one in iot.list_policies()["policies"]]
            found += [one["RoleName"] for one in iam.list_roles()["Roles"]]
        return found


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandboxes]:
    directory = tmp_path_factory.mktemp("sandboxes")
    try:
        yield Sandboxes(directory, up(directory, ACCOUNTS))
    finally:
        down(directory)


@pytest.fixture(autouse=True)
def _profiles(sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(sandboxes.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(sandboxes.credentials))


def prove(sandboxes: Sandboxes, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["prove", "--account", "dev", "--account", "prod", "--yes", "--fleet", str(sandboxes.file), *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_all_that_the_local_aws_can_answer_is_answered_under_the_policy(
    sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [probe.name for probe in PROBES if not probe.not_local and probe.name not in _SLOW]
    with record_calls(monkeypatch) as calls:
        code, out, said = prove(sandboxes, capsys, "--json", *(word for name in asked for word in ("--only", name)))

    assert code == 0, said
    found = json.loads(out)
    assert {one["probe"] for one in found["answers"]} == set(asked)
    assert found["not_answered"] == []
    assert not found["on_aws"]
    # Where ministack is known to differ: docs/divergences.md.
    different = {(one["probe"], one["what"].partition(",")[0]) for one in found["answers"] if not one["as_assumed"]}
    assert different == {
        ("event", "fields"),
        ("template-removed", "template"),
        ("template-removed", "auto-registration"),
        ("template-removed", "lastModifiedDate"),
    }
    assert REFUSED not in said
    assert refused_by_the_policy(calls) == []
    assert sandboxes.left() == []
    assert not list((sandboxes.file.parent / FOLDER).glob("*.json"))


def test_what_it_cannot_answer_is_named_with_the_reason(
    sandboxes: Sandboxes, capsys: pytest.CaptureFixture[str]
) -> None:
    cannot = [probe for probe in PROBES if probe.not_local and not probe.bursts]
    code, out, said = prove(sandboxes, capsys, *(word for probe in cannot for word in ("--only", probe.name)))

    assert code == 0
    for probe in cannot:
        assert f"not answered: {probe.name}: {probe.not_local}" in out
        assert f"left out: {probe.name}: {probe.not_local}" in said
    assert sandboxes.left() == []


def refused_by_the_policy(calls: list[Called]) -> list[str]:
    """What AWS would refuse of these calls, by our own reading of IAM, with the resources that it checks."""
    held = [policy_document("prove", account.id, REGION) for account in ACCOUNTS]
    return [
        f"{action} on {resource}"
        for service, operation, said in calls
        for action, resource in needs(service, operation, said)
        if all(
            evaluate([one], Request(action=action, resource=resource, context={})) is not PolicyAnswer.ALLOWED
            for one in held
        )
    ]


def needs(service: str, operation: str, said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The permissions that AWS checks for a call (service authorization reference): action, ARN."""
    prefix = f"arn:aws:iot:{REGION}:{ACCOUNTS[0].id}:"
    known = OPERATIONS.get((service.replace("iotdata", "iot-data"), operation))
    action = known.action if known else f"{service}:{operation}"
    if operation in ("DescribeCACertificate", "DescribeCertificate"):
        yield action, f"{prefix}{'cacert' if 'CA' in operation else 'cert'}/{said['certificateId']}"
        return
    if operation == "ListAttachedPolicies":
        yield action, said["target"]
        return
    if not known or not known.targets or any(one.by is By.PEM for one in known.targets):
        yield action, "*"
        return
    if "registrationConfig" in said:
        yield "iam:PassRole", said["registrationConfig"]["roleArn"]
    target = known.targets[-1]  # of two, AWS checks the certificate
    value = said[target.parameter]
    if service == "iam":
        yield action, f"arn:aws:iam::{ACCOUNTS[0].id}:role/{value}"
    elif target.by is By.ARN:
        yield action, value
    else:
        kind = "cacert" if "CACertificate" in operation else {By.ID: "cert", By.CLIENT: "client"}.get(target.by)
        yield action, f"{prefix}{kind or target.kind.value}/{value}"
