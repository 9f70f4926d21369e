"""What the project's launcher adds to the local AWS's CloudFormation, on ministack's own module and in this process."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudformation, iam, iot
from ministack.services.cloudformation import handlers

from jitrctl.localaws import drift_reverted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STACK = "jitr-acme"
ACCOUNTS = count(700_000_000_001)  # one for each test
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
SQL = "SELECT * FROM 'a/b'"
TEMPLATE = {
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": "role",
                "AssumeRolePolicyDocument": ALLOW,
                "Policies": [{"PolicyName": "own", "PolicyDocument": ALLOW}],
            },
        },
        "Rule": {
            "Type": "AWS::IoT::TopicRule",
            "Properties": {"RuleName": "rule", "TopicRulePayload": {"Sql": SQL, "Actions": []}},
        },
        "Policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "policy", "PolicyDocument": ALLOW}},
        "Type": {"Type": "AWS::IoT::ThingType", "Properties": {"ThingTypeName": "sensor"}},
        "Group": {"Type": "AWS::IoT::ThingGroup", "Properties": {"ThingGroupName": "hall-1"}},
    }
}


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(handlers, "_ACTION_HANDLERS", handlers._ACTION_HANDLERS)
    before = dict(handlers._ACTION_HANDLERS)
    drift_reverted.install()
    with request_scope(f"{next(ACCOUNTS):012}", "eu-central-1"):
        ask("CreateStack", TemplateBody=json.dumps(TEMPLATE), **{"Capabilities.member.1": "CAPABILITY_NAMED_IAM"})
        yield
    handlers._ACTION_HANDLERS.update(before)


def ask(action: str, **given: str) -> str:
    """Give a call to CloudFormation, and wait until the stack is at rest."""

    async def call() -> str:
        body = urlencode({"Action": action, "StackName": STACK, **given}).encode()
        status, _, answer = await cloudformation.handle_request("POST", "/", {}, body, {})
        assert status == 200, answer
        while "_IN_PROGRESS" in cloudformation._stacks.get(STACK, {}).get("StackStatus", ""):  # noqa: ASYNC110 -- its own task
            await asyncio.sleep(0)
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    return asyncio.run(call())


def make_change_set(**given: str) -> dict[str, str]:
    """The changes of a change set with the same template: actions by logical id."""
    template = {"TemplateBody": json.dumps(TEMPLATE), "Capabilities.member.1": "CAPABILITY_NAMED_IAM"}
    ask("DeleteChangeSet", ChangeSetName="cdk")
    ask("CreateChangeSet", ChangeSetName="cdk", ChangeSetType="UPDATE", **template, **given)
    described = ask("DescribeChangeSet", ChangeSetName="cdk")
    found = re.findall(r"<Action>(\w+)</Action><LogicalResourceId>(\w+)</LogicalResourceId>", described)
    return {logical_id: action for action, logical_id in found}


def other_policy() -> None:
    iot._create_policy_version("policy", {"policyDocument": '{"Statement": []}'}, {"setAsDefault": "true"})


CHANGES: dict[str, tuple[str, str, Callable[[], Any], Callable[[], Any]]] = {
    "role's permissions": (
        "Role",
        "Modify",
        lambda: iam._roles["role"]["InlinePolicies"].update(own="{}"),
        lambda: json.loads(iam._roles["role"]["InlinePolicies"]["own"]) == ALLOW,
    ),
    "rule's SQL": (
        "Rule",
        "Modify",
        lambda: iot._topic_rules["rule"].update(sql="SELECT 1"),
        lambda: iot._topic_rules["rule"]["sql"] == SQL,
    ),
    "rule deleted": (
        "Rule",
        "Add",
        lambda: iot.delete_topic_rule("rule"),
        lambda: iot._topic_rules["rule"]["sql"] == SQL,
    ),
    "policy changed": (
        "Policy",
        "Modify",
        other_policy,
        lambda: drift_reverted._policy("policy", {"PolicyDocument": ALLOW}),
    ),
    "type deprecated": (
        "Type",
        "Modify",
        lambda: iot._deprecate_thing_type("sensor", {}),
        lambda: not iot._thing_types["sensor"]["thingTypeMetadata"]["deprecated"],
    ),
    "group deleted": ("Group", "Add", lambda: iot._delete_thing_group("hall-1"), lambda: "hall-1" in iot._thing_groups),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_what_was_changed_beside_the_stack_is_set_as_the_template_says(changed: str) -> None:
    logical_id, action, change, is_mended = CHANGES[changed]
    change()
    assert make_change_set() == {}, "templates alone are compared"
    assert make_change_set(DeploymentMode="REVERT_DRIFT") == {logical_id: action}
    ask("ExecuteChangeSet", ChangeSetName="cdk")
    assert cloudformation._stacks[STACK]["StackStatus"] == "UPDATE_COMPLETE"
    assert is_mended()
    assert make_change_set(DeploymentMode="REVERT_DRIFT") == {}


def test_where_nothing_was_changed_there_is_nothing_to_revert() -> None:
    assert make_change_set(DeploymentMode="REVERT_DRIFT") == {}
