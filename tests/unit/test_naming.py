"""Names: a legal one or a refusal, never a rewritten one."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.admission import naming
from jitr.admission.naming import POLICY_WILDCARDS, check_naming_fields, refuse_policy_wildcards
from jitr.errors import Reason, Rejected
from jitr.rules import TEMPLATE_FIELDS, CaRules
from jitr.x509.certificate import Certificate
from tests.support.cases.issuing import factory, rules_for

# From the API reference of AWS IoT, typed here a second time: CreateThing, AttributePayload.
LEGAL_THING_NAME = re.compile(r"\A[a-zA-Z0-9:_-]{1,128}\Z")
LEGAL_ATTRIBUTE = re.compile(r"\A[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}\Z")

# A subject in which every field holds the same kind of text; a little of what is near the edge of legal, much of what
# is not.
values = st.text(st.sampled_from("aZ09:_-.,@/#=[] *$+?\n\r\0äßİ٣k\u200b\ud800"), max_size=140) | st.text()
templates = st.lists(
    st.sampled_from([f"{{{field}}}" for field in TEMPLATE_FIELDS] + ["-", ":", "x" * 60, "{{", "}}"]), max_size=4
).map("".join)


@cache
def sensor() -> Certificate:
    return Certificate.from_pem(factory().leaf())


def with_subject(**fields: tuple[str, ...]) -> Certificate:
    return replace(sensor(), subject_fields=dict.fromkeys(sensor().subject_fields, ()) | fields)


def rules(**changes: Any) -> CaRules:
    return replace(rules_for(factory()).cas[0], **changes)


def thing_name(template: str, certificate: Certificate) -> str:
    return naming.thing_name(rules(thing_name=template), certificate)


def attribute_value(attribute: str, template: str, certificate: Certificate) -> str:
    return naming.attribute_value(attribute, rules(attributes={attribute: template}), certificate)


def made_or_refused(make: Callable[[], str]) -> str | Rejected:
    try:
        return make()
    except Rejected as refusal:
        return refusal


@given(template=templates, value=values, count=st.integers(0, 2))
def test_a_thing_name_is_legal_or_refused(template: str, value: str, count: int) -> None:
    certificate = replace(sensor(), subject_fields=dict.fromkeys(sensor().subject_fields, (value,) * count))
    made = made_or_refused(lambda: thing_name(template, certificate))
    if isinstance(made, Rejected):
        assert made.reason in (Reason.NAME_NOT_LEGAL, Reason.SUBJECT_FIELD_MISSING)
        assert made.detail.isascii()
    else:
        assert LEGAL_THING_NAME.match(made)


@given(template=templates, value=values, count=st.integers(0, 2))
def test_an_attribute_is_legal_or_refused(template: str, value: str, count: int) -> None:
    certificate = replace(sensor(), subject_fields=dict.fromkeys(sensor().subject_fields, (value,) * count))
    made = made_or_refused(lambda: attribute_value("model", template, certificate))
    if isinstance(made, Rejected):
        assert made.reason in (Reason.NAME_NOT_LEGAL, Reason.SUBJECT_FIELD_MISSING)
        assert made.detail.isascii()
    else:
        assert LEGAL_ATTRIBUTE.match(made)


@given(first=values, second=values)
def test_two_common_names_never_make_one_thing_name(first: str, second: str) -> None:
    certificates = [with_subject(common_name=(value,)) for value in (first, second)]
    made = [made_or_refused(partial(thing_name, "{common_name}", certificate)) for certificate in certificates]
    if not any(isinstance(one, Rejected) for one in made):
        assert (made[0] == made[1]) is (first == second)


def test_a_template_takes_the_certificates_values_as_they_are() -> None:
    certificate = with_subject(common_name=("sensor-0001",), organizational_unit=("Mark-2",))
    assert thing_name("{organizational_unit}:{common_name}_x", certificate) == "Mark-2:sensor-0001_x"
    assert attribute_value("a", "v=[{organizational_unit}]", certificate) == "v=[Mark-2]"


def test_a_value_is_no_template() -> None:
    with pytest.raises(Rejected) as refusal:
        thing_name("{common_name}", with_subject(common_name=("{serial_number}",), serial_number=("1",)))
    assert refusal.value.reason is Reason.NAME_NOT_LEGAL


@pytest.mark.parametrize("length", [1, 128])
def test_a_thing_name_may_be_1_to_128_characters(length: int) -> None:
    assert thing_name("{common_name}", with_subject(common_name=("x" * length,))) == "x" * length


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a\n", "a.b", "a/b", "ä", "٣", "\u212a"])
def test_what_is_no_thing_name_is_refused_and_shown(name: str) -> None:
    with pytest.raises(Rejected, match=re.escape(ascii(name))) as refusal:
        thing_name("{common_name}", with_subject(common_name=(name,)))
    assert refusal.value.reason is Reason.NAME_NOT_LEGAL


@pytest.mark.parametrize("value", ["x" * 801, "a b", "a\n", "a+b", "a*", "ä", "a;b"])
def test_what_is_no_attribute_value_is_refused_with_the_attributes_name(value: str) -> None:
    with pytest.raises(Rejected, match="of attribute model ") as refusal:
        attribute_value("model", "{organizational_unit}", with_subject(organizational_unit=(value,)))
    assert refusal.value.reason is Reason.NAME_NOT_LEGAL


@pytest.mark.parametrize("units", [(), ("a", "b"), ("a", "a")])
def test_a_template_takes_a_field_that_is_there_exactly_once(units: tuple[str, ...]) -> None:
    with pytest.raises(Rejected, match="organizational_unit") as refusal:
        thing_name("{organizational_unit}", with_subject(organizational_unit=units))
    assert refusal.value.reason is Reason.SUBJECT_FIELD_MISSING


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), Reason.COMMON_NAME_MISSING),
        (("",), Reason.COMMON_NAME_MISSING),
        (("a", "b"), Reason.COMMON_NAME_AMBIGUOUS),
        (("a", "a"), Reason.COMMON_NAME_AMBIGUOUS),
    ],
)
def test_there_is_exactly_one_common_name(names: tuple[str, ...], reason: Reason) -> None:
    with pytest.raises(Rejected) as refusal:
        check_naming_fields(rules(), with_subject(common_name=names))
    assert refusal.value.reason is reason


def test_the_characters_that_widen_a_policy_are_those_of_the_developer_guide() -> None:
    assert frozenset("*$+?#") == POLICY_WILDCARDS


@pytest.mark.parametrize("character", sorted("*$+?#"))
@pytest.mark.parametrize("field", sorted(sensor().subject_fields))
def test_a_character_that_widens_a_policy_is_refused_in_every_field(field: str, character: str) -> None:
    with pytest.raises(Rejected, match=field) as refusal:
        refuse_policy_wildcards(rules(), with_subject(**{field: ("ok", f"a{character}")}))
    assert refusal.value.reason is Reason.SUBJECT_UNSAFE


def test_other_characters_widen_nothing() -> None:
    refuse_policy_wildcards(rules(), with_subject(common_name=("a/b {c} %&!",)))
