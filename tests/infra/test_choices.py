"""What a fleet may choose for its stacks: [stack], existing types and groups, CAs that the stack registers."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

import jitr_cdk.asset
from jitr_cdk.asset import ROOT
from jitr_cdk.stage import AccountStacks, RegionStack
from jitr_cdk.target import AWS, local
from jitr_fleet.model import Fleet
from jitr_fleet.resources import LIVE
from tests.infra.conftest import Stacks, Synthesized, synthesized
from tests.infra.test_permissions import problems, resolved, statements
from tests.support.fleet.drafts import Draft, Issuer

Changed = Callable[[str], Stacks]

EVERYTHING = """
[stack]
tags = { team = "iot", "cost centre" = "4711" }
permission_boundary = "arn:<partition>:iam::<account>:policy/boundary"
termination_protection = true
iot_logging = "warn"
snap_start = true
kms_key = "arn:<partition>:kms:<region>:<account>:alias/jitr"
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """The stacks where everything is chosen, for tests that only read them."""
    draft = Draft(tmp_path_factory.mktemp("everything"), Issuer())
    draft.text += f"\n{EVERYTHING}"
    return synthesized(draft.load(), AWS)


def region_stacks(fleet: Fleet) -> list[RegionStack]:
    app = cdk.App()
    accounts = [AccountStacks(app, fleet=fleet, account=account, target=AWS) for account in fleet.accounts]
    return [one for account in accounts for one in account.node.children if isinstance(one, RegionStack)]


def test_tags_and_termination_protection_are_the_stacks(draft: Draft) -> None:
    draft.text += EVERYTHING
    for stack in region_stacks(draft.load()):
        assert stack.termination_protection
        assert stack.tags.tag_values() == {"team": "iot", "cost centre": "4711"}


def test_every_role_has_the_boundary_and_none_without_one(everything: Stacks, production: Synthesized) -> None:
    roles = everything["prod/us-east-1"].of_type("AWS::IAM::Role")

    assert len(roles) == 5
    for role in roles:
        assert ":iam::222222222222:policy/boundary" in json.dumps(role["Properties"]["PermissionsBoundary"])
    assert not [one for one in production.of_type("AWS::IAM::Role") if "PermissionsBoundary" in one["Properties"]]


def test_aws_iots_log_level_is_left_alone_unless_it_is_chosen(everything: Stacks, production: Synthesized) -> None:
    logging = everything["prod/us-east-1"].one("AWS::IoT::Logging")

    assert logging["DefaultLogLevel"] == "WARN"
    assert not production.of_type("AWS::IoT::Logging")


@pytest.mark.parametrize(("level", "said"), [("off", "DISABLED"), ("error", "ERROR"), ("debug", "DEBUG")])
def test_a_log_level_is_written_as_aws_writes_it(changed: Changed, level: str, said: str) -> None:
    stack = changed(f'[stack]\niot_logging = "{level}"\n')["dev/eu-central-1"]

    assert stack.one("AWS::IoT::Logging")["DefaultLogLevel"] == said


def test_nothing_of_the_log_level_is_left_behind_to_be_in_the_next_stacks_way(everything: Stacks) -> None:
    """CloudFormation makes it only where AWS IoT logs nothing; and without its role, it would write nothing."""
    stack = everything["prod/us-east-1"]
    (logging,) = stack.of_type("AWS::IoT::Logging")
    role = stack.template.to_json()["Resources"][logging["Properties"]["RoleArn"]["Fn::GetAtt"][0]]

    assert "DeletionPolicy" not in logging
    assert "DeletionPolicy" not in role


def test_the_local_aws_which_does_not_know_it_is_left_without_a_log_level(draft: Draft) -> None:
    draft.text += EVERYTHING
    assert not synthesized(draft.load(), local())["dev/eu-central-1"].of_type("AWS::IoT::Logging")


