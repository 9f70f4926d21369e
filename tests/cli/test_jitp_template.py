"""A provisioning template becomes the keys of fleet.toml that do the same; the shapes are those of AWS's guide."""

import json
from typing import Any

from jitr.rules import TEMPLATE_FIELDS
from jitrctl.jitp.template import Translation, translate
from jitrctl.jitp.values import FIELDS

_REF = "AWS::IoT::Certificate::"


def _body(thing: dict[str, Any], policy: dict[str, Any] | None = None, **more: Any) -> str:
    certificate = {"CertificateId": {"Ref": f"{_REF}Id"}, "Status": "ACTIVE"}
    resources = {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": thing},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": policy or {"PolicyName": "pump-policy"}},
    }
    return json.dumps({"Parameters": {name: {"Type": "String"} for name in FIELDS}, "Resources": resources} | more)


def names(found: Translation) -> list[str | None]:
    return [one.name for one in found.policies]


def test_the_shape_of_the_jitp_page_becomes_the_keys_of_a_ca() -> None:
    found = translate(
        _body(
            {
                "ThingName": {"Ref": f"{_REF}CommonName"},
                "AttributePayload": {"version": "v1", "country": {"Ref": f"{_REF}Country"}},
                "ThingTypeName": "pump",
                "ThingGroups": ["hall-1", "pumps"],
                "BillingGroup": "east",
            }
        )
    )
    assert (found.thing_name, found.thing_type, found.thing_groups) == ("{common_name}", "pump", ("hall-1", "pumps"))
    assert found.attributes == (("version", "v1"), ("country", "{country}"))
    assert (found.billing_group, names(found), found.missing) == ("east", ["pump-policy"], ())


def test_functions_become_fields_and_literals() -> None:
    name = {"Fn::Join": ["-", ["pump", {"Fn::Sub": f"${{{_REF}SerialNumber}}"}]]}
    city = {"Fn::FindInMap": ["Place", "x", "City"]}
    second = {"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}
    thing = {"ThingName": name, "AttributePayload": {"city": city, "second": second}}
    found = translate(_body(thing, Mappings={"Place": {"x": {"City": "Bern"}}}))
    assert found.thing_name == "pump-{serial_number}"
    assert found.attributes == (("city", "Bern"), ("second", "b"))
    assert found.missing == ()


def test_an_inline_policy_has_policy_variables_for_what_comes_from_the_certificate() -> None:
    arn = "arn:aws:iot:eu-central-1:111111111111:client/"
    before = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "' + arn
    document = {"Fn::Join": ["", [before, {"Ref": f"{_REF}CommonName"}, '"}]}']]}
    found = translate(_body({"ThingName": "t"}, {"PolicyDocument": document}))
    (policy,) = found.policies
    resource = json.loads(policy.document or "")["Statement"][0]["Resource"]
    assert resource == f"{arn}${{iot:Certificate.Subject.CommonName}}"


def test_what_cannot_be_translated_is_named_with_its_place() -> None:
    by_country = {"Fn::FindInMap": ["Place", {"Ref": f"{_REF}Country"}, "City"]}
    found = translate(
        _body({"ThingName": {"Fn::Base64": "a"}, "AttributePayload": {"city": by_country}}, Mappings={"Place": {}})
    )
    at = [line.split(": ")[0] for line in found.missing]
    assert at == [
        "$.Resources.thing.Properties.ThingName.Fn::Base64",
        "$.Resources.thing.Properties.AttributePayload.city.Fn::FindInMap[1]",
        "$.Resources",
    ]
    assert 'the function "Fn::Base64" is not known' in found.missing[0]
    assert "depends on the certificate" in found.missing[1]


def test_a_body_that_is_no_template_is_said_and_not_raised() -> None:
    assert translate("{").missing[0].startswith("$: the template is not JSON")
    assert translate("[]").missing == ("$.Resources: there are no resources",)


def test_every_parameter_of_jitp_is_a_field_of_our_templates() -> None:
    assert set(FIELDS.values()) <= set(TEMPLATE_FIELDS)


def test_a_group_that_differs_by_device_is_not_taken_for_a_fixed_one() -> None:
    found = translate(_body({"ThingName": "t", "ThingGroups": ["hall-1", {"Ref": f"{_REF}Country"}]}))
    assert found.thing_groups == ("hall-1",)
    assert [line.split(": ")[0] for line in found.missing] == ["$.Resources.thing.Properties.ThingGroups[1]"]


def test_a_certificate_that_stays_inactive_is_named_and_all_policies_are_taken() -> None:
    template = json.loads(_body({"ThingName": "t"}))
    template["Resources"]["certificate"]["Properties"]["Status"] = "INACTIVE"
    template["Resources"]["more"] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "other"}}
    found = translate(json.dumps(template))
    assert names(found) == ["pump-policy", "other"]
    at = [line.split(": ")[0] for line in found.missing]
    assert at == ["$.Resources.certificate.Properties.Status"]
