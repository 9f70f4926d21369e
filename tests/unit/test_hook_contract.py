"""The hook's contract: what it is asked, what its answers mean, and that it gives nothing that is not the fleet's."""

from dataclasses import replace
from typing import Any

import pytest

from jitr.admission.applicant import Admitted
from jitr.admission.hook_contract import Overrides, apply_overrides, build_request, read_answer
from jitr.admission.identity import Identity
from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.x509.certificate import Certificate
from tests.support.cases.issuing import ACCOUNT, REGION, applying

APPLICATION = applying()
DEVICE, RULES = APPLICATION.device, replace(APPLICATION.ca_rules, extra_types=("meter",), extra_groups=("beta",))
IDENTITY = APPLICATION.admit()
ADMITTED = Admitted(device=DEVICE, certificate=Certificate.from_pem(DEVICE.pem), rules=RULES, identity=IDENTITY)
REQUEST = build_request(ADMITTED)
ASKED = REQUEST["parameters"]


def allowing(**overrides: object) -> dict[str, Any]:
    return {"allowProvisioning": True, "parameterOverrides": overrides}


def refusal(answer: object) -> Rejected:
    with pytest.raises(Rejected) as refused:
        apply_overrides(IDENTITY, read_answer(answer, ASKED), RULES)
    return refused.value


def after(**overrides: object) -> Identity:
    return apply_overrides(IDENTITY, read_answer(allowing(**overrides), ASKED), RULES)


def test_the_request_has_the_fields_of_awss_contract() -> None:
    assert {
        "claimCertificateId": DEVICE.certificate_id,
        "certificateId": DEVICE.certificate_id,
        "certificatePem": DEVICE.pem,
        "templateArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:provisioningtemplate/jitr-acme-factory",
        "clientId": "sensor-0001",
        "parameters": {
            "AWS::IoT::Certificate::CommonName": "sensor-0001",
            "AWS::IoT::Certificate::Id": DEVICE.certificate_id,
            "AWS::IoT::Certificate::Organization": "Acme",
            "AWS::IoT::Certificate::OrganizationalUnit": "Mark-2",
            "ThingGroups": "factory-1",
            "ThingName": "sensor-0001",
            "ThingType": "sensor",
            "model": "Mark-2",
        },
    } == REQUEST


def test_the_last_attempts_thing_name_stands_beside_the_parameters() -> None:
    asked = build_request(ADMITTED, previous_name="pump-6")
    assert asked == REQUEST | {"previousThingName": "pump-6"}


@pytest.mark.parametrize("name", ["pump-7", "sensor-0001"])
def test_a_hook_names_the_device_also_with_the_name_that_it_was_asked_about(name: str) -> None:
    assert read_answer(allowing(ThingName=name), ASKED).names
    assert not read_answer(allowing(site="Ulm"), ASKED).names


@pytest.mark.parametrize("answer", [{"allowProvisioning": True}, allowing(), allowing() | {"parameterOverrides": None}])
def test_a_hook_that_allows_and_overrides_nothing_changes_nothing(answer: dict[str, Any]) -> None:
    assert read_answer(answer, ASKED) == Overrides()
    assert apply_overrides(IDENTITY, Overrides(), RULES) == IDENTITY


def test_what_comes_back_as_it_was_sent_overrides_nothing() -> None:
    assert after(**ASKED) == IDENTITY


def test_a_hook_overrides_name_type_groups_and_attributes() -> None:
    assert after(ThingName="pump-7", ThingType="meter", ThingGroups="beta, factory-1", site="Ulm", model="Mark-3") == (
        replace(
            IDENTITY,
            thing_name="pump-7",
            thing_type="meter",
            thing_groups=("factory-1", "beta"),
            attributes={"model": "Mark-3", "site": "Ulm"},
        )
    )


def test_a_hook_that_does_not_allow_refuses_for_now_and_may_say_why() -> None:
    said = refusal({"allowProvisioning": False, "reason": "not paid\u2026"})
    assert said.reason is Reason.HOOK_REFUSED
    assert not said.reason.final
    assert "not paid" in said.detail
    assert said.detail.isascii()
    assert len(refusal({"allowProvisioning": False, "reason": "x" * 10_000}).detail) < 300


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        [],
        "true",
        {},
        {"allowProvisioning": "true"},
        {"allowProvisioning": 1},
        {"allowProvisioning": None},
        {"allowprovisioning": True},
        allowing() | {"parameterOverrides": ["ThingName"]},
        allowing(site=1),
        allowing(site=None),
        allowing(site="Bad Ulm"),
        allowing(**{"a b": "x"}),
        allowing(jitr_certificate="x"),
        allowing(ThingName="a/b"),
        allowing(ThingName=""),
        allowing(ThingName="a" * 129),
        allowing(ThingType="pump"),
        allowing(ThingGroups="gamma"),
        allowing(**{f"a{number}": "x" for number in range(49)}),
        allowing(**{"AWS::IoT::Certificate::CommonName": "sensor-0002"}),
        allowing(**{"AWS::IoT::Certificate::Country": "DE"}),
    ],
    ids=repr,
)
def test_an_answer_that_is_not_as_agreed_or_cannot_be_done_holds_the_device(answer: object) -> None:
    said = refusal(answer)
    assert said.reason is Reason.HOOK_FAILED
    assert not said.reason.final
    assert said.detail.isascii()
    assert said.detail.isprintable()


def test_an_override_cannot_make_a_group_or_type_that_the_stack_did_not() -> None:
    without = replace(RULES, extra_types=(), extra_groups=())
    for additions in (Additions(thing_type="meter"), Additions(thing_groups=("beta",))):
        with pytest.raises(Rejected, match="extra_"):
            apply_overrides(IDENTITY, Overrides(additions=additions), without)