def test_where_it_is_chosen_register_starts_from_a_snapshot_and_events_go_to_what_has_one(
    everything: Stacks, production: Synthesized
) -> None:
    stack = everything["prod/us-east-1"]
    alias, version = stack.one("AWS::Lambda::Alias"), stack.one("AWS::Lambda::Version")
    (mapping,) = stack.of_type("AWS::Lambda::EventSourceMapping")
    (alias_id,) = stack.template.find_resources("AWS::Lambda::Alias")

    snapshots = {
        one["Properties"]["FunctionName"]: one["Properties"].get("SnapStart")
        for one in stack.of_type("AWS::Lambda::Function")
    }
    assert snapshots == {"jitr-acme-register": {"ApplyOn": "PublishedVersions"}, "jitr-acme-sweep": None}
    assert (alias["Name"], alias["FunctionVersion"]["Fn::GetAtt"][1]) == (LIVE, "Version")
    assert "Register" in json.dumps(version["FunctionName"])
    assert alias_id in json.dumps(mapping["Properties"]["FunctionName"])
    assert not production.of_type("AWS::Lambda::Version")


def test_other_rules_make_another_version_for_the_snapshot(changed: Changed, draft: Draft) -> None:
    first = changed(EVERYTHING)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")
    draft.replace('minimum_remaining_life = "30d"', 'minimum_remaining_life = "31d"')
    second = synthesized(draft.load(), AWS)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")

    assert set(first) != set(second)


