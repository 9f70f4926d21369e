"""What a device policy may not permit: topic rules, and other clients' names."""

import json
from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.authorization.overlap import is_overlapping
from tests.support.fleet import policies
from tests.support.fleet.drafts import Draft
from tests.support.fleet.policies import ARN, ATTACHED, CONNECT, THING, allow, line_of


def write(draft: Draft, *statements: dict[str, Any]) -> None:
    """A policy of these statements and, behind them, one that lets devices connect."""
    policies.write(draft, *statements, CONNECT)


RULES = [
    allow("iot:Publish", f"{ARN}topic/$aws/rules/jitr_acme__factory/x"),
    allow("iot:Publish", "*"),
    allow("iot:*", f"{ARN}topic/*"),
    allow("*", f"{ARN}topic/$aws/*"),
    allow(["iot:Receive", "IOT:PUBLISH"], [f"{ARN}topic/a", f"{ARN}topic/$aws/r*/jitr"]),
    allow("iot:Pub*", "arn:aws:iot:*:*:*"),
    allow("iot:Publish", f"{ARN}topic/${{iot:ClientId}}/x"),
    allow("iot:Publish", f"{ARN}topic/$aws/${{iot:Certificate.Subject.CommonName}}/x"),
    allow("iot:Publish", f"{ARN}topic/?aws/rule?/x"),
    {"Effect": "Allow", "NotAction": "iot:Connect", "Resource": f"{ARN}topic/*"},
    {"Effect": "Allow", "Action": "iot:Publish", "NotResource": f"{ARN}topic/admin/*"},
]


@pytest.mark.parametrize("statement", RULES, ids=json.dumps)
def test_no_statement_lets_devices_publish_to_topic_rules(draft: Draft, statement: dict[str, Any]) -> None:
    write(draft, {"Sid": "Fine", **allow("iot:Receive", "*")}, statement)
    found = draft.refused()

    assert found.file.name == "device.json"
    assert "statement 2 lets devices publish below $aws/rules/: " in found.message
    assert "name the devices' own topics" in found.cure


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (f"{ARN}topic/*", 'in "topic/*" the * after "topic/" also stands for $aws/rules/…'),
        (f"{ARN}topic/$aws/*/x", 'in "topic/$aws/*/x" the * after "topic/$aws/" also stands for $aws/rules/…'),
        (f"{ARN}topic/?aws/rules/x", 'in "topic/?aws/rules/x" the ? after "topic/" also stands for $aws/rules/…'),
        (f"{ARN}topic/?*/x", 'the ? after "topic/" and the * after "topic/?" also stand for parts of $aws/rules/…'),
        (
            f"{ARN}topic/${{iot:ClientId}}/x",
            'in "topic/${iot:ClientId}/x" the ${iot:ClientId} after "topic/" also stands for $aws/rules/…',
        ),
        (
            "arn:aws:iot:*:*:topic/x",
            'in "arn:aws:iot:*:*:topic/x" the * before ":topic/x" also stands for $aws/rules/…',
        ),
        ("*", '"*" stands for every topic, those included'),
        ("arn:aws:iot:*:*:*", 'in "arn:aws:iot:*:*:*" the * at the end also stands for $aws/rules/…'),
        (f"{ARN}topic/$aws/rules/jitr/x", '"topic/$aws/rules/jitr/x" names them'),
        (f"{ARN}topic/$aws/rules/*", '"topic/$aws/rules/*" names them'),
    ],
)
def test_the_part_of_a_pattern_that_reaches_topic_rules_is_named(draft: Draft, resource: str, said: str) -> None:
    write(draft, allow("iot:Publish", [f"{ARN}topic/devices/x", resource]))
    found = draft.refused()

    assert "statement 1 lets devices publish below $aws/rules/: " in found.message
    assert found.message.endswith(said)
    assert found.line == line_of(draft, f'   "{resource}"')


