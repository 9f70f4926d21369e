"""The translator never raises, whatever a template says; what is written is always what the parser takes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitrctl.jitp.block import StagePlace, make_block
from jitrctl.jitp.fleet_text import AccountEntry, check_block
from jitrctl.jitp.template import translate
from jitrctl.jitp.values import VARIABLES
from simulation import Authority
from tests.support.jitp.corpus import CORPUS

PLACE = StagePlace(partition="aws", region="eu-central-1", account_id="111111111111")
ENTRY = AccountEntry(
    name="dev",
    keys={"id": "111111111111", "regions": ["eu-central-1"]},
    registration={"mode": "SNI_ONLY", "jitp": True},
    is_written=False,
)
CA = Authority.new("Pumps CA")
WORDS = st.sampled_from(
    [
        "Resources", "Parameters", "Mappings", "DeviceConfiguration", "Type", "Properties", "OverrideSettings",
        "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy", "ThingName", "ThingTypeName", "ThingGroups",
        "AttributePayload", "BillingGroup", "PolicyName", "PolicyDocument", "CertificateId", "Status", "Statement",
        "Ref", "Fn::Join", "Fn::Sub", "Fn::Select", "Fn::Split", "Fn::FindInMap", "Default",
        "AWS::IoT::Certificate::CommonName", "AWS::IoT::Certificate::Id", "${AWS::IoT::Certificate::Id}", "{", "}", "0",
    ]
)  # fmt: skip
TEXTS = st.one_of(WORDS, st.text(max_size=8))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(found for key, one in inside for found in places(one, (*at, key)))]


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[at[0]] = put(value[at[0]], at[1:], new)
    return copied


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A template of the corpus with something else in one or two of its places."""
    template = json.loads(CORPUS[draw(st.sampled_from(sorted(CORPUS)))])
    for _ in range(draw(st.integers(1, 2))):
        template = put(template, draw(st.sampled_from(places(template))), draw(JSON))
    return json.dumps(template)


def translated(body: str) -> None:
    found = translate(body)
    assert all(line.startswith("$") and ": " in line for line in (*found.missing, *found.remarks))
    block = make_block("pumps", found, {"pumps": None}, PLACE)
    checked = check_block("acme", block, ENTRY, CA.pem)
    (ca,) = checked.fleet.cas
    assert ca.thing_name == checked.block.keys.get("thing_name", "{common_name}")


@settings(max_examples=20, deadline=None)
@given(mutated())
def test_a_template_with_anything_in_any_place_is_translated_to_what_the_parser_takes(body: str) -> None:
    translated(body)


@settings(max_examples=100, deadline=None)
@given(st.one_of(JSON.map(json.dumps), st.text()))
def test_no_text_makes_the_translator_raise(body: str) -> None:
    found = translate(body)
    make_block("pumps", found, {}, PLACE)


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"Resources": ' + '{"a": ' * 5_000 + "1" + "}" * 5_001,
        json.dumps({"Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": ["x"]}}}}}),
        json.dumps({"Resources": {"t": {"Type": ["AWS::IoT::Thing"], "Properties": 7}, "u": None}}),
        json.dumps({"Parameters": [], "Mappings": 3, "Resources": {}}),
        '{"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": "{"}}}}',
        '{"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": "[1]"}}}}',
        json.dumps({"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {"Ref": "x"}}}}}),
    ],
)
def test_a_hostile_template_is_translated_to_what_the_parser_takes(body: str) -> None:
    translated(body)


@pytest.mark.parametrize("depth", [200, 300, 400])
def test_functions_nested_too_deeply_are_named_or_evaluated(depth: int) -> None:
    value = '{"Fn::Join": ["", [' * depth + '"{}"' + "]]}" * depth
    found = translate(
        f'{{"Resources": {{"t": {{"Type": "AWS::IoT::Thing", "Properties": {{"ThingName": {value}}}}}}}}}'
    )
    assert found.missing[0].startswith("$")


@pytest.mark.parametrize("depth", [900, 940, 960, 980, 3_000])
def test_a_policy_that_is_nested_too_deeply_to_be_read_or_written_is_named(depth: int) -> None:
    deep = '{"Statement": ' + "[" * depth + "1" + "]" * depth + "}"
    body = {"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": deep}}}}
    found = make_block("pumps", translate(json.dumps(body)), {}, PLACE)
    assert found.policy or any("PolicyDocument" in one for one in found.missing)


def test_the_variables_are_those_of_the_guides_page_on_certificate_policy_variables() -> None:
    """Developer guide: "X.509 certificate AWS IoT Core policy variables"; examples use ${iot:CertificateId}."""
    page = (
        "DistinguishedNameQualifier", "Country", "Organization", "OrganizationalUnit", "State", "CommonName",
        "SerialNumber", "Title", "Surname", "GivenName", "Initials", "Pseudonym", "GenerationQualifier",
    )  # fmt: skip
    known = {f"iot:Certificate.Subject.{name}" for name in page} | {"iot:CertificateId"}
    assert set(VARIABLES.values()) <= known
    assert len(set(VARIABLES.values())) == len(VARIABLES)


ESCAPE = "\x1b[2J\nINJECTED \x9b\ud800"
NAME = {"Ref": "AWS::IoT::Certificate::CommonName"}


@pytest.mark.parametrize(
    ("thing", "at"),
    [
        ({"ThingTypeName": "\ud800x"}, "$.Resources.t.Properties.ThingTypeName: "),
        ({"ThingGroups": [{"Fn::Join": ["", ["\ud83d", "\ude00"]]}]}, "$.Resources.t.Properties.ThingGroups[0].Fn::"),
        ({"AttributePayload": {"a": "\udc00"}}, "$.Resources.t.Properties.AttributePayload.a: "),
        ({"AttributePayload": {"\udc00": "a"}}, '$.Resources.t.Properties.AttributePayload["\\udc00"]: '),
    ],
)  # fmt: skip
def test_half_of_a_surrogate_pair_is_left_out_and_named_with_its_place(thing: dict[str, Any], at: str) -> None:
    body = json.dumps({"Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": NAME, **thing}}}})
    assert any(line.startswith(at) and "surrogate" in line for line in translate(body).missing)
    translated(body)


@pytest.mark.parametrize("document", ['"\\ud800"', '[{"Effect": "Allow", "Resource": "\\ud800"}]'])
def test_a_policy_with_half_of_a_surrogate_pair_is_named_and_not_written(document: str) -> None:
    given = {"PolicyDocument": f'{{"Statement": {document}}}'}
    body = json.dumps({"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": given}}})
    block = make_block("pumps", translate(body), {}, PLACE)
    assert block.policy is None
    assert any(line.startswith("$.Resources.p.Properties.PolicyDocument: ") for line in block.missing)


def test_no_text_of_a_template_is_told_as_a_terminal_would_obey_it() -> None:
    thing = {"ThingName": NAME, ESCAPE: 1, "ThingTypeName": {ESCAPE: 1}, "AttributePayload": {ESCAPE: "x", "y": {}}}
    body = {
        ESCAPE: 1,
        "Resources": {
            "t": {"Type": "AWS::IoT::Thing", "Properties": thing},
            ESCAPE: {"Type": ESCAPE},
            "p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "\x1b[2J\nINJECTED \x9b"}},
        },
    }
    block = make_block("pumps", translate(json.dumps(body)), {}, PLACE)
    told = [*block.missing, *block.remarks]
    assert all(line.isprintable() for line in told)
    assert sum("INJECTED" in line for line in told) == 6