def test_another_layer_makes_another_version_for_the_snapshot(
    changed: Changed, draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever feature flags the app runs with: a mended dependency has to reach what runs."""
    first = changed(EVERYTHING)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")
    wheels = tmp_path / "wheels" / AWS.wheels
    wheels.mkdir(parents=True)
    with zipfile.ZipFile(wheels / "mended-2.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("mended.py", "")
    monkeypatch.setattr(jitr_cdk.asset, "WHEELS", wheels.parent)
    monkeypatch.setattr(jitr_cdk.asset, "BUILD", tmp_path / "build")
    second = synthesized(draft.load(), AWS)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")

    assert set(first) != set(second)


@pytest.mark.parametrize(("everywhere", "here", "others"), [("true", "false", True), ("false", "true", False)])
def test_an_account_may_choose_on_its_own_whether_there_are_snapshots(
    draft: Draft, everywhere: str, here: str, *, others: bool
) -> None:
    draft.text += f"\n[stack]\nsnap_start = {everywhere}\n"
    draft.replace('profile = "acme-dev"', f'profile = "acme-dev"\nsnap_start = {here}')
    stacks = synthesized(draft.load(), AWS)

    assert bool(stacks["dev/eu-central-1"].of_type("AWS::Lambda::Version")) is not others
    assert bool(stacks["prod/us-east-1"].of_type("AWS::Lambda::Version")) is others


def test_the_local_aws_takes_no_snapshots(draft: Draft) -> None:
    draft.text += EVERYTHING
    stack = synthesized(draft.load(), local())["dev/eu-central-1"]

    assert not stack.of_type("AWS::Lambda::Alias")
    assert not [one for one in stack.of_type("AWS::Lambda::Function") if "SnapStart" in one["Properties"]]


def test_whatever_is_chosen_least_privilege_holds(everything: Stacks) -> None:
    for stack in everything.values():
        assert problems(stack) == []


OWN_KEY = 'kms_key = "arn:aws:kms:eu-central-1:111111111111:key/0123abcd-0000-0000-0000-000000000000"'
# Where each kind of resource that can be encrypted with a key of one's own says which.
ENCRYPTED_BY = {
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::DynamoDB::GlobalTable": ("Replicas", 0, "SSESpecification", "KMSMasterKeyId"),
    "AWS::S3::Bucket": (
        "BucketEncryption",
        "ServerSideEncryptionConfiguration",
        0,
        "ServerSideEncryptionByDefault",
        "KMSMasterKeyID",
    ),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::Lambda::Function": ("KmsKeyArn",),
}


def keys_of(stack: Synthesized) -> list[Any]:
    """The key of each resource that can have one, resolved; None where it has none."""
    found = []
    for kind, path in ENCRYPTED_BY.items():
        for resource in stack.of_type(kind):
            value: Any = resource["Properties"]
            for step in path:
                value = value[step] if isinstance(step, int) else (value or {}).get(step)
            found.append(value and resolved(value, stack.template.to_json()))
    return found


ALIAS = "arn:<partition>:kms:<region>:<account>:alias/jitr"
ONE_KEY = "arn:<partition>:kms:<region>:<account>:key/0123abcd-0000-0000-0000-000000000000"
MANY_REGIONS = "arn:<partition>:kms:<region>:<account>:key/mrk-0123456789abcdef0123456789abcdef"
# The table in docs/fleet.md, "A key of your own", row by row: how the key is written for an account, and whether the
# functions' environments are under it; the queues, tables, bucket and logs always are.
KEY_TABLE = [
    ("alias, own account", "dev", ALIAS, False),
    ("alias, own account", "prod", ALIAS, False),
    ("key, own account", "dev", ONE_KEY, True),
    ("multi-Region key, own account", "prod", MANY_REGIONS, True),
]
ACCOUNTS = ("own account", "another account")
FOREIGN = "333333333333"


def with_key(draft: Draft, account: str, written: str) -> Fleet:
    draft.replace(f"[account.{account}]", f'[account.{account}]\nkms_key = "{written}"')
    return draft.load()


@pytest.mark.parametrize(("row", "account", "written", "environments"), KEY_TABLE)
def test_what_a_key_encrypts_is_what_the_table_says(
    draft: Draft,
    row: str,
    account: str,
    written: str,
    environments: bool,  # noqa: FBT001 -- a row of the table
) -> None:
    fleet = with_key(draft, account, written)
    one = next(one for one in fleet.accounts if one.name == account)
    for region in one.regions:
        stack = synthesized(fleet, AWS)[f"{account}/{region}"]
        arn = written.replace("<partition>", "aws").replace("<region>", region).replace("<account>", one.id)
        keys = keys_of(stack)
        functions, others = keys[-2:], keys[:-2]
        assert others == [arn] * 8, "three queues, two tables, the bucket, two logs"
        assert functions == [arn if environments else None] * 2
    assert f"| {row} |" in (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


REFUSED_KEYS = [
    ("alias, another account", f"arn:aws:kms:<region>:{FOREIGN}:alias/jitr"),
    ("key, another account", f"arn:aws:kms:<region>:{FOREIGN}:key/0123abcd-0000-0000-0000-000000000000"),
    ("multi-Region key, another account", f"arn:aws:kms:<region>:{FOREIGN}:key/mrk-{'0' * 32}"),
]


def test_every_row_of_the_table_of_keys_is_synthesized_or_refused_here() -> None:
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    section = page.partition("## A key of your own")[2].partition("\n## ")[0]
    rows = {line.split("|")[1].strip() for line in section.splitlines() if "account |" in line}

    assert rows == {row for row, *_ in KEY_TABLE} | {row for row, _ in REFUSED_KEYS}
    assert rows == {f"{written}, {of}" for written in ("alias", "key", "multi-Region key") for of in ACCOUNTS}


@pytest.mark.parametrize(("row", "written"), REFUSED_KEYS)
def test_a_key_of_another_account_is_refused_as_the_table_says(draft: Draft, row: str, written: str) -> None:
    draft.replace("[account.dev]", f'[account.dev]\nkms_key = "{written}"')
    assert "stages in 111111111111 use it" in draft.problem()[1]
    assert f"| {row} | refused" in (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


def test_no_property_that_takes_a_keys_arn_alone_gets_an_alias(everything: Stacks) -> None:
    """By CloudFormation's schemas, whose format says which properties take an alias too."""
    stack = everything["prod/us-east-1"]
    aliased: set[str] = set()
    for kind, path in ENCRYPTED_BY.items():
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        takes_alias = "Alias" in json.dumps(
            schema["properties"][path[0]] if len(path) == 1 else schema["definitions"], default=str
        )
        for resource in stack.of_type(kind):
            if ":alias/" in json.dumps(resource["Properties"]):
                aliased.add(kind)
                assert takes_alias, kind
    assert aliased == ENCRYPTED_BY.keys() - {"AWS::Lambda::Function"}


def test_without_a_choice_nothing_asks_kms(production: Synthesized) -> None:
    assert set(keys_of(production)) == {None}
    assert "kms:" not in json.dumps(production.template.to_json())


def test_an_account_may_have_a_key_of_its_own(draft: Draft) -> None:
    draft.text += EVERYTHING
    draft.replace('profile = "acme-dev"', f'profile = "acme-dev"\n{OWN_KEY}')
    stack = synthesized(draft.load(), AWS)["dev/eu-central-1"]

    assert set(keys_of(stack)) == {OWN_KEY.partition('"')[2].rstrip('"')}
    for statement in stack.statements("UseKey"):
        assert "Condition" not in statement
        assert resolved(statement["Resource"], {}) in keys_of(stack)


def test_roles_use_the_key_for_what_they_do_and_by_its_alias_alone(everything: Stacks) -> None:
    stack = everything["prod/us-east-1"]
    roles = {role: statement for role, statement in statements(stack) if statement["Sid"] == "UseKey"}

    assert {role.rstrip("0123456789ABCDEF"): one["Action"] for role, one in roles.items()} == {
        "RegistrationRegisterRole": ["kms:Decrypt", "kms:GenerateDataKey"],
        "RegistrationRuleRole": ["kms:Decrypt", "kms:GenerateDataKey"],
        "SweepingSweepRole": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    for one in roles.values():
        assert resolved(one["Resource"], {}).endswith(":key/*")
        assert one["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/jitr"}}


def test_types_and_groups_that_are_there_already_are_not_created(draft: Draft) -> None:
    draft.replace('thing_type = "sensor"', 'thing_type = "sensor"\nexisting = true')
    stack = synthesized(draft.load(), AWS)["prod/us-east-1"]

    assert not stack.of_type("AWS::IoT::ThingType")
    assert not stack.of_type("AWS::IoT::ThingGroup")
    (join,) = stack.statements("JoinGroups")
    assert "thinggroup/sensors" in json.dumps(join["Resource"]), "devices join them all the same"


def by_the_stack(draft: Draft) -> Stacks:
    draft.replace('policy = "device.json"', 'policy = "device.json"\nregistered_by = "stack"')
    return synthesized(draft.load(), AWS)


def test_by_default_no_stack_registers_a_ca(production: Synthesized) -> None:
    assert not production.of_type("AWS::IoT::CACertificate")


def test_an_account_may_say_on_its_own_who_registers_a_ca(draft: Draft) -> None:
    """So that one account's stack can let go of it, to change its mode, and the others' keep it."""
    draft.replace('"dev.pem"', '"dev.pem", registered_by = "jitrctl"')
    stacks = by_the_stack(draft)

    assert not stacks["dev/eu-central-1"].of_type("AWS::IoT::CACertificate")
    assert stacks["prod/us-east-1"].of_type("AWS::IoT::CACertificate")


def test_sni_only_mode_needs_the_public_certificate_alone(draft: Draft) -> None:
    ca = by_the_stack(draft)["prod/us-east-1"].one("AWS::IoT::CACertificate")

    assert ca["CACertificatePem"] == draft.load().cas[0].certificate_pem
    assert (ca["Status"], ca["AutoRegistrationStatus"]) == ("ACTIVE", "ENABLE")
    assert "VerificationCertificatePem" not in ca


def parameter(stack: Synthesized, reference: dict[str, str]) -> dict[str, Any]:
    """The parameter that a property refers to."""
    return dict(stack.template.to_json()["Parameters"][reference["Ref"]])


def test_default_mode_proves_possession_of_the_key_with_what_the_ca_was_first_registered_with(draft: Draft) -> None:
    """AWS IoT asks for it once: a parameter, which later deployments hand on, so that a renewed one changes nothing."""
    stack = by_the_stack(draft)["dev/eu-central-1"]
    proof = parameter(stack, stack.one("AWS::IoT::CACertificate")["VerificationCertificatePem"])

    assert proof["Default"] == draft.load().accounts[0].cas[0].verification_certificate_pem
    assert not {key for key in proof if key.startswith("Allowed")}, "any later one is as good"


def test_another_certificate_under_a_cas_name_is_another_ca_and_inherits_nothing(draft: Draft) -> None:
    first = by_the_stack(draft)["dev/eu-central-1"].template.to_json()
    draft.issuer = Issuer()
    draft.write("factory.pem", draft.issuer.certificate())
    draft.write("dev.pem", draft.issuer.verification())
    second = synthesized(draft.load(), AWS)["dev/eu-central-1"].template.to_json()

    assert len(of_the_ca(first)) == 3
    assert not of_the_ca(first) & of_the_ca(second)


def of_the_ca(template: Mapping[str, Any]) -> set[str]:
    """The logical ids of the CA and of its parameters."""
    cas = {name: one for name, one in template["Resources"].items() if one["Type"] == "AWS::IoT::CACertificate"}
    return {*cas, *(name for name in template["Parameters"] if f'"{name}"' in json.dumps(cas))}


def test_a_ca_under_another_name_is_the_same_one_and_is_not_registered_again(draft: Draft) -> None:
    """With another logical id CloudFormation would register the certificate a second time, in mid-update."""
    first = by_the_stack(draft)["dev/eu-central-1"].template.to_json()
    draft.text = draft.text.replace("ca.factory", "ca.plant")
    second = synthesized(draft.load(), AWS)["dev/eu-central-1"].template.to_json()

    assert len(of_the_ca(first)) == 3
    assert of_the_ca(first) == of_the_ca(second)


def needed_by(resources: Mapping[str, Any], logical_id: str) -> set[str]:
    """Every resource that CloudFormation makes before this one."""
    before: set[str] = set()
    ahead = [logical_id]
    while ahead:
        resource = resources[ahead.pop()]
        named = json.dumps([resource.get("DependsOn", []), resource.get("Properties", {})])
        found = {name for name in resources if f'"{name}"' in named} - before
        before |= found
        ahead += found
    return before


def test_cas_are_registered_after_everything_else_one_after_the_other_and_outlive_the_stack(draft: Draft) -> None:
    """What fails in the operation that registers a CA would have it deleted, with devices in by then."""
    draft.write("other.pem", Issuer("Other CA").certificate())
    other = '[ca.other]\ncertificate = "other.pem"\ncommon_name = ".*"\nregistered_by = "stack"\n'
    draft.replace("[sweep]", f"{other}\n[sweep]")
    draft.replace('profile = "acme-dev"', 'profile = "acme-dev"\nca.other = { mode = "SNI_ONLY" }')
    draft.text += EVERYTHING + '\n[hub]\naccount = "dev"\n'
    resources = by_the_stack(draft)["dev/eu-central-1"].template.to_json()["Resources"]
    cas = {name for name, one in resources.items() if one["Type"] == "AWS::IoT::CACertificate"}

    before = {name: needed_by(resources, name) for name in cas}

    assert sorted(map(len, before.values())) == [len(resources) - 2, len(resources) - 1]
    for name, made in before.items():
        assert made - cas == set(resources) - cas, name
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resources[name]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(("stage", "mode"), [("dev/eu-central-1", "DEFAULT"), ("prod/us-east-1", "SNI_ONLY")])
def test_another_mode_is_refused_before_anything_is_touched(draft: Draft, stage: str, mode: str) -> None:
    """The CDK CLI hands the deployed stack's parameters on, and only this stage's mode is allowed."""
    synthesized_stage = by_the_stack(draft)[stage]
    allowed = parameter(synthesized_stage, synthesized_stage.one("AWS::IoT::CACertificate")["CertificateMode"])

    assert (allowed["Default"], allowed["AllowedPattern"]) == (mode, mode)
    assert 'registered_by = "jitrctl"' in allowed["ConstraintDescription"]
    assert "`jitrctl ca switch-mode`" in allowed["ConstraintDescription"]


CHINA_AND_GOVERNMENT = """
[account.cn]
id = "333333333333"
regions = ["cn-north-1", "cn-northwest-1"]
ca.factory = { mode = "SNI_ONLY" }

[account.gov]
id = "444444444444"
regions = ["us-gov-west-1"]
ca.factory = { mode = "SNI_ONLY" }
"""


@pytest.mark.parametrize(("stage", "partition"), [("cn/cn-north-1", "aws-cn"), ("gov/us-gov-west-1", "aws-us-gov")])
def test_other_partitions_arns_are_right(draft: Draft, stage: str, partition: str) -> None:
    draft.text += CHINA_AND_GOVERNMENT + EVERYTHING
    stack = synthesized(draft.load(), AWS)[stage]

    assert not stack.of_type("AWS::Lambda::Version"), "Lambda has no snapshots there"
    assert "arn:aws" not in json.dumps(stack.template.to_json()), "the partition is always CloudFormation's own"
    assert problems(stack) == []
    trusts = json.dumps([one["Properties"]["AssumeRolePolicyDocument"] for one in stack.of_type("AWS::IAM::Role")])
    assert set(json.loads(f"[{','.join(_services(trusts))}]")) == {
        "iot.amazonaws.com",
        "lambda.amazonaws.com",
        "scheduler.amazonaws.com",
    }, partition


def _services(trusts: str) -> list[str]:
    return [json.dumps(one["Principal"]["Service"]) for trust in json.loads(trusts) for one in trust["Statement"]]


# Properties that name a resource within its account and Region (a dashboard: within its account).
NAMED_BY = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::GlobalTable": "TableName",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IoT::Policy": "PolicyName",
    "AWS::IoT::TopicRule": "RuleName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
}


