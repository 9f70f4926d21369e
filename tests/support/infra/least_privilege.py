"""Holds the statements of a template's roles against AWS's service authorization data.

The data is what cfn-lint ships (`AdditionalSpecs/Policies.json`, made from the service authorization reference): which
actions there are, and which types of resource each one supports.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "222222222222"}
# Types of resources of ours, by the name that the authorization data gives to what their ARNs name.
ARN_OF = {
    ("AWS::SQS::Queue", "Arn"): "arn:aws:sqs:eu-central-1:222222222222:{}",
    ("AWS::DynamoDB::GlobalTable", "Arn"): "arn:aws:dynamodb:eu-central-1:222222222222:table/{}",
    ("AWS::Lambda::Function", "Arn"): "arn:aws:lambda:eu-central-1:222222222222:function:{}",
    ("AWS::Logs::LogGroup", "Arn"): "arn:aws:logs:eu-central-1:222222222222:log-group:{}:*",
    ("AWS::S3::Bucket", "Arn"): "arn:aws:s3:::{}",
    ("AWS::KMS::Key", "Arn"): "arn:aws:kms:eu-central-1:222222222222:key/{}",
}
Statement = Mapping[str, Any]


@cache
def authorization() -> Mapping[str, Any]:
    """AWS's service authorization data: service → its actions and its types of resource."""
    text = files("cfnlint").joinpath("data/AdditionalSpecs/Policies.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def as_list(value: Any) -> list[Any]:
    """A policy's Action or Resource as a list, which may stand there as one text."""
    return value if isinstance(value, list) else [value]


def arn_text(value: Any, template: Mapping[str, Any]) -> str:
    """An ARN of the template as a text, with every reference filled in."""
    if isinstance(value, str):
        return value
    match value:
        case {"Ref": str(name)}:
            return PSEUDO.get(name, name)
        case {"Fn::Join": [str(glue), parts]}:
            return glue.join(arn_text(part, template) for part in parts)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return ARN_OF[template["Resources"][name]["Type"], attribute].format(name)
    raise AssertionError(value)


def role_statements(stack: Any) -> Iterator[tuple[str, Statement]]:
    """Every statement of a role's inline policies, with the role's logical id."""
    for role, resource in stack.template.find_resources("AWS::IAM::Role").items():
        for policy in resource["Properties"].get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, statement
    assert not stack.of_type("AWS::IAM::Policy"), "CDK has granted something that nobody wrote down"
    assert not stack.of_type("AWS::IAM::ManagedPolicy")


def supported(action: str) -> set[str]:
    """The ARN patterns that an action can be limited to; fails for an action that AWS does not have."""
    service, _, name = action.partition(":")
    assert service in authorization(), f"AWS has no service {service}"
    known = authorization()[service]["Actions"]
    assert name.lower() in known, f"AWS has no action {action}"
    types = known[name.lower()].get("Resources", ())
    return {pattern for one in types for pattern in authorization()[service]["Resources"][one]["ARNFormats"]}


def fits(arn: str, patterns: set[str]) -> bool:
    """Whether an ARN, which may end in a wildcard, names resources of one of these formats."""
    filled = {re.sub(r"\$\{[A-Za-z]+\}", "[^:]*", pattern) for pattern in patterns}
    return any(re.fullmatch(pattern, arn) for pattern in filled)


def privilege_problems(stack: Any) -> list[str]:
    """What is wrong with the statements of a stack's roles, a sentence each.

    Raises AssertionError for an action that AWS does not have.
    """
    template = stack.template.to_json()
    found = []
    for role, statement in role_statements(stack):
        arns = [arn_text(one, template) for one in as_list(statement["Resource"])]
        for action in as_list(statement["Action"]):
            patterns = supported(action)
            if not patterns and arns != ["*"]:
                found.append(f"{role}: {action} cannot be limited to {arns}")
            if patterns and "*" in arns:
                found.append(f"{role}: {action} could be limited to {sorted(patterns)}")
        # Two actions of a statement may use different ones of its resources; none may be there for nothing.
        usable = set().union(*(supported(action) for action in as_list(statement["Action"])))
        found += [
            f"{role}: no action of {statement['Sid']} uses {arn}"
            for arn in arns
            if arn != "*" and not fits(arn, usable)
        ]
        for action in as_list(statement["Action"]):
            patterns = supported(action)
            if patterns and not any(fits(arn, patterns) for arn in arns if arn != "*"):
                found.append(f"{role}: {action} is allowed on nothing that it supports")
    return found
