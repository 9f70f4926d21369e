"""What policy documents allow, as `jitrctl doctor` reads them."""

from __future__ import annotations

from typing import Any

import pytest

from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate

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
