"""The policies for operators, under enforcement: every command runs under those that the page names, and no others.

A deployed stage of the local AWS, and three users of its IAM with policies/operators: one reads, one acts besides, one
keeps CAs besides. What a command calls is held twice against the policies: by the local AWS, which refuses what they do
not allow, and by our own reading of IAM with the resources that AWS checks, where the local AWS checks others
(docs/divergences.md).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jitr.brake import Engagement
from jitr.store import brake_items
from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate
from jitrctl.__main__ import main
from jitrctl.jitp import take_over, take_over_plan
from jitrctl.localaws.workspace import CHECKOUT
from tests.support.cli.decision_events import activation_event
from tests.support.cli.jitp_fleet import POLICY, template
from tests.support.cli.operator_commands import ACTING, BEFORE, KEEPING_CAS, READING
from tests.support.local.authority import Authority
from tests.support.local.deployed import Deployed, deployed
from tests.support.local.operator_policies import REFUSED, Called, policy_document, record_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# What the local AWS checks against other resources than AWS does; see docs/divergences.md.
_LOCALLY = {
    "Sid": "LocalAwsChecksOtherArns",
    "Effect": "Allow",
    "Action": [
        "iot:AttachPolicy",
        "iot:DescribeCACertificate",
        "iot:DetachPolicy",
        "iot:DetachThingPrincipal",
        "iot:ListAttachedPolicies",
        "iot:ListTargetsForPolicy",
        "sqs:ChangeMessageVisibilityBatch",
    ],
    "Resource": "*",
}
_LOCALLY_MORE = {"cas": ("iot:UpdateCACertificate",)}
# The stage is as the fleet file says, so there is nothing to be refused.
NOTHING_TO_DO = {"jitrctl ca apply"}
HELD_BY = {"read": ("read",), "act": ("read", "act"), "cas": ("read", "cas")}  # operator → policies


class Operators:
    """The stage, and jitrctl as either operator."""

    def __init__(self, fleet: Deployed, directory: Path) -> None:
        self.fleet = fleet
        self.directory = directory
        place = fleet.local.account
        iam = fleet.client("iam")
        credentials = config = ""
        for name, policies in HELD_BY.items():
            iam.create_user(UserName=name)
            for policy in policies:
                held = policy_document(policy, place.id, place.region)
                local = {**_LOCALLY, "Action": [*_LOCALLY["Action"], *_LOCALLY_MORE.get(policy, ())]}
                allowed = {**held, "Statement": [*held["Statement"], local]}
                iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=json.dumps(allowed))
            key = iam.create_access_key(UserName=name)["AccessKey"]
            credentials += f"[{name}]\naws_access_key_id = {key['AccessKeyId']}\n"
            credentials += f"aws_secret_access_key = {key['SecretAccessKey']}\n"
            config += f"[profile {name}]\nregion = {place.region}\nendpoint_url = {place.endpoint_url}\n"
            self._fleet_file(name)
        (directory / "credentials").write_text(credentials)
        (directory / "config").write_text(config)

    def _fleet_file(self, name: str) -> None:
        """The fleet, opened with this operator's profile."""
        text = self.fleet.workspace.fleet_file.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith(("endpoint_url", "profile"))]
        at = lines.index(f"[account.{self.fleet.local.name}]")
        lines.insert(at + 1, f'profile = "{name}"')
        (self.fleet.workspace.directory / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, who: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
        capsys.readouterr()
        file = self.fleet.workspace.directory / f"{who}.toml"
        code = main([*words, "--account", self.fleet.local.name, "--fleet", str(file)])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    with deployed(tmp_path_factory.mktemp("operators"), lambda text: text + '\n[hub]\naccount = "dev"\n') as fleet:
        yield Operators(fleet, tmp_path_factory.mktemp("profiles"))


@pytest.fixture(autouse=True)
def _profiles(operators: Operators, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(operators.directory / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(operators.directory / "credentials"))


def needs(call: Called, arn: Mapping[str, str]) -> Iterator[tuple[str, str]]:  # noqa: C901, PLR0912, PLR0915 -- a case each
    """The permissions that AWS checks for a call (service authorization reference): action, ARN."""
    service, operation, said = call
    action, prefix = f"{service}:{operation}", arn["prefix"].format(service=service)
    match service, operation:
        case "iot", "DescribeCertificate" | "UpdateCertificate" | "DeleteCertificate":
            yield action, f"{prefix}cert/{said['certificateId']}"
        case "iot", "DescribeCACertificate" | "UpdateCACertificate" | "DeleteCACertificate":
            yield action, f"{prefix}cacert/{said['certificateId']}"
        case "iot", "RegisterCACertificate":
            yield action, "*"
            yield "iot:TagResource", f"{prefix}cacert/*"
        case "iot", "DescribeProvisioningTemplate":
            yield action, f"{prefix}provisioningtemplate/{said['templateName']}"
        case "iot", "GetTopicRule" | "EnableTopicRule" | "DisableTopicRule":
            yield action, f"{prefix}rule/{said['ruleName']}"
        case "iot", "GetPolicy" | "ListTargetsForPolicy":
            yield action, f"{prefix}policy/{said['policyName']}"
        case "iot", "DescribeThing" | "ListThingPrincipals" | "ListThingGroupsForThing" | "DeleteThing":
            yield action, f"{prefix}thing/{said['thingName']}"
        case "iot", "CreateThing" | "UpdateThing":
            yield action, f"{prefix}thing/{said['thingName']}"
        case "iot", "ListThingsInThingGroup":
            yield action, f"{prefix}thinggroup/{said['thingGroupName']}"
        case "iot", "AddThingToThingGroup":
            yield action, f"{prefix}thing/{said['thingName']}"
            yield action, f"{prefix}thinggroup/{said['thingGroupName']}"
        case "iot", "AttachPolicy" | "ListAttachedPolicies" | "DetachPolicy":
            yield action, said["target"]
        case "iot", "DetachThingPrincipal":
            yield action, said["principal"]
        case "iotdata", _:
            yield f"iot:{operation}", f"{arn['prefix'].format(service='iot')}client/{said['clientId']}"
        case "dynamodb", "BatchGetItem" | "BatchWriteItem":
            yield from ((action, f"{prefix}table/{table}") for table in said["RequestItems"])
        case "dynamodb", "TransactWriteItems":
            for item in said["TransactItems"]:
                ((kind, write),) = item.items()
                yield f"dynamodb:{kind}Item", f"{prefix}table/{write['TableName']}"
        case "dynamodb", _:
            index = f"/index/{said['IndexName']}" if "IndexName" in said else ""
            yield action, f"{prefix}table/{said['TableName']}{index}"
        case "sqs", _:
            queue = said.get("QueueName") or said["QueueUrl"].rpartition("/")[2]
            yield action.removesuffix("Batch"), f"{prefix}{queue}"
        case "lambda", "Invoke" | "GetFunction" | "GetFunctionConfiguration":
            yield action.replace("lambda:Invoke", "lambda:InvokeFunction"), f"{prefix}function:{said['FunctionName']}"
        case "lambda", "UpdateEventSourceMapping":
            yield action, f"{prefix}event-source-mapping:{said['UUID']}"
        case "logs", _:
            yield action, f"{prefix}log-group:{said['logGroupName']}"
        case "cloudformation", _:
            yield action, f"{prefix}stack/{said['StackName']}/1"
        case "events", "PutEvents":
            yield action, f"{prefix}event-bus/default"
        case "s3", "GetObject":
            yield "s3:ListBucket", f"arn:aws:s3:::{said['Bucket']}"
            yield action, f"arn:aws:s3:::{said['Bucket']}/{said['Key']}"
        case "s3", "PutObject":
            yield action, f"arn:aws:s3:::{said['Bucket']}/{said['Key']}"
        case "iam", "GetPolicy" | "GetPolicyVersion":
            yield action, said["PolicyArn"]
        case "iam", _:
            yield action, f"{arn['iam']}role/{said['RoleName']}"
        case _:
            yield action, "*"


def held_against(name: str, calls: list[Called], operators: Operators) -> list[str]:
    """What AWS would refuse an operator of these calls."""
    place = operators.fleet.local.account
    arn = {
        "prefix": f"arn:aws:{{service}}:{place.region}:{place.id}:",
        "iam": f"arn:aws:iam::{place.id}:",
    }
    function = f"{arn['prefix'].format(service='lambda')}function:jitr-acme-register"
    held = [policy_document(policy, place.id, place.region) for policy in HELD_BY[name]]
    context = {"lambda:FunctionArn": function}
    return [
        f"{action} on {resource}"
        for call in calls
        for action, resource in needs(call, arn)
        if evaluate(held, Request(action=action, resource=resource, context=context | _leading_key(call)))
        is not PolicyAnswer.ALLOWED
    ]


def _leading_key(call: Called) -> dict[str, str]:
    """What the local AWS does not tell its policies: there, whoever reads has the guaranteed share of the turns."""
    key = call[2].get("Key", {}) if call[0] == "dynamodb" else {}
    return {"dynamodb:LeadingKeys": key["id"]["S"]} if key else {}


def prepared(operators: Operators, words: list[str]) -> list[str]:
    """The words with what they are about filled in: a device, a CRL, an event."""
    device = operators.fleet.issue("sensor-0001")
    events = CHECKOUT / "events" / "first-connection.json"
    values = {"{device}": str(device.certificate), "{id}": device.certificate_id, "{event}": str(events)}
    values["{out}"] = str(operators.directory / "out.csr")
    values["{survey}"] = str(operators.directory / "stage.survey")
    return [values.get(word, word) for word in words]


def engage_brake(operators: Operators) -> None:
    """Engage the brake on the fleet's CA, as the functions do."""
    fleet = operators.fleet
    ca = next(one for one in fleet.workspace.load_fleet().cas if one.name == "factory")
    engaged = Engagement(
        rules="0123456789abcdef",
        at=datetime.now(UTC),
        refused=21,
        decisions=21,
        usual_share=0.0,
        reason="COMMON_NAME_REFUSED",
        example="badger-0021",
    )
    update = brake_items.engage(fleet.stage.names.registry_table, ca.certificate_id, engaged, acceptances=0)
    fleet.client("dynamodb").update_item(**update)


def test_who_acts_takes_things_over_and_who_reads_does_not(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One thing is adopted alone; one is aligned, and in a group that has a policy."""
    iot, fleet = operators.fleet.client("iot"), operators.fleet
    names, policy = ("sensor-7001", "sensor-7002"), '{"Version": "2012-10-17", "Statement": []}'
    for name in ("hand-made", "hall-wide"):
        iot.create_policy(policyName=name, policyDocument=policy)
    group = iot.create_thing_group(thingGroupName="hall-7")["thingGroupArn"]
    iot.attach_policy(policyName="hall-wide", target=group)
    for name in names:
        pem = fleet.issue(name).certificate.read_text(encoding="utf-8")
        made = iot.register_certificate(certificatePem=pem, caCertificatePem=fleet.cas["factory"].pem, status="ACTIVE")
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        iot.attach_policy(policyName="hand-made", target=made["certificateArn"])
        iot.add_thing_to_thing_group(thingName=name, thingGroupName="hall-7")
    survey, plan = str(tmp_path / "a.survey"), tmp_path / "a.plan"
    assert operators.run("read", ["fleet", "survey", survey], capsys)[0] == 0
    assert operators.run("read", ["fleet", "adopt", "plan", str(plan), "--survey", survey], capsys)[0] == 0
    text = plan.read_text(encoding="utf-8")
    plan.write_text(text.replace(f"adopt  dev/eu-central-1  {names[1]}", f"align  dev/eu-central-1  {names[1]}"))

    words = ["fleet", "adopt", "apply", str(plan), "--yes"]
    assert REFUSED in operators.run("read", words, capsys)[1]
    with record_calls(monkeypatch) as calls:
        code, said = operators.run("act", words, capsys)
    assert (code, REFUSED in said) == (0, False), said
    assert f"{names[0]}: keeps hand-made; has hall-wide of group hall-7" in said
    assert held_against("act", calls, operators) == []
    assert {operation for _, operation, _ in calls} >= {"ListThingGroupsForThing", "DetachPolicy", "AttachPolicy"}


@pytest.mark.parametrize("command", READING)
def test_a_command_that_reads_runs_under_the_reading_policy(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with record_calls(monkeypatch) as calls:
        code, said = operators.run("read", prepared(operators, [*command.split()[1:], *READING[command]]), capsys)

    assert REFUSED not in said
    assert code in (0, 1), said
    assert calls
    assert held_against("read", calls, operators) == []


@pytest.mark.parametrize(
    ("who", "command"), [*(("act", command) for command in ACTING), *(("cas", command) for command in KEEPING_CAS)]
)
def test_a_command_that_changes_something_runs_under_its_own_policy_alone(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], who: str, command: str
) -> None:
    before = BEFORE.get(command, [])
    both = prepared(operators, [*before, *command.split()[1:], *(ACTING | KEEPING_CAS)[command]])
    before, words = both[: len(before)], both[len(before) :]
    if before:
        assert operators.run("act", before, capsys)[0] == 0
    if command == "jitrctl ca resume":
        operators.fleet.run("ca", "pause", "--yes")
    if command == "jitrctl ca accept-rejections":
        engage_brake(operators)
    _, refused = operators.run("read", words, capsys)
    with record_calls(monkeypatch) as calls:
        code, said = operators.run(who, words, capsys)

    assert REFUSED in refused or command in NOTHING_TO_DO
    assert REFUSED not in said
    assert code in (0, 1), said
    assert held_against(who, calls, operators) == []


def test_a_device_that_stays_connected_is_ended_by_who_acts_and_not_by_who_reads(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, name = operators.fleet, "sensor-0002"
    device = fleet.admitted(name)
    order = ["device", "deactivate", str(device.certificate), "--yes"]
    with fleet.local.device(device, name).connect_until_accepted(fleet.local.endpoint, patience=60)[0] as connection:
        assert REFUSED in operators.run("read", order, capsys)[1]
        assert connection.is_open
        with record_calls(monkeypatch) as calls:
            code, said = operators.run("act", order, capsys)
        assert (code, f"{name} ended after" in said) == (0, True), said
        assert not connection.is_open
    assert held_against("act", calls, operators) == []
    assert {operation for _, operation, _ in calls} >= {"GetConnection", "DeleteConnection"}


@pytest.mark.parametrize("queue", ["dead-letters", "undelivered", "unforwarded", "hub-failed"])
@pytest.mark.parametrize("order", ["redrive", "drop"])
def test_messages_that_nobody_works_on_are_seen_under_either_policy_and_moved_under_the_acting_one(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], order: str, queue: str
) -> None:
    sqs = operators.fleet.client("sqs")
    url = sqs.get_queue_url(QueueName=f"jitr-acme-{queue}")["QueueUrl"]
    body = (CHECKOUT / "events/first-connection.json").read_text(encoding="utf-8")
    if queue in ("unforwarded", "hub-failed"):
        body = activation_event("0" * 64)
    message = sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]
    words = ["dlq", order, message, "--queue", queue.removesuffix("-failed"), "--yes"]

    _, seen = operators.run("read", words, capsys)
    with record_calls(monkeypatch) as calls:
        code, said = operators.run("act", words, capsys)

    assert message in seen
    assert REFUSED in seen
    assert (code, REFUSED in said) == (0, False), said
    assert held_against("act", calls, operators) == []
    assert {operation for _, operation, _ in calls} >= {"ReceiveMessage", "DeleteMessage"}
    assert ("SendMessage" in {operation for _, operation, _ in calls}) is (order == "redrive")


def test_a_template_is_read_under_the_reading_policy_and_taken_off_under_that_of_cas(
    operators: Operators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The local AWS keeps the template (docs/divergences.md), so the order ends there, and auto-registration is on."""
    fleet, ca = operators.fleet, Authority.new("Pumps CA", tmp_path)
    iot, workspace = fleet.client("iot"), fleet.workspace.directory
    iot.create_policy(policyName="pump-policy", policyDocument=json.dumps(POLICY))
    role = "arn:aws:iam::111111111111:role/JITPRole"
    iot.create_provisioning_template(
        templateName="pumps", templateBody=template(), provisioningRoleArn=role, enabled=True, type="JITP"
    )
    ca_id = iot.register_ca_certificate(
        caCertificate=ca.pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig={"templateName": "pumps"},
    )["certificateId"]
    topic = f"$aws/events/certificates/registered/{ca_id}"
    iot.create_topic_rule(
        ruleName="jitr_acme__pumps",
        topicRulePayload={"sql": f"SELECT * FROM '{topic}'", "actions": [], "ruleDisabled": True},  # noqa: S608
    )
    (workspace / "pumps.pem").write_text(ca.pem)
    block = '\n[ca.pumps]\ncertificate = "pumps.pem"\ncommon_name = "pump-[0-9]+"\n'
    block += f'[account.{fleet.local.name}.ca.pumps]\nmode = "SNI_ONLY"\njitp = true\n'
    for who in ("read", "cas"):
        file = workspace / f"{who}.toml"
        file.write_text(file.read_text(encoding="utf-8") + block, encoding="utf-8")
    monkeypatch.setattr(take_over_plan, "read_deployed_rules", lambda stage: stage.rules)
    monkeypatch.setattr(take_over, "_BETWEEN_READS", 0)
    order = ["ca", "adopt", "pumps", "--take-over", "--yes"]
    try:
        with record_calls(monkeypatch) as read:
            code, said = operators.run("read", ["ca", "adopt", "pumps"], capsys)
        assert (code, REFUSED in said) == (0, False), said
        assert REFUSED in operators.run("read", order, capsys)[1]
        with record_calls(monkeypatch) as calls:
            _, said = operators.run("cas", order, capsys)
        assert "AWS IoT has kept the template on CA pumps" in said
    finally:
        for who in ("read", "cas"):
            file = workspace / f"{who}.toml"
            file.write_text(file.read_text(encoding="utf-8").replace(block, ""), encoding="utf-8")
        iot.delete_topic_rule(ruleName="jitr_acme__pumps")
    assert held_against("read", read, operators) == []
    assert held_against("cas", calls, operators) == []
    assert {operation for _, operation, _ in read} >= {"DescribeProvisioningTemplate", "GetPolicy"}
    assert "UpdateCACertificate" in {operation for _, operation, _ in calls}