CLIENTS = [
    allow("iot:Connect", "*"),
    allow("iot:Connect", f"{ARN}client/*"),
    allow("iot:Conn*", f"{ARN}client/sensor-*"),
    allow("iot:Connect", f"{ARN}client/sensor-?", Condition=ATTACHED),
    allow("iot:Connect", f"{ARN}client/${{iot:ClientId}}"),
    allow(
        "iot:Connect",
        f"{ARN}client/${{iot:ClientId}}",
        Condition={"Bool": {"iot:Connection.Thing.IsAttached": "false"}},
    ),
    allow("iot:Connect", f"{ARN}*"),
    {"Effect": "Allow", "NotAction": "iot:Publish", "Resource": f"{ARN}client/*"},
    {"Effect": "Allow", "Action": "iot:Connect", "NotResource": f"{ARN}client/admin"},
]


@pytest.mark.parametrize("statement", CLIENTS, ids=json.dumps)
def test_no_statement_lets_a_device_take_anothers_name(draft: Draft, statement: dict[str, Any]) -> None:
    write(draft, statement)

    assert "statement 1 lets a device connect under a client id that is not its own, by " in draft.problem()[1]


@pytest.mark.parametrize(
    "statement",
    [
        allow("iot:Connect", f"{ARN}client/{THING}", Condition=ATTACHED),
        allow("iot:Connect", f"{ARN}client/${{iot:ClientId}}", Condition=ATTACHED),
        allow("iot:Connect", f"{ARN}client/gateway-7"),  # whatever it is good for
        allow("iot:Publish", [f"{ARN}topic/devices/{THING}/*", f"{ARN}topic/$aws/things/{THING}/shadow/*"]),
        allow("iot:Publish", f"{ARN}topic/{THING}/state"),  # the name of a thing holds no $ and no /
        allow("iot:Publish", f"{ARN}topic/devices/${{iot:ClientId}}/*"),
        allow(["iot:Subscribe", "iot:Receive"], "*"),
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"},
        {"Effect": "Allow", "NotAction": ["iot:Publish", "iot:Connect"], "Resource": f"{ARN}topic/*"},
        {"Effect": "Allow", "Action": "iot:Publish", "NotResource": "arn:*:iot:*:*:topic/$aws/*"},
    ],
    ids=json.dumps,
)
def test_what_stays_with_the_device_is_fine(draft: Draft, statement: dict[str, Any]) -> None:
    write(draft, statement)
    draft.load()


def test_a_deny_does_not_make_up_for_an_allow(draft: Draft) -> None:
    denied = {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}topic/$aws/rules/*"}
    write(draft, denied, allow("iot:Publish", f"{ARN}topic/*"))

    assert "statement 2 lets devices publish below $aws/rules/" in draft.problem()[1]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"Effect": "allow", "Action": "iot:Receive", "Resource": "*"}, "has no usable Effect"),
        ({"Effect": "Allow", "Resource": "*"}, "has no usable Action"),
        ({"Effect": "Allow", "Action": [], "Resource": "*"}, "has no usable Action"),
        ({"Effect": "Allow", "Action": ["iot:Receive", 1], "Resource": "*"}, "has no usable Action"),
        ({"Effect": "Allow", "Action": "iot:Receive"}, "has no usable Resource"),
        ({"Effect": "Allow", "Action": "a", "NotAction": "b", "Resource": "*"}, "has no usable Action"),
        (
            {"Effect": "Allow", "Action": "a", "Resources": "*", "Resource": "*"},
            'has the key "Resources"; did you mean',
        ),
        ({"Effect": "Allow", "Action": "a", "Resource": "*", "Principal": "*"}, 'has the key "Principal"'),
    ],
)
def test_a_statement_that_is_none_is_told(draft: Draft, statement: dict[str, Any], said: str) -> None:
    write(draft, statement)

    assert f"statement 1 {said}" in draft.problem()[1]


def test_everything_that_is_wrong_is_told_at_once(draft: Draft) -> None:
    write(draft, allow("iot:*", "*"), allow("iot:Publish", "*"))

    assert len(draft.problems()) == 3


def test_a_long_pattern_is_judged() -> None:
    assert is_overlapping("*a" * 200, "arn:*" + "a*" * 200)
    assert not is_overlapping("*a" * 200 + "b", "arn:*" + "a*" * 200 + "c")


def test_the_device_policies_of_this_repository_are_fine(draft: Draft) -> None:
    policies = [one for one in (Path(__file__).parents[2] / "policies").glob("*.json") if one.name != "deployment.json"]
    assert policies
    for policy in policies:
        draft.write("device.json", policy.read_bytes())
        draft.load()
