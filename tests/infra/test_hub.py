"""[hub]: what every stage forwards, what the hub takes from whom, and what of it is in no other stage."""

import json
from collections.abc import Mapping

import pytest

from jitr.hub.locations import Homes
from jitr.hub.table import OUT_OF_PLACE_INDEX
from jitr_cdk.target import AWS, local
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.alarm_metrics import RESOURCE_OF_DIMENSION, metrics_of_alarms
from tests.support.infra.least_privilege import arn_text, as_list, privilege_problems, role_statements
from tests.support.infra.lint import lint_findings
from tests.support.infra.synthesis import Stacks, Synthesized

HUB = '\n[hub]\naccount = "prod"\nregion = "us-east-1"\n'
BUS = "arn:aws:events:us-east-1:222222222222:event-bus/jitr-acme-hub"


@pytest.fixture(scope="module")
def draft_with_hub(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    draft = Draft(tmp_path_factory.mktemp("fleet"), Issuer())
    draft.replace('on_reject = "revoke"', 'home = ["prod"]')
    draft.text += HUB
    return draft


@pytest.fixture(scope="module")
def with_hub(draft_with_hub: Draft) -> Mapping[str, Synthesized]:
    return Stacks(draft_with_hub.load(), AWS)


@pytest.fixture(scope="module")
def hub(with_hub: Mapping[str, Synthesized]) -> Synthesized:
    return with_hub["prod/us-east-1"]


def role_of(stack: Synthesized, prefix: str) -> dict[str, set[str]]:
    """What a role allows: Sid → actions."""
    found = {s["Sid"]: set(as_list(s["Action"])) for role, s in role_statements(stack) if role.startswith(prefix)}
    assert found
    return found


@pytest.mark.parametrize("stage", ["dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"])
def test_every_stage_forwards_what_is_decided_and_ordered_to_the_one_bus(
    with_hub: Mapping[str, Synthesized], stage: str
) -> None:
    stack = with_hub[stage]
    template = stack.template.to_json()
    rule = stack.one("AWS::Events::Rule", Name="jitr-acme-forwarding")

    assert rule["EventPattern"] == {
        "source": ["jitr"],
        "detail": {"fleet": ["acme"]},
        "detail-type": [
            "Device Activated",
            "Device Duplicate",
            "Device Held",
            "Device Rejected",
            "Device Replaced",
            "Device Revoked",
            "Operator Verdict",
        ],
    }
    (target,) = rule["Targets"]
    assert arn_text(target["Arn"], template) == BUS
    assert "Unforwarded" in json.dumps(target["DeadLetterConfig"])
    assert role_of(stack, "ForwardingRole") == {"ForwardToHub": {"events:PutEvents"}}
    (statement,) = stack.statements("ForwardToHub")
    assert arn_text(statement["Resource"], template) == BUS


def test_only_this_rule_of_this_account_may_take_the_forwarding_role(hub: Synthesized) -> None:
    (trust,) = [
        role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
        for role in hub.of_type("AWS::IAM::Role")
        if "events.amazonaws.com" in json.dumps(role["Properties"]["AssumeRolePolicyDocument"])
    ]

    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "222222222222"}
    assert "rule/jitr-acme-forwarding" in json.dumps(trust["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_exactly_the_fleets_accounts_may_put_events_of_jitrs_on_the_bus(hub: Synthesized) -> None:
    policy = hub.one("AWS::Events::EventBusPolicy")
    statement = policy["Statement"]
    template = hub.template.to_json()

    assert [arn_text(one, template) for one in statement["Principal"]["AWS"]] == [
        "arn:aws:iam::111111111111:root",
        "arn:aws:iam::222222222222:root",
    ]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "events:PutEvents")
    assert arn_text(statement["Resource"], template) == BUS
    assert statement["Condition"] == {"StringEquals": {"events:source": "jitr"}}


def test_with_an_organization_the_bus_names_no_account(draft: Draft) -> None:
    draft.text += '\n[hub]\naccount = "dev"\norganization = "o-a1b2c3d4e5"\n'
    policy = Stacks(draft.load(), AWS)["dev/eu-central-1"].one("AWS::Events::EventBusPolicy")

    assert policy["Statement"]["Principal"] == "*"
    assert policy["Statement"]["Condition"] == {
        "StringEquals": {"events:source": "jitr", "aws:PrincipalOrgID": "o-a1b2c3d4e5"}
    }


def test_the_hub_is_in_one_stage_and_nothing_of_it_where_there_is_none(
    with_hub: Mapping[str, Synthesized], production: Synthesized
) -> None:
    assert [name for name, stack in with_hub.items() if stack.of_type("AWS::Events::EventBus")] == ["prod/us-east-1"]
    (rule,) = production.of_type("AWS::Events::Rule")
    assert rule["Properties"]["Name"] == "jitr-acme-crls"
    assert len(production.of_type("AWS::SQS::Queue")) == 5


def test_the_hubs_function_may_read_and_write_its_table_read_the_list_and_announce(hub: Synthesized) -> None:
    assert role_of(hub, "HubFunctionRole") == {
        "WriteOwnLog": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "KeepHubTable": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "ReadEnrollment": {"dynamodb:BatchGetItem"},
        "TakeEvents": {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"},
        "Announce": {"events:PutEvents"},
    }


def test_events_that_cannot_be_taken_in_end_in_a_queue_that_an_alarm_watches(hub: Synthesized) -> None:
    queue = hub.one("AWS::SQS::Queue", QueueName="jitr-acme-hub")
    function = hub.one("AWS::Lambda::Function", FunctionName="jitr-acme-hub")

    assert queue["RedrivePolicy"]["maxReceiveCount"] == 10
    assert "HubDeadLetters" in json.dumps(queue["RedrivePolicy"]["deadLetterTargetArn"])
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    (mapping,) = [
        one["Properties"]
        for one in hub.of_type("AWS::Lambda::EventSourceMapping")
        if "HubQueue" in json.dumps(one["Properties"]["EventSourceArn"])
    ]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(
    ("queue", "rule"), [("HubQueue", "jitr-acme-hub/jitr-acme-hub"), ("Unforwarded", "jitr-acme-forwarding")]
)
def test_eventbridge_sends_to_a_queue_for_one_rule_alone(hub: Synthesized, queue: str, rule: str) -> None:
    (statement,) = [
        one
        for policy in hub.of_type("AWS::SQS::QueuePolicy")
        if queue in json.dumps(policy["Properties"]["Queues"])
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if one.get("Sid") == "TheRuleSends"
    ]

    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert rule in json.dumps(statement["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_the_table_outlives_the_stack_and_finds_who_is_out_of_place_by_a_sparse_index(hub: Synthesized) -> None:
    (table,) = [
        one for one in hub.of_type("AWS::DynamoDB::GlobalTable") if one["Properties"]["TableName"] == "jitr-acme-hub"
    ]

    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert [key["AttributeName"] for key in table["Properties"]["KeySchema"]] == ["id", "place"]
    (index,) = table["Properties"]["GlobalSecondaryIndexes"]
    assert index["IndexName"] == OUT_OF_PLACE_INDEX
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["out_of_place", "since"]
    (replica,) = table["Properties"]["Replicas"]
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_hubs_asset_holds_the_homes_of_the_fleet_file(hub: Synthesized) -> None:
    function = hub.one("AWS::Lambda::Function", FunctionName="jitr-acme-hub")
    text = (hub.asset(function["Code"]["S3Key"]) / "hub.json").read_text(encoding="utf-8")

    assert Homes.from_json(text) == Homes({"factory": ("222222222222",)}, frozenset({"111111111111", "222222222222"}))


def test_these_wake_someone_besides(with_hub: Mapping[str, Synthesized], hub: Synthesized) -> None:
    there, elsewhere = (
        {one["Properties"]["AlarmName"] for one in stack.of_type("AWS::CloudWatch::Alarm")}
        for stack in (hub, with_hub["prod/eu-central-1"])
    )

    assert "jitr-acme--unforwarded" in elsewhere
    assert there - elsewhere == {
        "jitr-acme--out-of-place",
        "jitr-acme--hub-dead-letters",
        "jitr-acme--hub-errors",
        "jitr-acme--hub-throttles",
    }
    for namespace, _, dimensions in metrics_of_alarms(hub):
        for dimension, value in dimensions if namespace in ("AWS/SQS", "AWS/Lambda") else ():
            kind, key = RESOURCE_OF_DIMENSION[dimension]
            assert value in {one["Properties"][key] for one in hub.of_type(kind)}


def test_least_privilege_and_the_linter_have_nothing_to_say(with_hub: Mapping[str, Synthesized]) -> None:
    for name, stack in with_hub.items():
        assert privilege_problems(stack) == []
        assert lint_findings(stack.template.to_json(), name.partition("/")[2]) == []


def test_the_local_aws_gets_all_but_the_policy_that_it_does_not_know(draft_with_hub: Draft) -> None:
    stack = Stacks(draft_with_hub.load(), local())["prod/us-east-1"]

    assert not stack.of_type("AWS::Events::EventBusPolicy")
    assert stack.of_type("AWS::Events::EventBus")
