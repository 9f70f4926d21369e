"""What policy documents of IAM and AWS IoT allow."""

from __future__ import annotations

from typing import Any

import pytest

from jitr_fleet.authorization.evaluation import Evaluation, PolicyAnswer, PolicyKind, Request, evaluate, explain

CLIENT = "arn:aws:iot:eu-central-1:111111111111:client/sensor-0001"
THING = {"iot:Connection.Thing.ThingName": "sensor-0001", "iot:Connection.Thing.IsAttached": "true"}


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "iot:Connect", "Resource": "*", **elements}


def asked(*statements: dict[str, Any], resource: str = CLIENT, **context: str | None) -> PolicyAnswer:
    known = THING | {name.replace("_", ":", 1): value for name, value in context.items()}
    return evaluate([{"Statement": list(statements)}], Request(action="iot:Connect", resource=resource, context=known))


def test_nothing_is_allowed_that_no_statement_allows() -> None:
    assert evaluate([], Request(action="iot:Connect", resource=CLIENT)) is PolicyAnswer.NOT_ALLOWED
    assert asked(statement(Action="iot:Publish")) is PolicyAnswer.NOT_ALLOWED
    assert (
        asked(statement(Resource="arn:aws:iot:eu-central-1:111111111111:client/gateway-*")) is PolicyAnswer.NOT_ALLOWED
    )


def test_a_statement_alone_counts_like_a_list_of_one() -> None:
    request = Request(action="iot:Connect", resource=CLIENT)

    assert evaluate([{"Statement": statement()}], request) is PolicyAnswer.ALLOWED


@pytest.mark.parametrize("action", ["iot:*", "*", "IOT:connect", "iot:C?nnect", ["iot:Publish", "iot:Connect"]])
def test_actions_have_wildcards_and_no_case(action: Any) -> None:
    assert asked(statement(Action=action)) is PolicyAnswer.ALLOWED


def test_a_denial_wins() -> None:
    assert asked(statement(), statement("Deny")) is PolicyAnswer.DENIED


def test_what_is_excepted_is_not_meant() -> None:
    assert asked({"Effect": "Allow", "NotAction": "iot:Connect", "Resource": "*"}) is PolicyAnswer.NOT_ALLOWED
    assert asked({"Effect": "Allow", "Action": "*", "NotResource": "*:client/gateway-*"}) is PolicyAnswer.ALLOWED


def test_variables_stand_for_the_things_own_name_and_nothing_wider() -> None:
    own = statement(Resource="arn:aws:iot:eu-central-1:111111111111:client/${iot:Connection.Thing.ThingName}")
    absent: dict[str, Any] = {"iot_Connection.Thing.ThingName": None}
    other = CLIENT.replace("0001", "9999")

    assert asked(own) is PolicyAnswer.ALLOWED
    assert asked(own, resource=other) is PolicyAnswer.NOT_ALLOWED
    assert asked(own, resource=other, **{"iot_Connection.Thing.ThingName": "*"}) is PolicyAnswer.NOT_ALLOWED
    assert asked(own, **absent) is PolicyAnswer.NOT_ALLOWED


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"Bool": {"iot:Connection.Thing.IsAttached": "true"}}, PolicyAnswer.ALLOWED),
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["false"]}}, PolicyAnswer.NOT_ALLOWED),
        ({"StringEquals": {"iot:Connection.Thing.ThingName": ["sensor-0001", "x"]}}, PolicyAnswer.ALLOWED),
        ({"StringNotEquals": {"iot:Connection.Thing.ThingName": "sensor-0001"}}, PolicyAnswer.NOT_ALLOWED),
        ({"StringLike": {"iot:connection.thing.thingname": "sensor-*"}}, PolicyAnswer.ALLOWED),
        ({"ForAnyValue:StringEquals": {"iot:Connection.Thing.ThingName": "sensor-0001"}}, PolicyAnswer.ALLOWED),
        ({"StringEquals": {"iot:Absent": "x"}}, PolicyAnswer.NOT_ALLOWED),
        ({"StringEqualsIfExists": {"iot:Absent": "x"}}, PolicyAnswer.ALLOWED),
        ({"StringNotEquals": {"iot:Absent": "x"}}, PolicyAnswer.ALLOWED),
        ({"Null": {"iot:Absent": "true"}}, PolicyAnswer.ALLOWED),
        ({"Null": {"iot:Connection.Thing.ThingName": "true"}}, PolicyAnswer.NOT_ALLOWED),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, PolicyAnswer.UNSURE),
        ({"StringEquals": {"aws:Unknown": "x"}}, PolicyAnswer.UNSURE),
    ],
)
def test_conditions_hold_do_not_hold_or_cannot_be_said(condition: Any, answer: PolicyAnswer) -> None:
    assert asked(statement(Condition=condition), iot_Absent=None) is answer


