"""A device policy has the form of one, and fits into AWS IoT."""

import json
from typing import Any

import pytest

from jitr_fleet.policy import MAX_POLICY
from tests.support.fleet.drafts import POLICY, Draft


def policy_of_size(size: int) -> bytes:
    """A policy of so many characters, white space not counted, and much white space."""
    document: Any = json.loads(POLICY)
    document["Statement"][0]["Sid"] = ""
    document["Statement"][0]["Resource"] = "topic/sensors"
    document["Statement"][0]["Sid"] = "x" * (size - len("".join(json.dumps(document).split())))
    return json.dumps(document, indent=40).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names device.json, which is not JSON (Expecting value: line 1 column 1 (char 0)); correct it there"),
        (b'{\n"Version": }', "which is not JSON (Expecting value: line 2 column 12"),
        (b"\xff\xfe", "which is not JSON; write an IoT policy document"),
        (b"[" * 100_000, "which is not JSON"),
        (b"[]", "which holds no JSON object"),
        (POLICY.replace('"Version": "2012-10-17", ', "").encode(), "which has no usable Version"),
        (POLICY.replace("2012", "2008").encode(), "which has no usable Version"),
        (b'{"Version": "2012-10-17"}', "which has no usable Statement"),
        (b'{"Version": "2012-10-17", "Statement": []}', "which has no usable Statement"),
        (b'{"Version": "2012-10-17", "Statement": [{}]}', "which has no usable Statement"),
        (b'{"Version": "2012-10-17", "Statement": ["Allow"]}', "which has no usable Statement"),
        (POLICY.replace("<account>", "<acct>").encode(), 'which holds "<acct>"; did you mean <account>?'),
        (policy_of_size(MAX_POLICY), "which has 2048 characters without white space; AWS IoT takes fewer than 2048"),
    ],
)
def test_a_policy_that_cannot_be_one(draft: Draft, content: bytes, said: str) -> None:
    draft.write("device.json", content)
    line, text = draft.problem()
    assert text.startswith("ca.factory.policy names device.json")
    assert said in text
    assert line == draft.line("policy =")


def test_a_policy_just_below_the_limit_fits(draft: Draft) -> None:
    draft.write("device.json", policy_of_size(MAX_POLICY - 1))
    draft.load()


def test_placeholders_count_with_what_they_become(draft: Draft) -> None:
    content = policy_of_size(MAX_POLICY - 1).replace(b"topic/", b"topic/<region>").replace(b"xxxxxxxx", b"", 1)
    assert len("".join(content.decode().split())) == MAX_POLICY - 1
    draft.write("device.json", content)
    assert "which has 2053 characters" in draft.problem()[1]
