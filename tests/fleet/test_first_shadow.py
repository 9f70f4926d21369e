"""Shadow files: what AWS IoT would not take is a problem with its line, before anything is deployed."""

import json

import pytest

from tests.support.fleet.drafts import Draft

DEEP = '{"state": {"desired": {"a": {"b": {"c": {"d": {"e": 1}}}}}}}'


@pytest.fixture
def shadowed(draft: Draft) -> Draft:
    draft.replace('policy = "device.json"', 'policy = "device.json"\nbilling_group = "costs"\nshadow = "shadow.json"')
    return draft


def test_the_file_reaches_the_rules_as_compact_json(shadowed: Draft) -> None:
    shadowed.write("shadow.json", '{\n "state": {"desired": {"name": "{thing_name} é+ é", "n": 1.50}}\n}\n'.encode())
    fleet = shadowed.load()
    (rules,) = fleet.rules(fleet.accounts[0], "eu-central-1").cas
    assert rules.shadow == '{"state":{"desired":{"name":"{thing_name} é+ é","n":1.5}}}'
    assert rules.billing_group == "costs"


@pytest.mark.parametrize("document", [DEEP, '{"state": {"reported": {"a": [[[[1]]]]}, "desired": {}}}'])
def test_a_document_at_its_limits_is_taken(shadowed: Draft, document: str) -> None:
    shadowed.write("shadow.json", document.encode())
    shadowed.load()


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("[]", 1, 'it has no object "state"; write {"state": {"desired"'),
        ('{"state": 1}', 1, 'it has no object "state"'),
        ('{"state": {}}', 1, "its state is empty"),
        ('{"state": {"desired": {}}}', 1, "its state is empty"),
        ('{"state": {\n"desired": [1]}}', 2, "its state.desired is no object"),
        ('{"state": {"desired": null}}', 1, "its state.desired is no object"),
        (
            '{"state": {"desired": {"a": 1},\n"desierd": {}}}',
            2,
            "its state.desierd is not a part of a state; did you mean",
        ),
        ('{"state": {"desired": {"a": 1}},\n"version": 1}', 2, "its version is not a key of a first shadow; remove it"),
        ('{"state": {"desired": {"a":\nnull}}}', 2, "its state.desired.a is null, which AWS IoT takes as an order"),
        (
            '{"state": {"desired": {"a": [1,\n"{comon_name}"]}}}',
            2,
            'a[1] uses the unknown field "comon_name"; did you mean',
        ),
        ('{"state": {"desired": {"a": "{x"}}}', 1, 'its state.desired.a is "{x", whose braces do not match'),
        (DEEP.replace("1", "\n{}"), 2, "its state.desired.a.b.c.d.e is nested more than 6 levels deep"),
        ('{"state": {"desired": {"a": "' + "x" * 8192 + '"}}}', 1, "bytes without white space; AWS IoT allows 8192"),
        ('{"state": {"desired": {"a": 1, "a": 2}}}', 1, 'holds the key "a" twice in one object'),
        ('{"state": {"desired": {"a": NaN}}}', 1, "holds NaN, which is no number in JSON"),
        ('{"state": {"desired": {"a": 1e999}}}', 1, "which is too large a number"),
        ('{"state": {"desired": {"a": "\\ud800"}}}', 1, "holds half of a surrogate pair"),
        ('{"state":\n{"desired": }}', 2, "is not JSON (Expecting value"),
        ("[" * 100_000, 1, "is nested too deeply"),
    ],
)
def test_what_aws_would_not_take_is_a_problem_with_its_line(
    shadowed: Draft, content: str, line: int, said: str
) -> None:
    shadowed.write("shadow.json", content.encode())
    problem = shadowed.refused()
    assert (problem.file.name, problem.line) == ("shadow.json", line)
    assert f"{problem.message}; {problem.cure}".startswith("the shadow of ca.factory: ")
    assert said in f"{problem.message}; {problem.cure}"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read (No such file"), (b"\xff", "is not UTF-8; save it as UTF-8")]
)
def test_a_file_that_cannot_be_read_is_a_problem_of_the_key(shadowed: Draft, content: bytes | None, said: str) -> None:
    if content is not None:
        shadowed.write("shadow.json", content)
    line, message = shadowed.problem()
    assert line == shadowed.line('shadow = "shadow.json"')
    assert f"ca.factory.shadow names shadow.json, which {said}" in message


def test_a_source_has_a_shadow_and_a_billing_group_of_its_own(draft: Draft) -> None:
    source = '[registered.maker]\ncommon_name = ".+"\nbilling_group = "others"\nshadow = "shadow.json"\n'
    draft.text = draft.text.replace("[account.prod]", f"registered.maker = {{}}\n{source}\n[account.prod]")
    draft.write("shadow.json", json.dumps({"state": {"reported": {"a": 1}}}).encode())
    fleet = draft.load()
    (rules,) = fleet.rules(fleet.accounts[0], "eu-central-1").sources
    assert (rules.billing_group, rules.shadow) == ("others", '{"state":{"reported":{"a":1}}}')
    assert fleet.cas[0].shadow is None


def test_a_billing_group_that_two_share_exists_before_for_both_or_neither(draft: Draft) -> None:
    draft.replace('policy = "device.json"', 'policy = "device.json"\nbilling_group = "costs"')
    source = '[registered.maker]\ncommon_name = ".+"\nbilling_group = "costs"\nexisting = true\n'
    draft.text = draft.text.replace("[account.prod]", f"registered.maker = {{}}\n{source}\n[account.prod]")
    _, message = draft.problem()
    assert 'contradicts ca.factory, which has the billing group "costs" too' in message
