"""The evaluator of IoT policies beside the local AWS's own, on random policies; they have no line in common.

Left out is what the two are known to do differently, because AWS documents it otherwise or not at all: a variable with
a wildcard in its value, which the local AWS puts into the pattern, NotAction and NotResource, and conditions on what is
not known.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.core.iam_evaluator import EvalContext
from ministack.core.iam_evaluator import evaluate as evaluate_locally
from ministack.services.iot import _parsed_iot_policy

from jitr_fleet.authorization.evaluation import PolicyAnswer, PolicyKind, Request, evaluate

ARN = "arn:aws:iot:eu-central-1:111111111111:"
ACTIONS = ("iot:Connect", "iot:Publish", "iot:Subscribe")
NAMES = ("client/a", "client/ab", "topic/a", "topic/a/b", "topicfilter/a/+", "topicfilter/a/#")
KNOWN = {
    "iot:clientid": "ab",
    "iot:connection.thing.thingname": "ab",
    "iot:connection.thing.isattached": "true",
}
ABSENT = {"iot:connectattributes": None}
PIECES = ["a", "b", "/", "*", "?", "+", "#", "client/", "topic/", "topicfilter/", "${iot:ClientId}"]
PATTERNS = st.one_of(
    st.lists(st.sampled_from([*PIECES, "${iot:Connection.Thing.ThingName}"]), max_size=5).map("".join),
    st.sampled_from([*NAMES, "client/${iot:ClientId}", "client/${iot:Connection.Thing.ThingName}"]),
)
CONDITIONS = st.dictionaries(
    st.sampled_from(
        [
            "StringEquals",
            "StringNotEquals",
            "StringLike",
            "StringNotLike",
            "StringEqualsIgnoreCase",
            "StringEqualsIfExists",
            "ForAllValues:StringEquals",
            "ForAnyValue:StringEquals",
            "ForAllValues:StringNotEquals",
            "ForAnyValue:StringNotEquals",
        ]
    ),
    st.dictionaries(
        st.sampled_from(["iot:ClientId", "iot:Connection.Thing.ThingName", "iot:ConnectAttributes"]),
        st.lists(st.sampled_from(["a", "ab", "AB", "a*", "?b", "PersistentConnect"]), min_size=1, max_size=2),
        min_size=1,
        max_size=2,
    ),
    max_size=1,
)
STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.lists(st.sampled_from([*ACTIONS, "iot:*", "*", "IOT:connect", "iot:P?blish"]), min_size=1),
        "Resource": st.lists(st.one_of(st.just("*"), PATTERNS.map(lambda text: ARN + text)), min_size=1, max_size=2),
        "Condition": CONDITIONS,
    }
)
LOCAL = {"Allow": PolicyAnswer.ALLOWED, "Deny": PolicyAnswer.DENIED, "ImplicitDeny": PolicyAnswer.NOT_ALLOWED}


@settings(max_examples=300)
@given(st.lists(STATEMENTS, min_size=1, max_size=2), st.sampled_from(ACTIONS), st.sampled_from(NAMES))
def test_both_evaluators_answer_alike(statements: list[dict[str, Any]], action: str, name: str) -> None:
    document = {"Version": "2012-10-17", "Statement": statements}
    context = EvalContext(
        principal_arn=f"{ARN}cert/x",
        principal_type="Certificate",
        principal_account="111111111111",
        action=action,
        resource_arn=ARN + name,
        region="eu-central-1",
        service_context=KNOWN,
    )
    local = evaluate_locally(context, [_parsed_iot_policy(json.dumps(document), tuple(sorted(KNOWN.items())))])

    request = Request(action=action, resource=ARN + name, kind=PolicyKind.IOT, context={**KNOWN, **ABSENT})
    assert evaluate([document], request) is LOCAL[local.decision]
