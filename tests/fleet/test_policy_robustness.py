"""Whatever a policy file holds, the answer is a Fleet or a FleetError whose lines are in the file."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jitr_fleet.parse import FleetError, load
from jitr_fleet.policy_proof import prove_fleet
from tests.support.fleet.drafts import NOW, Draft
from tests.support.fleet.policies import ARN, CONNECT, THING

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab*?${}:/", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=4,
)
OPERATORS = ["Bool", "Null", "StringEquals", "StringNotLike", "ArnLike", "DateLessThan", "ForAllValues:StringLike", ""]
KEYS = ["iot:ClientId", "iot:Connection.Thing.IsAttached", "aws:SourceIp", "iot:ConnectAttributes", ""]
RESOURCES = [f"{ARN}client/{THING}", f"{ARN}topic/x/*", "*", "arn:", "arn:*:::::", f"{ARN}${{a}}", f"{ARN}topicfilter"]
CONDITIONS = st.dictionaries(
    st.sampled_from(OPERATORS),
    st.dictionaries(
        st.sampled_from(KEYS), st.lists(st.text("ab*$", max_size=2) | st.booleans(), max_size=2), min_size=1
    ),
    min_size=1,
    max_size=2,
)
WELL_FORMED = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.sampled_from(["iot:Connect", "iot:Receive", "iot:Subscribe"]),
        "Resource": st.sampled_from(RESOURCES),
    },
    optional={"Condition": CONDITIONS},
)
STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "Sid": ANYTHING,
        "Effect": st.sampled_from(["Allow", "Deny"]) | ANYTHING,
        "Action": st.lists(st.sampled_from(["iot:Connect", "iot:Publish", "iot:Subscribe", "*", "x"])) | ANYTHING,
        "NotAction": ANYTHING,
        "Resource": st.lists(st.sampled_from(RESOURCES)) | ANYTHING,
        "NotResource": ANYTHING,
        "Condition": st.dictionaries(st.sampled_from(OPERATORS), st.dictionaries(st.sampled_from(KEYS), ANYTHING))
        | ANYTHING,
        "Else": ANYTHING,
    },
)
DOCUMENTS = ANYTHING | st.fixed_dictionaries(
    {
        "Version": st.just("2012-10-17"),
        "Statement": STATEMENTS
        | st.lists(STATEMENTS | st.just(CONNECT), max_size=3)
        | st.lists(WELL_FORMED, min_size=1, max_size=2).map(lambda those: [CONNECT, *those]),
    }
)


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, st.sampled_from([None, 1]))
def test_any_policy_is_answered(new_draft: Callable[[], Draft], document: Any, indent: int | None) -> None:
    draft = new_draft()
    text = json.dumps(document, indent=indent)
    draft.write("device.json", text.encode())
    draft.path.write_text(draft.text, encoding="utf-8")
    try:
        fleet = load(draft.path, now=NOW)
    except FleetError as error:
        found = error.problems
    else:
        found = tuple(note for proof in prove_fleet(fleet) for note in proof.notes)
    for problem in found:
        assert problem.message
        assert problem.cure
        assert "\n" not in str(problem)
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.file.name == "device.json"
