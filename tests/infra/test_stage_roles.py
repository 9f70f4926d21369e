"""The actions of the functions' roles, one by one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from jitr_fleet.model import Fleet
from tests.support.fleet.drafts import Draft

# What each role may do, in full: a new action has to be written down here too.
ROLE_ACTIONS = {
    "Register": {
        "dynamodb:BatchGetItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:UpdateItem",
        "events:PutEvents",
        "iot:AddThingToThingGroup",
        "iot:AttachPolicy",
        "iot:AttachThingPrincipal",
        "iot:CreateThing",
        "iot:DeleteConnection",
        "iot:DescribeCACertificate",
        "iot:DescribeCertificate",
        "iot:DescribeThing",
        "iot:DetachPolicy",
        "iot:DetachThingPrincipal",
        "iot:GetConnection",
        "iot:ListPrincipalThings",
        "iot:ListThingPrincipals",
        "iot:UpdateCertificate",
        "iot:UpdateThing",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    },
    "SweepingSweep": {
        "cloudwatch:GetMetricStatistics",
        "dynamodb:BatchGetItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
        "events:PutEvents",
        "iot:AttachPolicy",
        "iot:AttachThingPrincipal",
        "iot:DeleteThing",
        "iot:DescribeCACertificate",
        "iot:DescribeCertificate",
        "iot:DescribeThing",
        "iot:DetachPolicy",
        "iot:DetachThingPrincipal",
        "iot:ListAttachedPolicies",
        "iot:ListCertificates",
        "iot:ListCertificatesByCA",
        "iot:ListPrincipalThings",
        "iot:ListThingPrincipals",
        "iot:UpdateCACertificate",
        "iot:UpdateCertificate",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "sqs:SendMessage",
    },
}


@pytest.mark.parametrize("function", sorted(ROLE_ACTIONS))
def test_a_functions_role_allows_what_it_uses_and_no_more(production: Any, function: str) -> None:
    (role,) = [
        resource["Properties"]
        for logical_id, resource in production.template.find_resources("AWS::IAM::Role").items()
        if logical_id.removeprefix("Registration").startswith(f"{function}Role")
    ]
    statements = [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]
    actions = [statement["Action"] for statement in statements]
    flat = {action for entry in actions for action in ([entry] if isinstance(entry, str) else entry)}

    assert flat == ROLE_ACTIONS[function]
    assert not role.get("ManagedPolicyArns")


def test_only_actions_without_resources_are_allowed_on_everything(production: Any) -> None:
    everywhere = {
        statement["Sid"]
        for role in production.of_type("AWS::IAM::Role")
        for policy in role["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == "*"
    }

    assert everywhere == {"ListCertificates", "SeeHowOldTheQueueIs"}


def test_without_a_hook_no_function_may_be_invoked(production: Any) -> None:
    assert production.statements("AskHooks") == []


def test_hooks_are_asked_by_register_alone_and_by_their_arns(
    draft: Draft, changed: Callable[[str], dict[str, Any]]
) -> None:
    draft.replace('on_reject = "revoke"', 'hook = "arn:aws:lambda:{region}:{account}:function:check"')
    (statement,) = changed("")["prod/us-east-1"].statements("AskHooks")
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"] == "arn:aws:lambda:us-east-1:222222222222:function:check"


def test_cas_are_read_one_by_one(production: Any, fleet: Fleet) -> None:
    (statement,) = production.statements("ReadCas")

    assert f"cacert/{fleet.cas[0].certificate_id}" in json.dumps(statement["Resource"])
