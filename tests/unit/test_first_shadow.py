"""A first shadow is filled from the certificate, as JSON that the certificate cannot change the shape of."""

import json
from dataclasses import replace

import pytest
from cryptography.x509.oid import NameOID

from jitr.admission.applicant import Applicant
from jitr.admission.identity import with_own_shadow
from jitr.admission.shadow import MOST_SHADOW_BYTES
from jitr.errors import Reason, Rejected
from jitr.rules import Rules
from tests.support.cases.issuing import SENSOR, Application, applying, factory, rules_for


def shadowed(shadow: str, pem: str | None = None, **rules: object) -> Application:
    return replace(applying(pem), rules=rules_for(factory(), shadow=shadow, **rules))


def made(shadow: str, pem: str | None = None, **rules: object) -> object:
    filled = shadowed(shadow, pem, **rules).admit().shadow
    assert filled is not None
    return json.loads(filled)


def test_every_text_of_the_document_is_a_template_and_nothing_else_changes() -> None:
    shadow = (
        '{"state":{"desired":{"id":"{thing_name}","at":[1,null,true,{"m":"{organizational_unit}-x"}]},"reported":{}}}'
    )
    assert made(shadow) == {
        "state": {"desired": {"id": "sensor-0001", "at": [1, None, True, {"m": "Mark-2-x"}]}, "reported": {}}
    }


def test_a_named_group_is_a_field_too() -> None:
    assert made('{"state":{"desired":{"n":"{unit}"}}}', common_name="sensor-(?P<unit>[0-9]+)") == {
        "state": {"desired": {"n": "0001"}}
    }


def test_without_a_shadow_in_the_rules_there_is_none() -> None:
    assert applying().admit().shadow is None


@pytest.mark.parametrize("value", ['"}, "x": {"', "{thing_name}", "a\\", "é\u2028"])
def test_a_value_of_the_certificate_stays_one_text(value: str) -> None:
    pem = factory().leaf(((NameOID.ORGANIZATION_NAME, value), *SENSOR[1:]))
    assert made('{"state":{"desired":{"by":"{organization}"}}}', pem) == {"state": {"desired": {"by": value}}}


def test_a_field_that_the_certificate_lacks_refuses_it() -> None:
    with pytest.raises(Rejected) as refused:
        shadowed('{"state":{"desired":{"by":"{dn_qualifier}"}}}').admit()
    assert refused.value.reason is Reason.SUBJECT_FIELD_MISSING


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_shadow_that_a_certificate_makes_too_large_refuses_it(more: int, fits: bool) -> None:  # noqa: FBT001 -- a case
    head, tail = '{"state":{"desired":{"t":"', '"}}}'
    padding = "é" * ((MOST_SHADOW_BYTES - len(head + tail + "sensor-0001")) // 2)
    padding += "x" * (MOST_SHADOW_BYTES - len((head + padding + "sensor-0001" + tail).encode()) + more)
    examination = shadowed(f"{head}{padding}{{common_name}}{tail}").examine()
    assert (examination.identity is not None) == fits
    if examination.refusal:
        assert examination.refusal.reason is Reason.NAME_NOT_LEGAL
        assert f"has {MOST_SHADOW_BYTES + 1} bytes" in examination.refusal.detail


def test_a_name_that_the_hook_gives_is_the_shadows_name() -> None:
    applied = shadowed('{"state":{"desired":{"id":"{thing_name}"}}}')
    (rules,) = applied.rules.cas
    certificate = Applicant.of(applied.device, applied.rules).certificate
    assert certificate is not None
    renamed = replace(applied.admit(), thing_name="other")
    assert with_own_shadow(renamed, rules, certificate).shadow == '{"state":{"desired":{"id":"other"}}}'


def test_another_shadow_or_billing_group_evaluates_held_devices_again() -> None:
    before = rules_for(factory())
    for changed in ({"shadow": '{"state":{"desired":{}}}'}, {"billing_group": "costs"}):
        after = rules_for(factory(), **changed)
        assert after.digest != before.digest
        assert Rules.from_json(after.to_json()) == after


def test_rules_of_a_version_without_them_are_read() -> None:
    document = json.loads(rules_for(factory()).to_json())
    for ca in document["cas"]:
        del ca["shadow"], ca["billing_group"]
    assert Rules.from_json(json.dumps(document)) == rules_for(factory())
