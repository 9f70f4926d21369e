"""The actions that an IoT policy can name."""

import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from jitr_fleet.authorization.actions import ACTIONS, RESOURCE_TYPES, is_known
from tests.support.fleet.drafts import Draft
from tests.support.fleet.policies import ARN, CONNECT, allow, line_of, write


@pytest.mark.parametrize(("service", "prefix"), [("iot-data", "iot"), ("iot-jobs-data", "iotjobsdata")])
def test_every_operation_that_a_device_can_call_has_its_action(service: Any, prefix: str) -> None:
    client = boto3.client(service, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    assert {f"{prefix}:{name}" for name in client.meta.service_model.operation_names} <= ACTIONS.keys()


@pytest.mark.parametrize(
    "action", ["iot:Connect", "IOT:publish", "iot:*", "*", "iot:Get*Shadow", "greengrass:Discover"]
)
def test_an_action_or_a_pattern_of_some_is_known(action: str) -> None:
    assert is_known(action)


@pytest.mark.parametrize(
    ("action", "cure"),
    [
        ("iot:Conect", "did you mean iot:Connect?"),
        ("iot:connnect", "did you mean iot:Connect?"),
        ("Publish", "did you mean iot:Publish?"),
        ("iott:Subscribe", "did you mean iot:Subscribe?"),
        ("iot:Publsh*", "did you mean iot:Publish?"),
        ("iot:GetThingShadows", "did you mean iot:GetThingShadow?"),
        ("s3:PutObject", "docs/fleet.md#policies lists the actions; remove it"),
    ],
)
def test_an_unknown_action_is_refused_at_its_line_with_the_nearest(draft: Draft, action: str, cure: str) -> None:
    write(draft, CONNECT, {"Sid": "Talk", **allow(["iot:Receive", action], f"{ARN}topic/x")})
    found = draft.refused()

    assert found.message == (
        f'the policy of ca.factory: statement 2 (Talk) has the action "{action}", which no device can carry out'
    )
    assert found.cure == cure
    assert found.line == line_of(draft, f'"{action}"')


def test_an_unknown_action_is_refused_in_a_deny_and_in_notaction_too(draft: Draft) -> None:
    write(draft, CONNECT, {"Effect": "Deny", "NotAction": "iot:Conect", "Resource": f"{ARN}client/x"})
    assert "iot:Conect" in draft.refused().message


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("topic/x", 'has the resource "topic/x", which is no ARN; write "arn:<partition>:iot:<region>:<account>:'),
        ("arn:aws:iot:eu-central-1", "which is no ARN"),
        (f"{ARN}topics/x", 'has the resource type "topics" in "topics/x"; did you mean topic?'),
        (f"{ARN}clients", 'has the resource type "clients" in "clients"; did you mean client?'),
        ("arn:<partition>:sqs:<region>:<account>:topic/x", 'has an ARN of "sqs", not of iot'),
    ],
)
def test_a_resource_that_no_action_is_about_is_refused(draft: Draft, resource: str, said: str) -> None:
    write(draft, CONNECT, allow("iot:Receive", [f"{ARN}topic/y", resource]))
    found = draft.refused()

    assert said in f"{found.message}; {found.cure}"
    assert found.line == line_of(draft, f'"{resource}"')


@pytest.mark.parametrize(
    "resource", ["*", "arn:*", f"{ARN}*", f"{ARN}t*/x", "arn:aws:greengrass:*:*:components/x", f"{ARN}thing/x"]
)
def test_wildcards_and_greengrass_are_left_alone(draft: Draft, resource: str) -> None:
    write(draft, CONNECT, allow("iot:Receive", resource))
    draft.load()


def test_every_type_of_resource_belongs_to_an_action() -> None:
    assert RESOURCE_TYPES == ("client", "rolealias", "thing", "topic", "topicfilter")


def test_the_page_lists_every_action() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(iot(?:jobsdata)?:[A-Za-z]+)`", page.partition("The actions of a policy: ")[2]))
    older = {action for action in ACTIONS if action.replace("iot:", "iotjobsdata:") in ACTIONS.keys() - {action}}

    assert ACTIONS.keys() - named <= older
    assert named <= ACTIONS.keys()
