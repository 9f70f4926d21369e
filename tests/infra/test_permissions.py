"""Least privilege, first proof: every statement of the production templates against AWS's service authorization data.

The data is what cfn-lint ships (`AdditionalSpecs/Policies.json`, made from the service authorization reference): which
actions there are, and which types of resource each one supports. It does not know whether code uses an action; the
second proof, on the local AWS, does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from jitr_cdk.target import LocalDifference

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
    text = files("cfnlint").joinpath("data/AdditionalSpecs/Policies.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resolved(value: Any, template: Mapping[str, Any]) -> str:
    """An ARN of the template as a text, with every reference filled in."""
    if isinstance(value, str):
        return value
    match value:
        case {"Ref": str(name)}:
            return PSEUDO.get(name, name)
        case {"Fn::Join": [str(glue), parts]}:
            return glue.join(resolved(part, template) for part in parts)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return ARN_OF[template["Resources"][name]["Type"], attribute].format(name)
    raise AssertionError(value)


def statements(stack: Any) -> Iterator[tuple[str, Statement]]:
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


def problems(stack: Any) -> list[str]:
    template = stack.template.to_json()
    found = []
    for role, statement in statements(stack):
        arns = [resolved(one, template) for one in listed(statement["Resource"])]
        for action in listed(statement["Action"]):
            patterns = supported(action)
            if not patterns and arns != ["*"]:
                found.append(f"{role}: {action} cannot be limited to {arns}")
            if patterns and "*" in arns:
                found.append(f"{role}: {action} could be limited to {sorted(patterns)}")
        # Two actions of a statement may use different ones of its resources; none may be there for nothing.
        usable = set().union(*(supported(action) for action in listed(statement["Action"])))
        found += [
            f"{role}: no action of {statement['Sid']} uses {arn}"
            for arn in arns
            if arn != "*" and not fits(arn, usable)
        ]
        for action in listed(statement["Action"]):
            patterns = supported(action)
            if patterns and not any(fits(arn, patterns) for arn in arns if arn != "*"):
                found.append(f"{role}: {action} is allowed on nothing that it supports")
    return found


def test_every_action_exists_and_is_limited_to_what_it_supports(stacks: Mapping[str, Any]) -> None:
    for name, stack in stacks.items():
        assert problems(stack) == [], name


def test_the_proof_sees_what_is_wrong(on_local_aws: Any) -> None:
    """The local stage's extra statements are just such: actions of its own, and `*` where AWS supports more."""
    with pytest.raises(AssertionError, match=r"AWS has no action sqs:(Send|Delete)MessageBatch"):
        problems(on_local_aws)


def test_every_statement_is_an_allow_with_a_name_of_its_own_in_its_role(production: Any) -> None:
    named = [(role, statement["Sid"]) for role, statement in statements(production)]

    assert {statement["Effect"] for _, statement in statements(production)} == {"Allow"}
    assert len(set(named)) == len(named)


def test_no_action_is_a_pattern(production: Any) -> None:
    assert not [one for _, statement in statements(production) for one in listed(statement["Action"]) if "*" in one]


def test_production_has_no_statement_of_the_local_aws(stacks: Mapping[str, Any]) -> None:
    for stack in stacks.values():
        assert not [s for _, s in statements(stack) if s["Sid"] in set(LocalDifference)]


def test_a_wildcard_stands_only_for_names_that_devices_cas_and_lambda_bring(production: Any) -> None:
    template = production.template.to_json()
    arns = [resolved(arn, template) for _, one in statements(production) for arn in listed(one["Resource"])]

    wild = {re.split(r"[:/]", arn, maxsplit=5)[5] for arn in arns if "*" in arn and arn != "*"}
    assert {re.sub(r"^log-group:.*:", "log-group:own:", one) for one in wild} == {
        "cert/*",
        "thing/*",
        "log-group:own:*",
        *(one for one in wild if one.endswith("/crl/*")),
    }


# Roles that AWS itself uses, which the local AWS does not enforce: action by action.
AWS_ROLES = {
    "iot.amazonaws.com": {"sqs:SendMessage"},
    "scheduler.amazonaws.com": {"lambda:InvokeFunction"},
}


@pytest.mark.parametrize("service", sorted(AWS_ROLES))
def test_a_role_that_aws_uses_allows_what_aws_needs_and_no_more(production: Any, service: str) -> None:
    (role,) = [
        name
        for name, resource in production.template.find_resources("AWS::IAM::Role").items()
        if service in json.dumps(resource["Properties"]["AssumeRolePolicyDocument"])
    ]
    actions = {action for owner, s in statements(production) if owner == role for action in listed(s["Action"])}

    assert actions == AWS_ROLES[service]
