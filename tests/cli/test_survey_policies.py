"""What a survey says of a policy's document: what is wrong with it, wildcards, and whether it allows to claim."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from jitrctl.survey.policy_flaws import find_claims, find_policy_flaws

IOT = "arn:aws:iot:eu-central-1:111111111111:"
TOPIC = f"{IOT}topic/"
CLAIM = f"{TOPIC}$aws/provisioning-templates/claims/provision/json"


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (document(Action="iot:*", Resource="*"), "allows every action on every resource"),
        (document(Action=["*"], Resource=f"{TOPIC}a"), "allows every action"),
        (document(NotAction="iot:Connect", Resource="*"), "allows every action on every resource"),
        (
            document(Action=["iot:Subscribe", "iot:Receive"], Resource="arn:aws:iot:*:*:topicfilter/*"),
            "allows iot:Subscribe, iot:Receive on topicfilter/*, which is every device's",
        ),
        (
            document(Action="iot:Subscribe", Resource="arn:aws:iot:eu-central-1:111111111111:topicfilter/#"),
            "allows iot:Subscribe on topicfilter/#, which is every device's",
        ),
        (
            document(Action="iot:GetThingShadow", Resource=f"{IOT}thing/*"),
            "allows iot:GetThingShadow on thing/*, which",
        ),
        (
            document(Action="iot:Subscribe", Resource=f"{IOT}topicfilter/+/#"),
            "allows iot:Subscribe on topicfilter/+/#, which",
        ),
        (document(Action="iot:Receive", Resource="**"), "allows iot:Receive on *, which"),
        (document(Action="iot:Receive", Resource=f"{TOPIC}**"), "allows iot:Receive on topic/*, which"),
        (document(Action="iot:Receive", Resource=f"{IOT}t*"), "allows iot:Receive on t*, which"),
        (
            document(Action="iot:Receive", NotResource=f"{TOPIC}a"),
            "allows iot:Receive on all that its NotResource does not name",
        ),
        (document(Action="IOT:?*", Resource="**"), "allows every action on every resource"),
        (
            document(Action="iot:Publish", Resource=f"{TOPIC}*"),
            'lets devices claim certificates by fleet provisioning: "topic/*"',
        ),
        (
            document(Action="iot:P*", Resource=f"{TOPIC}$aws/*"),
            'lets devices claim certificates by fleet provisioning: "topic/$aws/*"',
        ),
        (document(Action={"a": 1}, Resource=7), "has no usable Action"),
        ("{", "is no JSON"),
        ("[]", "is no JSON"),
        pytest.param("[" * 3_000 + "]" * 3_000, "is no JSON", id="deep"),
    ],
)
def test_wildcards_and_what_is_no_policy_are_told(policy: str, found: str) -> None:
    assert any(one.startswith(found) for one in find_policy_flaws(policy))


@pytest.mark.parametrize(
    "policy",
    [
        document(Action="iot:Publish", Resource=f"{TOPIC}${{iot:Connection.Thing.ThingName}}/state"),
        document(Action="iot:Receive", Resource=f"{TOPIC}#"),  # a letter there
        document(Action="iot:Subscribe", Resource=f"{IOT}topicfilter/devices/${{iot:Connection.Thing.ThingName}}/*"),
        document(Action="iot:Publish", Resource=CLAIM),  # a claim policy, told as such
        json.dumps({"Statement": [{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]}),
        json.dumps({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}),
        "{}",
    ],
)
def test_a_devices_own_topics_and_a_denial_are_no_findings(policy: str) -> None:
    assert find_policy_flaws(policy) == []


def test_the_same_finding_of_two_statements_is_told_once() -> None:
    statement = {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}
    assert len(find_policy_flaws(json.dumps({"Statement": [statement, statement]}))) == 1


def test_a_document_may_be_url_encoded() -> None:
    policy = document(Action="iot:*", Resource="*")
    assert find_policy_flaws(quote(policy)) == find_policy_flaws(policy)


@pytest.mark.parametrize(
    ("policy", "claims"),
    [
        (document(Action="iot:Publish", Resource=CLAIM), True),
        (document(Action=["iot:Publish"], Resource=[f"{TOPIC}a", CLAIM]), True),
        (json.dumps({"Statement": [{"Effect": "Deny", "Action": "iot:Publish", "Resource": CLAIM}]}), False),
        (document(Action="iot:Publish", Resource=f"{TOPIC}$aws/certificates/create/json"), True),
        (document(Action="iot:Publish", Resource=f"{TOPIC}a"), False),
        (document(Action="iot:Publish", Resource="*"), False),  # of devices; a finding
        ("{", False),
    ],
)
def test_a_claim_policy_names_the_topics_of_fleet_provisioning_and_allows_them(policy: str, *, claims: bool) -> None:
    assert find_claims(policy) is claims
