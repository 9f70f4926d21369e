"""What a fleet may choose for its stacks: [stack], existing types and groups, CAs that the stack registers."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import jitr_cdk.asset
from jitr_cdk.stage import AccountStacks, RegionStack
from jitr_cdk.target import AWS, local
from jitr_fleet.model import Fleet
from jitr_fleet.resources import LIVE
from tests.support.fleet.drafts import Draft
from tests.support.infra.fleet_options import CHINA_AND_GOVERNMENT, EVERYTHING
from tests.support.infra.least_privilege import privilege_problems
from tests.support.infra.synthesis import Stacks, Synthesized, new_app

Changed = Callable[[str], Stacks]


def region_stacks(fleet: Fleet) -> list[RegionStack]:
    app = new_app()
    accounts = [AccountStacks(app, fleet=fleet, account=account, target=AWS) for account in fleet.accounts]
    return [one for account in accounts for one in account.node.children if isinstance(one, RegionStack)]


def test_tags_and_termination_protection_are_the_stacks(draft: Draft) -> None:
    draft.text += EVERYTHING
    for stack in region_stacks(draft.load()):
        assert stack.termination_protection
        assert stack.tags.tag_values() == {"team": "iot", "cost centre": "4711"}


def test_every_role_has_the_boundary_and_none_without_one(everything: Stacks, production: Synthesized) -> None:
    roles = everything["prod/us-east-1"].of_type("AWS::IAM::Role")

    assert len(roles) == 6
    for role in roles:
        assert ":iam::222222222222:policy/boundary" in json.dumps(role["Properties"]["PermissionsBoundary"])
    assert not [one for one in production.of_type("AWS::IAM::Role") if "PermissionsBoundary" in one["Properties"]]


def test_the_rule_of_a_ca_under_a_template_is_disabled_and_all_else_is_as_without_the_key(draft: Draft) -> None:
    def template(stage: str) -> dict[str, Any]:
        return dict(Stacks(draft.load(), AWS)[stage].template.to_json()["Resources"])

    plain, other = template("prod/us-east-1"), template("dev/eu-central-1")
    draft.replace('ca.factory = { mode = "SNI_ONLY" }', 'ca.factory = { mode = "SNI_ONLY", jitp = true }')
    held = template("prod/us-east-1")

    # The functions' code has rules.json in it.
    changed = {name for name in plain.keys() | held.keys() if plain.get(name) != held.get(name)}
    kinds = {held[name]["Type"] for name in changed}
    assert "AWS::IoT::TopicRule" in kinds
    assert kinds <= {"AWS::IoT::TopicRule", "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"}
    (name,) = (name for name in changed if held[name]["Type"] == "AWS::IoT::TopicRule")
    payload = held[name]["Properties"]["TopicRulePayload"]
    assert payload["RuleDisabled"] is True
    assert {key: one for key, one in payload.items() if key != "RuleDisabled"} == plain[name]["Properties"][
        "TopicRulePayload"
    ]
    assert "RuleDisabled" not in json.dumps(other)


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
    assert not Stacks(draft.load(), local())["dev/eu-central-1"].of_type("AWS::IoT::Logging")


def test_where_it_is_chosen_register_starts_from_a_snapshot_and_events_go_to_what_has_one(
    everything: Stacks, production: Synthesized
) -> None:
    stack = everything["prod/us-east-1"]
    alias, version = stack.one("AWS::Lambda::Alias"), stack.one("AWS::Lambda::Version")
    (mapping,) = [
        one
        for one in stack.of_type("AWS::Lambda::EventSourceMapping")
        if "Registrations" in json.dumps(one["Properties"]["EventSourceArn"])
    ]
    (alias_id,) = stack.template.find_resources("AWS::Lambda::Alias")

    snapshots = {
        one["Properties"]["FunctionName"]: one["Properties"].get("SnapStart")
        for one in stack.of_type("AWS::Lambda::Function")
    }
    assert snapshots == {
        "jitr-acme-register": {"ApplyOn": "PublishedVersions"},
        "jitr-acme-revoke": None,
        "jitr-acme-sweep": None,
    }
    assert (alias["Name"], alias["FunctionVersion"]["Fn::GetAtt"][1]) == (LIVE, "Version")
    assert "Register" in json.dumps(version["FunctionName"])
    assert alias_id in json.dumps(mapping["Properties"]["FunctionName"])
    assert not production.of_type("AWS::Lambda::Version")


def test_other_rules_make_another_version_for_the_snapshot(changed: Changed, draft: Draft) -> None:
    first = changed(EVERYTHING)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")
    draft.replace('minimum_remaining_life = "30d"', 'minimum_remaining_life = "31d"')
    second = Stacks(draft.load(), AWS)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")

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
    second = Stacks(draft.load(), AWS)["prod/us-east-1"].template.find_resources("AWS::Lambda::Version")

    assert set(first) != set(second)


@pytest.mark.parametrize(("everywhere", "here", "others"), [("true", "false", True), ("false", "true", False)])
def test_an_account_may_choose_on_its_own_whether_there_are_snapshots(
    draft: Draft, everywhere: str, here: str, *, others: bool
) -> None:
    draft.text += f"\n[stack]\nsnap_start = {everywhere}\n"
    draft.replace('profile = "acme-dev"', f'profile = "acme-dev"\nsnap_start = {here}')
    stacks = Stacks(draft.load(), AWS)

    assert bool(stacks["dev/eu-central-1"].of_type("AWS::Lambda::Version")) is not others
    assert bool(stacks["prod/us-east-1"].of_type("AWS::Lambda::Version")) is others


def test_the_local_aws_takes_no_snapshots(draft: Draft) -> None:
    draft.text += EVERYTHING
    stack = Stacks(draft.load(), local())["dev/eu-central-1"]

    assert not stack.of_type("AWS::Lambda::Alias")
    assert not [one for one in stack.of_type("AWS::Lambda::Function") if "SnapStart" in one["Properties"]]


def test_whatever_is_chosen_least_privilege_holds(everything: Stacks) -> None:
    for stack in everything.values():
        assert privilege_problems(stack) == []


def test_types_and_groups_that_are_there_already_are_not_created(draft: Draft) -> None:
    draft.replace('thing_type = "sensor"', 'thing_type = "sensor"\nexisting = true')
    stack = Stacks(draft.load(), AWS)["prod/us-east-1"]

    assert not stack.of_type("AWS::IoT::ThingType")
    assert not stack.of_type("AWS::IoT::ThingGroup")
    (join,) = stack.statements("JoinGroups")
    assert "thinggroup/sensors" in json.dumps(join["Resource"]), "devices join them all the same"


@pytest.mark.parametrize(("stage", "partition"), [("cn/cn-north-1", "aws-cn"), ("gov/us-gov-west-1", "aws-us-gov")])
def test_other_partitions_arns_are_right(draft: Draft, stage: str, partition: str) -> None:
    draft.text += CHINA_AND_GOVERNMENT + EVERYTHING
    stack = Stacks(draft.load(), AWS)[stage]

    assert not stack.of_type("AWS::Lambda::Version"), "Lambda has no snapshots there"
    assert "arn:aws" not in json.dumps(stack.template.to_json()), "the partition is always CloudFormation's own"
    assert privilege_problems(stack) == []
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
    first = Stacks(draft.load(), AWS)["dev/eu-central-1"]
    draft.replace('name = "acme"', f'name = "{other}"')
    second = Stacks(draft.load(), AWS)["dev/eu-central-1"]

    assert named(first)
    assert not named(first) & named(second)


def test_every_resource_whose_name_is_fixed_is_in_the_comparison(draft: Draft) -> None:
    draft.text += '\n[hub]\naccount = "dev"\n'
    template = Stacks(draft.load(), AWS)["dev/eu-central-1"].template.to_json()
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