def test_a_denial_of_which_it_cannot_be_said_whether_it_applies_leaves_it_unsure() -> None:
    unsure = statement("Deny", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})

    assert asked(statement(), unsure) is PolicyAnswer.UNSURE
    assert asked(statement(), {**unsure, "Action": "iot:Publish"}) is PolicyAnswer.ALLOWED


def test_a_role_is_for_the_service_that_its_trust_policy_names() -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    request = Request(action="sts:AssumeRole", resource="role", service="iot.amazonaws.com")

    assert evaluate([{"Statement": [trust]}], request) is PolicyAnswer.NOT_ALLOWED
    named = {**trust, "Principal": {"Service": ["iot.amazonaws.com", "lambda.amazonaws.com"]}}
    assert evaluate([{"Statement": [named]}], request) is PolicyAnswer.ALLOWED


# Policies of AWS IoT: the developer guide's pages that the module names.


def iot(*statements: dict[str, Any], action: str = "iot:Connect", resource: str = CLIENT, **more: Any) -> Evaluation:
    known = {"iot:ClientId": "sensor-0001", "iot:ConnectAttributes": None, **THING, **more.pop("context", {})}
    request = Request(action=action, resource=resource, kind=PolicyKind.IOT, context=known, **more)
    return explain([{"Statement": list(statements)}], request)


ARN = "arn:aws:iot:eu-central-1:111111111111:"
OWN = f"{ARN}client/${{iot:Connection.Thing.ThingName}}"


@pytest.mark.parametrize(
    ("absent", "answer"),
    [({}, PolicyAnswer.ALLOWED), ({"iot:Connection.Thing.ThingName": None}, PolicyAnswer.NOT_ALLOWED)],
)
def test_a_thing_variable_without_a_thing_matches_nothing(absent: dict[str, None], answer: PolicyAnswer) -> None:
    assert iot(statement(Resource=OWN), context=absent).answer is answer


def test_a_deny_on_a_variable_without_a_value_denies_nothing() -> None:
    absent = {"iot:Connection.Thing.ThingName": None}

    assert iot(statement(), statement("Deny", Resource=OWN), context=absent).answer is PolicyAnswer.ALLOWED
    assert iot(statement(), statement("Deny", Resource=OWN)).answer is PolicyAnswer.DENIED


def test_what_is_not_documented_for_iot_policies_is_not_guessed() -> None:
    for element in ({"NotAction": "iot:Publish"}, {"NotResource": f"{ARN}client/x"}):
        bare = {key: part for key, part in statement().items() if f"Not{key}" not in element}
        found = iot({**bare, **element})

        assert found.answer is PolicyAnswer.UNSURE
        assert found.unknown == tuple(element)


