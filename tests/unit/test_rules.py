"""Rules: what infra writes, the functions read, and nothing else passes for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.admission.check_list import CHECK_NAMES
from jitr.errors import Misconfigured
from jitr.rules import HOOK, RULES_FILE, RULES_SCHEMA, CaRules, CertificateMode, CheckMode, OnReject, Rules

CA = CaRules(
    name="factory",
    certificate_id="ab" * 32,
    certificate_pem="-----BEGIN CERTIFICATE-----\n",
    certificate_mode=CertificateMode.SNI_ONLY,
    common_name="sensor-[0-9]{4,}",
    policy="jitr-acme-factory",
)
RULES = Rules(fleet="acme", cas=(CA,))

texts = st.text()
ca_rules = st.builds(
    CaRules,
    name=texts,
    certificate_id=texts,
    certificate_pem=texts,
    certificate_mode=st.sampled_from(CertificateMode),
    common_name=st.none() | texts,
    serial_number=st.none() | texts,
    san_uri=st.none() | texts,
    san_dns=st.none() | texts,
    policy_variables=st.none() | st.lists(texts).map(tuple),
    thing_name=texts,
    thing_type=st.none() | texts,
    thing_groups=st.lists(texts).map(tuple),
    attributes=st.dictionaries(texts, texts),
    policy=texts,
    on_reject=st.sampled_from(OnReject),
    checks=st.dictionaries(st.sampled_from(CHECK_NAMES), st.sampled_from(CheckMode)),
    minimum_remaining_life=st.integers(0),
    maximum_life=st.none() | st.integers(0),
    rsa_bits=st.tuples(st.integers(), st.integers()),
    curves=st.lists(texts).map(tuple),
)
all_rules = st.builds(
    Rules,
    fleet=texts,
    cas=st.lists(ca_rules, max_size=3).map(tuple),
    pending_after=st.integers(),
    horizon=st.integers(),
)


@given(all_rules)
def test_rules_round_trip(rules: Rules) -> None:
    read = Rules.from_json(rules.to_json())
    assert read == rules
    assert hash(read.cas[0].thing_groups if read.cas else ()) is not None
    assert all(type(mode) is CheckMode for ca in read.cas for mode in ca.checks.values())
    assert read.digest == rules.digest


def test_rules_are_read_from_the_asset(tmp_path: Path) -> None:
    (tmp_path / RULES_FILE).write_text(RULES.to_json(), encoding="utf-8")
    assert Rules.load(tmp_path) == RULES


def test_an_asset_without_rules_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"{RULES_FILE} cannot be read"):
        Rules.load(tmp_path)


def test_rules_stand_next_to_the_package_unless_told_otherwise() -> None:
    with pytest.raises(Misconfigured, match=r"functions/rules\.json cannot be read"):
        Rules.load()


def broken(change: dict[str, Any], ca_change: dict[str, Any] | None = None, *, without: str = "") -> str:
    document = json.loads(RULES.to_json())
    document |= change
    document["cas"] = [document["cas"][0] | (ca_change or {})] if ca_change is not None else document["cas"]
    document.pop(without, None)
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"rules"',
        "{}",
        broken({}, without="fleet"),
        broken({}, without="cas"),
        broken({}, without="schema"),
        broken({"unknown": 1}),
        broken({"cas": None}),
        broken({"cas": [None]}),
        broken({"cas": [{}]}),
        broken({}, {"unknown": 1}),
        broken({}, {"certificate_mode": "BOTH"}),
        broken({}, {"on_reject": "shrug"}),
        broken({}, {"checks": {"key": "maybe"}}),
        broken({}, {"checks": []}),
        broken({}, {"rsa_bits": [2048]}),
        broken({}, {"thing_groups": None}),
    ],
)
def test_what_does_not_fit_is_misconfigured(text: str) -> None:
    with pytest.raises(Misconfigured, match=f"{RULES_FILE} does not fit this code"):
        Rules.from_json(text)


@pytest.mark.parametrize("schema", [0, RULES_SCHEMA + 1, "1", None])
def test_another_schema_is_misconfigured(schema: object) -> None:
    with pytest.raises(Misconfigured, match="has schema"):
        Rules.from_json(broken({"schema": schema}))


def test_a_ca_is_found_by_its_certificate_id_alone() -> None:
    other = replace(CA, name="other", certificate_id="cd" * 32)
    rules = replace(RULES, cas=(CA, other))
    assert rules.ca("cd" * 32) is other
    assert rules.ca("ab" * 32) is CA
    assert rules.ca("factory") is None
    assert rules.ca("") is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(RULES, fleet="other"),
        replace(RULES, cas=()),
        replace(RULES, cas=(replace(CA, common_name=".*"),)),
        replace(RULES, cas=(replace(CA, checks={"key": CheckMode.OFF}),)),
        replace(RULES, cas=(replace(CA, certificate_mode=CertificateMode.DEFAULT),)),
    ],
)
def test_changed_rules_have_another_digest(changed: Rules) -> None:
    assert changed.digest != RULES.digest


@pytest.mark.parametrize(
    "changed",
    [
        replace(RULES, pending_after=60),
        replace(RULES, horizon=60),
        replace(RULES, every=60),
        replace(RULES, device_expiry=60),
    ],
)
def test_a_key_of_the_sweep_makes_no_held_device_due(changed: Rules) -> None:
    assert changed.to_json() != RULES.to_json()
    assert changed.digest == RULES.digest


def test_the_order_of_attributes_does_not_change_the_digest() -> None:
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    assert len({replace(RULES, cas=(replace(CA, attributes=some),)).digest for some in (one, other)}) == 1


def test_a_check_is_enforced_unless_the_rules_say_otherwise() -> None:
    assert {check: CA.mode_of(check) for check in CHECK_NAMES} == {
        **dict.fromkeys(CHECK_NAMES, CheckMode.ENFORCE),
        "revocation": CheckMode.OFF,
    }
    assert replace(CA, checks={"key": CheckMode.OFF}).mode_of("key") is CheckMode.OFF


def test_a_hook_is_asked_where_there_is_one_and_its_check_is_not_off() -> None:
    with_hook = replace(CA, hook="arn:aws:lambda:eu-central-1:111111111111:function:check", checks={})
    assert with_hook.asks_hook
    assert replace(with_hook, checks={HOOK: CheckMode.OBSERVE}).asks_hook
    assert not replace(with_hook, checks={HOOK: CheckMode.OFF}).asks_hook
    assert not replace(CA, hook=None, checks={HOOK: CheckMode.ENFORCE}).asks_hook


def test_rules_that_do_not_tell_the_policys_variables_are_read_as_if_it_named_all() -> None:
    document = json.loads(RULES.to_json())
    for name in ("serial_number", "san_dns", "policy_variables"):
        del document["cas"][0][name]
    read = Rules.from_json(json.dumps(document)).cas[0]
    assert (read.policy_uses_certificates, read.policy_uses_alternative_names) == (True, True)
    assert read.patterns == {"common_name": "sensor-[0-9]{4,}"}
