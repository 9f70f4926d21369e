"""Least privilege, first proof: every statement of the production templates against AWS's service authorization data.

The data is what cfn-lint ships (`AdditionalSpecs/Policies.json`, made from the service authorization reference): which
actions there are, and which types of resource each one supports. It does not know whether code uses an action; the
second proof, on the local AWS, does.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from jitr_cdk.target import LocalDifference
from tests.support.infra.least_privilege import arn_text, as_list, privilege_problems, role_statements


def test_every_action_exists_and_is_limited_to_what_it_supports(stacks: Mapping[str, Any]) -> None:
    for name, stack in stacks.items():
        assert privilege_problems(stack) == [], name


def test_the_proof_sees_what_is_wrong(on_local_aws: Any) -> None:
    """The local stage's extra statements are just such: actions of its own, and `*` where AWS supports more."""
    with pytest.raises(AssertionError, match=r"AWS has no action sqs:(Send|Delete)MessageBatch"):
        privilege_problems(on_local_aws)


def test_every_statement_is_an_allow_with_a_name_of_its_own_in_its_role(production: Any) -> None:
    named = [(role, statement["Sid"]) for role, statement in role_statements(production)]

    assert {statement["Effect"] for _, statement in role_statements(production)} == {"Allow"}
    assert len(set(named)) == len(named)


def test_no_action_is_a_pattern(production: Any) -> None:
    assert not [
        one for _, statement in role_statements(production) for one in as_list(statement["Action"]) if "*" in one
    ]


def test_production_has_no_statement_of_the_local_aws(stacks: Mapping[str, Any]) -> None:
    for stack in stacks.values():
        assert not [s for _, s in role_statements(stack) if s["Sid"] in set(LocalDifference)]


def test_a_wildcard_stands_only_for_names_that_devices_cas_and_lambda_bring(production: Any) -> None:
    template = production.template.to_json()
    arns = [arn_text(arn, template) for _, one in role_statements(production) for arn in as_list(one["Resource"])]

    wild = {re.split(r"[:/]", arn, maxsplit=5)[5] for arn in arns if "*" in arn and arn != "*"}
    assert {re.sub(r"^log-group:.*:", "log-group:own:", one) for one in wild} == {
        "cert/*",
        "client/*",
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
    actions = {action for owner, s in role_statements(production) if owner == role for action in as_list(s["Action"])}

    assert actions == AWS_ROLES[service]