def test_an_unknown_variable_or_key_is_named() -> None:
    found = iot(
        statement(Resource=f"{ARN}client/${{iot:Thing.ThingName}}"), statement(Condition={"StringLike": {"aws:x": "*"}})
    )

    assert found.answer is PolicyAnswer.UNSURE
    assert found.unknown == ("aws:x", "iot:Thing.ThingName")
    assert [one.statement for one in found.statements] == [0, 1]


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        # "Connect policy examples": a plain connection has no attributes
        ({"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, PolicyAnswer.ALLOWED),
        ({"ForAllValues:StringNotEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, PolicyAnswer.ALLOWED),
        ({"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}}, PolicyAnswer.ALLOWED),
        ({"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, PolicyAnswer.NOT_ALLOWED),
        ({"ForAnyValue:StringNotEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, PolicyAnswer.NOT_ALLOWED),
        # "X.509 certificate variables": a list of values
        ({"ForAllValues:StringEquals": {"iot:Organizations": ["A", "B", "C"]}}, PolicyAnswer.ALLOWED),
        ({"ForAllValues:StringEquals": {"iot:Organizations": ["A"]}}, PolicyAnswer.NOT_ALLOWED),
        ({"ForAnyValue:StringEquals": {"iot:Organizations": ["A"]}}, PolicyAnswer.ALLOWED),
        ({"ForAnyValue:StringNotEquals": {"iot:Organizations": ["A"]}}, PolicyAnswer.ALLOWED),
        ({"ForAllValues:StringNotEquals": {"iot:Organizations": ["A"]}}, PolicyAnswer.NOT_ALLOWED),
        ({"StringEquals": {"iot:Organizations": ["A"]}}, PolicyAnswer.UNSURE),
        ({"StringEquals": {"iot:ClientId": "${iot:Connection.Thing.ThingName}"}}, PolicyAnswer.ALLOWED),
        ({"NumericLessThan": {"iot:ClientId": "3"}}, PolicyAnswer.UNSURE),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, PolicyAnswer.ALLOWED),
        ({"Null": {"iot:ClientId": []}}, PolicyAnswer.NOT_ALLOWED),
        ({"Null": {"iot:ConnectAttributes": True}}, PolicyAnswer.ALLOWED),
    ],
)
def test_conditions_of_iot_policies(condition: Any, answer: PolicyAnswer) -> None:
    found = iot(statement(Condition=condition), context={"iot:Organizations": ("A", "B")})
    assert found.answer is answer


@pytest.mark.parametrize(
    ("pattern", "topic", "answer"),
    [
        ("topicfilter/a/+/b", "topicfilter/a/+/b", PolicyAnswer.ALLOWED),
        ("topicfilter/a/+/b", "topicfilter/a/x/b", PolicyAnswer.NOT_ALLOWED),
        ("topicfilter/a/*", "topicfilter/a/#", PolicyAnswer.ALLOWED),
        ("topicfilter/a/?", "topicfilter/a/bc", PolicyAnswer.NOT_ALLOWED),
        ("topic/a", "topicfilter/a", PolicyAnswer.NOT_ALLOWED),
        ("topicfilter/${iot:ClientId}/x", "topicfilter/sensor-0001/x", PolicyAnswer.ALLOWED),
        ("topicfilter/${iot:ClientId}/x", "topicfilter/+/x", PolicyAnswer.NOT_ALLOWED),
    ],
)
def test_topic_filters_are_matched_as_text(pattern: str, topic: str, answer: PolicyAnswer) -> None:
    allowed = statement(Action="iot:Subscribe", Resource=f"{ARN}{pattern}")
    assert iot(allowed, action="iot:Subscribe", resource=f"{ARN}{topic}").answer is answer


def test_an_answer_names_the_statements_that_it_rests_on() -> None:
    other = statement(Resource=f"{ARN}client/other")

    def positions(*statements: dict[str, Any]) -> list[int]:
        return [one.statement for one in iot(*statements).statements]

    assert positions(statement("Deny"), statement(), statement("Deny")) == [0, 2]
    assert positions(other, statement()) == [1]
    assert positions(statement(Action="iot:Publish"), other) == [1]
    assert positions(statement(Action="iot:Publish")) == []


def test_conditions_may_be_kept_from_resting_on_a_name() -> None:
    by_name = statement(Condition={"StringEquals": {"iot:ClientId": "sensor-0001"}})

    assert iot(by_name).answer is PolicyAnswer.ALLOWED
    found = iot(by_name, unknown_in_conditions=frozenset({"iot:ClientId"}))
    assert (found.answer, found.unknown) == (PolicyAnswer.UNSURE, ("iot:ClientId",))
