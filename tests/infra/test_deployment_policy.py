"""policies/deployment.json: enough for CloudFormation's execution role to make, change and delete every stack."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from jitr_cdk.asset import ROOT
from jitr_cdk.target import AWS
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.fleet_options import EVERYTHING
from tests.support.infra.least_privilege import as_list
from tests.support.infra.synthesis import Stacks, Synthesized

POLICY = ROOT / "policies" / "deployment.json"
LONGEST = 6144  # of a managed policy, without white space
# What CloudFormation's handlers may call and do not for these templates, by the feature that asks for it.
NOT_USED = {
    "application-autoscaling:*": "provisioned capacity",
    "cloudwatch:PutMetricData": "not for alarms on metrics that are there",
    "codedeploy:*": "aliases that CodeDeploy shifts",
    "dynamodb:BatchWriteItem": "imports and replicas",
    "dynamodb:*Item": "imports and replicas",
    "dynamodb:Query": "imports and replicas",
    "dynamodb:Scan": "imports and replicas",
    "dynamodb:*KinesisStreamingDestination": "streams",
    "ec2:*": "functions in a VPC",
    "elasticfilesystem:*": "functions with a file system",
    "firehose:*": "log delivery",
    "iam:CreateServiceLinkedRole": "replicas",
    "kinesis:*": "streams",
    "kms:GenerateDataKeyWithoutPlaintext": "replicas",
    "lambda:*CodeSigningConfig": "code signing",
    "lambda:AssociateRuntimeAlias": "runtimes that are pinned",
    "lambda:ListVersionsByFunction": "functions from container images",
    "lambda:PassCapacityProvider": "managed instances",
    "logs:*DataProtectionPolicy": "data protection",
    "logs:*LogDelivery": "log delivery",
    "logs:*ResourcePolicy": "log delivery",
    "logs:DescribeResourcePolicies": "log delivery",
    "logs:PutBearerTokenAuthentication": "bearer tokens",
    "s3:*Object*": "objects, and object lock",
    "s3:REST.PUT.OBJECT": "objects",
    "s3files:*": "functions with a file system",
    "s3tables:*": "metadata tables",
    "s3:UpdateBucketMetadata*": "metadata tables",
}
# Of these, AWS IoT asks for TagResource on what they create: every resource of a stack has tags.
CREATED_WITH_TAGS = (
    "iot:CreateBillingGroup",
    "iot:CreatePolicy",
    "iot:CreateThingGroup",
    "iot:CreateThingType",
    "iot:CreateTopicRule",
    "iot:RegisterCACertificate",
)


def statements() -> list[dict[str, Any]]:
    return [dict(one) for one in json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A stage with everything that a fleet file can ask for."""
    draft = Draft(tmp_path_factory.mktemp("fleet"), Issuer())
    draft.replace('policy = "device.json"', 'policy = "device.json"\nregistered_by = "stack"\nbilling_group = "costs"')
    draft.text += EVERYTHING + '\n[hub]\naccount = "dev"\n'
    return Stacks(draft.load(), AWS)["dev/eu-central-1"]


def needed(stack: Synthesized) -> dict[str, set[str]]:
    """Every action of the handlers of the template's resource types: action → types that ask for it."""
    found: dict[str, set[str]] = {}
    for kind in {one["Type"] for one in stack.template.to_json()["Resources"].values()}:
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", kind).schema
        asked = [
            action
            for handler in ("create", "read", "update", "delete")
            for action in schema["handlers"].get(handler, {}).get("permissions", ())
        ]
        for action in (*asked, *(schema.get("tagging") or {}).get("permissions", ())):
            found.setdefault(action, set()).add(kind)
    return found


def test_the_policy_allows_what_the_handlers_of_every_resource_call(stack: Synthesized) -> None:
    allowed = [pattern for one in statements() for pattern in as_list(one["Action"])]
    missing = {
        action: kinds
        for action, kinds in needed(stack).items()
        if not any(fnmatchcase(action, pattern) for pattern in (*allowed, *NOT_USED))
    }
    assert missing == {}


def test_what_is_left_out_is_something_that_a_handler_asks_for(stack: Synthesized) -> None:
    asked = needed(stack)
    assert [pattern for pattern in NOT_USED if not any(fnmatchcase(action, pattern) for action in asked)] == []


def test_the_bootstrap_version_is_read_and_roles_are_passed_to_four_services_alone() -> None:
    by_sid = {one["Sid"]: one for one in statements()}
    assert by_sid["ReadBootstrapVersion"]["Action"] == ["ssm:GetParameters"]
    assert by_sid["PassRoles"]["Action"] == ["iam:PassRole"]
    (services,) = by_sid["PassRoles"]["Condition"]["StringEquals"].values()
    assert [one.partition(".")[0] for one in services] == ["events", "iot", "lambda", "scheduler"]
    roles = [one for one in statements() for action in one["Action"] if action.startswith("iam:")]
    assert {resource for one in roles for resource in one["Resource"]} == {
        "arn:<partition>:iam::<account>:role/jitr-<fleet>-*"
    }


def test_what_of_aws_iot_a_statement_creates_it_may_also_tag() -> None:
    """Several statements name these actions, each for other resources: if one loses them, another still has them."""
    creating = [
        one
        for one in statements()
        if any(fnmatchcase(action, pattern) for action in CREATED_WITH_TAGS for pattern in one["Action"])
    ]
    assert {one["Sid"] for one in creating} == {"MakeRules", "MakeDevicePolicies", "MakeTypesAndGroups", "RegisterCas"}
    for one in creating:
        assert {"iot:TagResource", "iot:UntagResource"} <= set(one["Action"]), one["Sid"]


def test_the_policy_fits_into_a_managed_policy() -> None:
    assert len("".join(POLICY.read_text(encoding="utf-8").split())) < LONGEST


@pytest.mark.parametrize("fleet", ["acme", "a" * 26])
def test_every_role_is_named_after_its_fleet_however_long_the_name(draft: Draft, fleet: str) -> None:
    """CloudFormation would cut the stack's name short, and no policy could name the role."""
    draft.replace('name = "acme"', f'name = "{fleet}"')
    draft.replace('regions = ["eu-central-1"]', 'regions = ["ap-southeast-2"]')
    draft.text += '[stack]\niot_logging = "warn"\n[hub]\naccount = "dev"\n'
    roles = Stacks(draft.load(), AWS)["dev/ap-southeast-2"].of_type("AWS::IAM::Role")
    names = {one["Properties"]["RoleName"] for one in roles}

    assert len(names) == len(roles) == 8
    for name in names:
        assert name.startswith(f"jitr-{fleet}-")
        assert name.endswith("-ap-southeast-2")
        assert len(name) <= 64
