"""`jitrctl ca adopt` on the local AWS, which stores templates, keeps them when they are taken off, and runs none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.jitp import take_over, take_over_plan
from tests.support.cli.jitp_fleet import template
from tests.support.local.account import DEV
from tests.support.local.authority import Authority
from tests.support.local.ca_fleet import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jitrctl.localaws.accounts import LocalAccount

ROLE = "arn:aws:iam::111111111111:role/JITPRole"
HELD = '{ mode = "SNI_ONLY", jitp = true }'
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


class Held:
    """A CA with a template in the account, and what of its stack the order looks at."""

    def __init__(self, directory: Path, account: LocalAccount, capsys: pytest.CaptureFixture[str]) -> None:
        self.ca, self.iot, self.account = Authority.new("Pumps CA", directory), account.client("iot"), account
        self.file, self.capsys = directory / "fleet.toml", capsys
        (directory / "pumps.pem").write_text(self.ca.pem)
        self.file.write_text(
            '[fleet]\nname = "acme"\n[ca.factory]\ncertificate = "pumps.pem"\ncommon_name = "pump-[0-9]+"\n'
            f'[account.{DEV.name}]\nid = "{DEV.id}"\nregions = ["{DEV.region}"]\n'
            f'endpoint_url = "{account.endpoint_url}"\nca.factory = {HELD}\n'
        )
        self.id = load(self.file).cas[0].certificate_id
        self.config = {"templateBody": template(), "roleArn": ROLE}
        self.iot.register_ca_certificate(
            caCertificate=self.ca.pem,
            certificateMode="SNI_ONLY",
            setAsActive=True,
            allowAutoRegistration=True,
            registrationConfig=self.config,
        )
        self.iot.create_policy(policyName="pump-policy", policyDocument=json.dumps(POLICY))
        topic = f"$aws/events/certificates/registered/{self.id}"
        self.iot.create_topic_rule(
            ruleName=NAMES.rule("factory"),
            topicRulePayload={"sql": f"SELECT * FROM '{topic}'", "actions": [], "ruleDisabled": True},  # noqa: S608
        )

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        self.capsys.readouterr()
        assert main([*words, "--json", "--fleet", str(self.file)]) == code
        (stage,) = json.loads(self.capsys.readouterr().out)["stages"]
        return dict(stage)


@pytest.fixture
def held(
    tmp_path: Path, account: LocalAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Held]:
    made = Held(tmp_path, account, capsys)
    dynamodb = account.client("dynamodb")
    dynamodb.create_table(
        TableName=NAMES.registry_table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    monkeypatch.setattr(take_over_plan, "read_deployed_rules", lambda stage: stage.rules)
    monkeypatch.setattr(take_over, "_BETWEEN_READS", 0)
    yield made
    dynamodb.delete_table(TableName=NAMES.registry_table)
    made.iot.delete_topic_rule(ruleName=NAMES.rule("factory"))
    made.iot.delete_policy(policyName="pump-policy")


def test_the_template_of_a_ca_is_read(held: Held) -> None:
    found = held.run("ca", "adopt", "factory")
    assert 'thing_type = "pump"' in found["toml"]
    assert any("client id that is not its own" in one for one in found["policy_problems"])


def test_a_template_that_aws_keeps_is_a_refusal_and_its_cure_lets_the_order_go_there_and_back(held: Held) -> None:
    """The CA is registered again without the template, as the refusal says; the order then goes through, and back."""
    refused = held.run("ca", "adopt", "factory", "--take-over", "--yes", code=1)

    assert "AWS IoT has kept the template on CA factory, so JITP goes on" in refused["error"]
    answer = held.iot.describe_ca_certificate(certificateId=held.id)
    assert answer["registrationConfig"]["templateBody"] == held.config["templateBody"]
    assert answer["certificateDescription"]["autoRegistrationStatus"] == "ENABLE"
    (rule,) = (one for one in held.iot.list_topic_rules()["rules"] if one["ruleName"] == NAMES.rule("factory"))
    assert rule["ruleDisabled"]

    held.iot.update_ca_certificate(certificateId=held.id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE")
    held.iot.delete_ca_certificate(certificateId=held.id)
    held.run("ca", "apply", "--without-denials", "--yes", code=1)
    taken = held.run("ca", "adopt", "factory", "--take-over", "--yes", code=1)  # there is no sweep to start
    assert taken["was_without_registration"]
    held.run("ca", "adopt", "factory", "--undo", "--yes")
    answer = held.iot.describe_ca_certificate(certificateId=held.id)
    assert answer["registrationConfig"]["templateBody"] == held.config["templateBody"]


def test_without_a_fleet_file_a_profile_is_enough_for_a_whole_one(
    held: Held, account: LocalAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account.environ().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    out = tmp_path / "new"

    assert (
        main(
            [
                "ca",
                "adopt",
                held.id,
                "--profile",
                "acme-dev",
                "--region",
                DEV.region,
                "--name",
                "pumps",
                "--write",
                str(out),
            ]
        )
        == 0
    )

    fleet = load(out / "fleet.toml")
    (made,) = fleet.accounts
    assert (made.id, made.profile, [one.ca.name for one in made.cas]) == (DEV.id, "acme-dev", ["pumps"])
    assert fleet.cas[0].certificate_id == held.id