def named(stack: Synthesized) -> set[tuple[str, str]]:
    return {(kind, resource["Properties"][key]) for kind, key in NAMED_BY.items() for resource in stack.of_type(kind)}


@pytest.mark.parametrize(
    "other",
    ["acme-registry", "acme-dead", "acme-dead-letters", "acme-sweep", "acme-factory", "acme-hub", "acme-to", "acm"],
)
def test_two_fleets_in_one_account_share_no_name(draft: Draft, other: str) -> None:
    draft.text += '\n[hub]\naccount = "dev"\n'
    first = synthesized(draft.load(), AWS)["dev/eu-central-1"]
    draft.replace('name = "acme"', f'name = "{other}"')
    second = synthesized(draft.load(), AWS)["dev/eu-central-1"]

    assert named(first)
    assert not named(first) & named(second)


def test_every_resource_whose_name_is_fixed_is_in_the_comparison(draft: Draft) -> None:
    draft.text += '\n[hub]\naccount = "dev"\n'
    template = synthesized(draft.load(), AWS)["dev/eu-central-1"].template.to_json()
    fixed = {
        one["Type"]
        for one in template["Resources"].values()
        if {key for key in one.get("Properties", {}) if key == "Name" or key.endswith("Name")}
        & {*NAMED_BY.values(), "ThingTypeName", "ThingGroupName"}
    }

    # Types and groups are shared by name on purpose: the second fleet says existing = true.
    assert fixed - {"AWS::IoT::ThingType", "AWS::IoT::ThingGroup", "AWS::Lambda::EventSourceMapping"} == set(NAMED_BY)


def test_what_stages_share_is_one_asset(stacks: Mapping[str, Any]) -> None:
    layers = {stack.one("AWS::Lambda::LayerVersion")["Content"]["S3Key"] for stack in stacks.values()}

    assert len(layers) == 1
