"""What `cdk deploy` would do, read from the templates of the example fleet."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from jitr.aws.rate_limit import max_concurrency_for
from jitr.registration.redelivery import PUT_OFFS_UNTIL_LEFT, RECEIVES_UNTIL_DEAD, RECEIVES_UNTIL_LEFT
from jitr.rules import Rules
from jitr.settings import Settings
from jitr_cdk.target import LocalDifference
from jitr_fleet.model import Fleet
from tests.support.infra.fleet_options import EVERYTHING
from tests.support.infra.synthesis import NAMES


def test_there_is_a_stack_for_every_account_and_region(stacks: dict[str, Any]) -> None:
    assert sorted(stacks) == ["dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"]


def test_the_rule_sends_pending_registrations_of_its_ca_to_the_queue(production: Any, fleet: Fleet) -> None:
    rule = production.one("AWS::IoT::TopicRule", RuleName="jitr_acme__factory")["TopicRulePayload"]

    ca_id = fleet.cas[0].certificate_id
    assert rule["Sql"] == (
        f"SELECT * FROM '$aws/events/certificates/registered/{ca_id}' WHERE certificateStatus = 'PENDING_ACTIVATION'"  # noqa: S608 -- IoT SQL
    )
    assert rule["AwsIotSqlVersion"] == "2016-03-23"
    (action,) = rule["Actions"]
    assert "Registrations" in json.dumps(action["Sqs"]["QueueUrl"])
    assert "Undelivered" in json.dumps(rule["ErrorAction"]["Sqs"]["QueueUrl"])


def test_only_this_fleets_rules_in_this_account_may_take_the_rule_role(production: Any) -> None:
    (trust,) = [
        role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for role in production.of_type("AWS::IAM::Role")
        if "iot.amazonaws.com" in json.dumps(role["Properties"]["AssumeRolePolicyDocument"])
    ]

    assert trust[0]["Condition"]["StringEquals"] == {"aws:SourceAccount": "222222222222"}
    assert json.dumps(trust[0]["Condition"]["ArnLike"]["aws:SourceArn"]).count("rule/jitr_acme__*") == 1
    assert "ArnEquals" not in trust[0]["Condition"]


def test_the_rule_role_may_send_to_the_two_queues_and_nothing_else(production: Any) -> None:
    (statement,) = production.statements("Deliver")

    assert statement["Action"] == "sqs:SendMessage"
    assert len(statement["Resource"]) == 2


def test_queues_are_encrypted_and_keep_messages_long_enough(production: Any) -> None:
    days = {queue["Properties"]["QueueName"]: queue["Properties"] for queue in production.of_type("AWS::SQS::Queue")}

    assert {name: queue["MessageRetentionPeriod"] // 86_400 for name, queue in days.items()} == {
        NAMES.registrations_queue: 4,
        NAMES.dead_letter_queue: 14,
        NAMES.undelivered_queue: 14,
        NAMES.crl_queue: 14,
        NAMES.crl_dead_letter_queue: 14,
    }
    assert all(queue["SqsManagedSseEnabled"] for queue in days.values())


@pytest.mark.parametrize(
    ("queue", "function"),
    [(NAMES.registrations_queue, NAMES.register_function), (NAMES.crl_queue, NAMES.revoke_function)],
)
def test_a_message_stays_invisible_for_six_times_the_functions_timeout(
    production: Any, queue: str, function: str
) -> None:
    made = production.one("AWS::SQS::Queue", QueueName=queue)
    invoked = production.one("AWS::Lambda::Function", FunctionName=function)

    assert made["VisibilityTimeout"] >= 6 * invoked["Timeout"]


def test_the_queues_own_receive_limit_is_out_of_the_functions_way(production: Any) -> None:
    queue = production.one("AWS::SQS::Queue", QueueName=NAMES.registrations_queue)

    limit, visibility = queue["RedrivePolicy"]["maxReceiveCount"], queue["VisibilityTimeout"]
    assert limit == 1000
    # No bound of the function's comes near it, or outlives the message.
    assert RECEIVES_UNTIL_LEFT < PUT_OFFS_UNTIL_LEFT < RECEIVES_UNTIL_DEAD <= limit / 2
    assert queue["MessageRetentionPeriod"] > 900 * RECEIVES_UNTIL_LEFT
    assert queue["MessageRetentionPeriod"] > visibility * RECEIVES_UNTIL_DEAD


def test_queues_refuse_plain_http(production: Any) -> None:
    policies = json.dumps(production.of_type("AWS::SQS::QueuePolicy"))

    assert policies.count('"aws:SecureTransport": "false"') == len(production.of_type("AWS::SQS::Queue")) == 5


def test_the_mapping_reports_single_failures_and_bounds_concurrency(production: Any) -> None:
    mapping = production.one("AWS::Lambda::EventSourceMapping", BatchSize=10)

    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": max_concurrency_for(50)}


def test_a_crl_is_a_batch_of_its_own_and_not_done_until_the_function_says_so(production: Any) -> None:
    mapping = production.one("AWS::Lambda::EventSourceMapping", BatchSize=1)

    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_s3s_events_about_crls_go_to_the_queue_of_revoke_and_no_other_ones(production: Any) -> None:
    bucket = production.one("AWS::S3::Bucket", BucketName="jitr-acme-crl-222222222222-eu-central-1")
    rule = production.one("AWS::Events::Rule", Name=NAMES.crl_rule)

    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["jitr-acme-crl-222222222222-eu-central-1"]},
            "object": {"key": [{"prefix": "crl/"}]},
        },
    }
    policies = json.dumps(production.of_type("AWS::SQS::QueuePolicy"))
    assert policies.count('"Service": "events.amazonaws.com"') == policies.count(f"rule/{NAMES.crl_rule}") == 1


def test_on_the_local_aws_few_environments_work_at_once_and_know_it(on_local_aws: Any) -> None:
    function = on_local_aws.one("AWS::Lambda::Function", FunctionName=NAMES.register_function)
    mapping = on_local_aws.one("AWS::Lambda::EventSourceMapping", BatchSize=10)

    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 4}
    assert function["Environment"]["Variables"]["JITR_MAX_CONCURRENCY"] == "4"


def test_the_functions_environment_reads_back_as_its_settings(production: Any) -> None:
    variables = production.one("AWS::Lambda::Function", FunctionName=NAMES.register_function)["Environment"][
        "Variables"
    ]

    settings = Settings.from_environ({name: json.dumps(value) for name, value in variables.items()} | variables)

    assert settings.fleet == "acme"
    assert settings.account_id == "222222222222"
    assert settings.region == "eu-central-1"
    assert (settings.activations_per_second, settings.max_concurrency) == (50, max_concurrency_for(50))


def test_each_stages_asset_holds_that_stages_rules(stacks: dict[str, Any], fleet: Fleet) -> None:
    modes = {}
    for account in fleet.accounts:
        for region in account.regions:
            stack = stacks[f"{account.name}/{region}"]
            function = stack.one("AWS::Lambda::Function", FunctionName=NAMES.register_function)
            rules = Rules.load(stack.asset(function["Code"]["S3Key"]))
            assert rules == fleet.rules(account, region)
            modes[account.name] = rules.cas[0].certificate_mode

    assert modes == {"dev": "DEFAULT", "prod": "SNI_ONLY"}


def test_the_device_policy_names_this_account_and_leaves_iots_own_variables(production: Any) -> None:
    policy = json.dumps(production.one("AWS::IoT::Policy", PolicyName="jitr-acme--factory")["PolicyDocument"])

    assert "222222222222" in policy
    assert "eu-central-1" in policy
    assert "${iot:Connection.Thing.ThingName}" in policy
    assert "<" not in policy


def test_what_devices_depend_on_outlives_the_stack(production: Any) -> None:
    kept = {
        "AWS::DynamoDB::GlobalTable": {"Retain", "RetainExceptOnCreate"},
        "AWS::IoT::Policy": {"RetainExceptOnCreate"},
        "AWS::S3::Bucket": {"RetainExceptOnCreate"},
        "AWS::IoT::ThingType": {"RetainExceptOnCreate"},
        "AWS::IoT::ThingGroup": {"RetainExceptOnCreate"},
    }

    for resource_type, policies in kept.items():
        assert {resource["DeletionPolicy"] for resource in production.of_type(resource_type)} == policies


# CloudFormation does not find these by itself: the id by which it knows one is no property of the template.
TAKEN_BY_HAND = {"AWS::IoT::Policy"}


@pytest.mark.parametrize("more", ["", EVERYTHING, f'{EVERYTHING}\n[hub]\naccount = "prod"\nregion = "us-east-1"\n'])
def test_a_new_stack_can_take_over_what_the_last_one_left(changed: Callable[[str], dict[str, Any]], more: str) -> None:
    """`cdk import`, then `cdk deploy --import-existing-resources` (docs/deploy.md), by what AWS asks of both.

    CloudFormation user guide, "Import AWS resources into a CloudFormation stack automatically": retained, and with a
    name that is written out, which is the type's primary identifier and not read-only. CDK guide, "cdk import": what
    depends on something else cannot be imported alone.
    """
    template = changed(more)["prod/us-east-1"].template.to_json()
    kept = {name: one for name, one in template["Resources"].items() if one.get("DeletionPolicy", "Delete") != "Delete"}
    by_hand = set()
    for logical_id, resource in kept.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", resource["Type"]).schema
        identifier, read_only = schema["primaryIdentifier"], schema.get("readOnlyProperties", [])
        names = [resource["Properties"].get(pointer.rpartition("/")[2]) for pointer in identifier]
        if set(identifier) & set(read_only):
            by_hand.add(resource["Type"])
            assert "DependsOn" not in resource, logical_id
            referred = set(re.findall(r'"Ref": "([^"]+)"', json.dumps(resource)))
            assert all(name.startswith("AWS::") for name in referred), logical_id
            assert "Fn::GetAtt" not in json.dumps(resource), logical_id
        else:
            assert all(isinstance(name, str) for name in names), logical_id

    assert len(kept) == (8 if "[hub]" in more else 7)
    assert by_hand == TAKEN_BY_HAND


def test_functions_run_on_arm64_and_python_3_13(production: Any) -> None:
    for function in production.of_type("AWS::Lambda::Function"):
        assert function["Properties"]["Architectures"] == ["arm64"]
        assert function["Properties"]["Runtime"] == "python3.13"


def test_logs_are_not_kept_for_ever(production: Any) -> None:
    groups = {
        group["Properties"]["LogGroupName"]: group["Properties"] for group in production.of_type("AWS::Logs::LogGroup")
    }

    functions = (NAMES.register_function, NAMES.revoke_function, NAMES.sweep_function)
    assert set(groups) == {NAMES.log_group(one) for one in functions}
    assert {group["RetentionInDays"] for group in groups.values()} == {90}


def test_only_this_accounts_schedules_may_take_the_schedules_role(production: Any) -> None:
    (trust,) = [
        role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
        for role in production.of_type("AWS::IAM::Role")
        if "scheduler.amazonaws.com" in json.dumps(role["Properties"]["AssumeRolePolicyDocument"])
    ]

    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "222222222222"}
    assert "schedule-group/default" in json.dumps(trust["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_the_sweep_runs_on_the_fleets_schedule(production: Any) -> None:
    schedule = production.one("AWS::Scheduler::Schedule", Name=NAMES.sweep_schedule)

    assert schedule["ScheduleExpression"] == "rate(15 minutes)"


def test_production_has_nothing_of_the_local_aws(production: Any, on_local_aws: Any) -> None:
    for sid, functions in (
        (LocalDifference.OTHER_ARNS_CHECKED.value, 3),
        (LocalDifference.BATCH_ACTIONS_CHECKED.value, 2),
    ):
        assert production.statements(sid) == []
        assert len(on_local_aws.statements(sid)) == functions, "one for each function that needs it"


def test_arns_are_partition_safe(production: Any) -> None:
    assert "arn:aws:" not in json.dumps(production.template.to_json())
