"""A device policy has the form of one, and fits into AWS IoT."""

import json
from typing import Any

import pytest

from jitr_fleet.policy import MAX_POLICY
from tests.support.fleet.drafts import POLICY, Draft


def policy_of_size(size: int) -> bytes:
    """A policy of so many characters, white space not counted, and much white space."""
    document: Any = json.loads(POLICY)
    del document["Statement"][1]
    document["Statement"][0]["Resource"] = "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"
    document["Statement"][0]["Sid"] = ""
    document["Statement"][0]["Sid"] = "x" * (size - len("".join(json.dumps(document).split())))
    return json.dumps(document, indent=40).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "which is not JSON; write an IoT policy document"),
        (b"[" * 100_000, "which is not JSON"),
        (None, "which cannot be read (No such file or directory); correct the path or the file"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_at_its_key(draft: Draft, content: bytes | None, said: str) -> None:
    (draft.folder / "device.json").unlink()
    if content is not None:
        draft.write("device.json", content)
    line, text = draft.problem()
    assert text.startswith("ca.factory.policy names device.json")
    assert said in text
    assert line == draft.line("policy =")


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "is not JSON (Expecting value: line 1 column 1 (char 0)); correct it there"),
        (b'{\n"Version": }', 2, "is not JSON (Expecting value: line 2 column 12"),
        (b"\n[]", 1, "it holds no JSON object"),
        (POLICY.replace('"Version": "2012-10-17", ', "").encode(), 1, "it has no usable Version"),
        (POLICY.replace("{", "{\n\n", 1).replace("2012", "2008").encode(), 3, "it has no usable Version"),
        (b'{"Version": "2012-10-17"}', 1, "it has no usable Statement"),
        (b'{"Version": "2012-10-17",\n"Statement": []}', 2, "it has no usable Statement"),
        (b'{"Version": "2012-10-17", "Statement": [{}]}', 1, "it has no usable Statement"),
        (b'{"Version": "2012-10-17", "Statement": ["Allow"]}', 1, "it has no usable Statement"),
        (
            POLICY.replace('"Resource"', '\n\n"Resource"', 1).replace("<account>", "<acct>", 1).encode(),
            3,
            'it holds "<acct>"; did you mean <account>?',
        ),
        (policy_of_size(MAX_POLICY), 1, "it has 2048 characters without white space; AWS IoT takes fewer than 2048"),
    ],
)
def test_a_policy_that_cannot_be_one_is_reported_at_its_line(
    draft: Draft, content: bytes, line: int, said: str
) -> None:
    draft.write("device.json", content)
    problem = draft.refused()
    assert problem.file == draft.folder / "device.json"
    assert problem.message.startswith("the policy of ca.factory")
    assert said in f"{problem.message}; {problem.cure}"
    assert problem.line == line


def test_a_policy_just_below_the_limit_fits(draft: Draft) -> None:
    draft.write("device.json", policy_of_size(MAX_POLICY - 1))
    draft.load()


def test_placeholders_count_with_what_they_become(draft: Draft) -> None:
    content = policy_of_size(MAX_POLICY - 1).replace(b'"Sid": "xxxxxxxx', b'"Sid": "<region>', 1)
    assert len("".join(content.decode().split())) == MAX_POLICY - 1
    draft.write("device.json", content)
    assert "it has 2053 characters" in draft.problem()[1]
