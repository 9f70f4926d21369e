"""What the templates of AWS's guide and of public projects become: the keys, and the places of what they do not.

Each is rebuilt in the shape of one that was found: the guide's pages "Just-in-time provisioning" and "Provisioning
templates", a workshop, a tutorial, two Terraform modules, a program that makes templates for any groups and policies,
and a blog's.
"""

import json
from typing import Any

import pytest

from jitrctl.jitp.block import StagePlace, make_block
from jitrctl.jitp.template import translate
from tests.support.cli.jitp_fleet import ARN, POLICY, PREFIX
from tests.support.jitp.corpus import ALL, ref, resource

PLACE = StagePlace(partition="aws", region="eu-central-1", account_id="111111111111")
THING, POLICY_AT = "$.Resources.thing.Properties", "$.Resources.policy.Properties"
CERTIFICATE = resource("Certificate", {"CertificateId": ref("Id"), "Status": "ACTIVE"})
NAMED = resource("Policy", {"PolicyName": "pump-policy"})
COMMON = {"certificate": "certs/pumps.pem", "common_name": "[a-zA-Z0-9:_-]{1,64}", "thing_name": "{common_name}"}
BY_NAME = {**COMMON, "policy": "policies/pumps.json"}


def inline(*statements: dict[str, Any]) -> dict[str, Any]:
    return resource("Policy", {"PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": statements})})


def template(declares: tuple[str, ...], more: dict[str, Any] | None = None, **resources: Any) -> dict[str, Any]:
    parameters = {f"{PREFIX}{name}": {"Type": "String"} for name in declares}
    return {"Parameters": parameters, "Resources": resources} | (more or {})


def thing(properties: dict[str, Any], **overrides: str) -> dict[str, Any]:
    return resource("Thing", properties) | ({"OverrideSettings": overrides} if overrides else {})


TALK = {"Effect": "Allow", "Action": ["iot:Publish"], "Resource": [f"{ARN}:topic/foo/bar"]}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], list[str]]] = {
    "guide, just-in-time provisioning": (
        template(
            ("CommonName", "SerialNumber", "Country", "Id"),
            thing=thing(
                {
                    "ThingName": ref("CommonName"),
                    "AttributePayload": {"version": "v1", "serialNumber": ref("SerialNumber")},
                    "ThingTypeName": "lightBulb-versionA",
                    "ThingGroups": ["v1-lightbulbs", ref("Country")],
                },
                AttributePayload="MERGE",
                ThingTypeName="REPLACE",
                ThingGroups="DO_NOTHING",
            ),
            certificate=CERTIFICATE | {"OverrideSettings": {"Status": "DO_NOTHING"}},
            policy=inline(TALK),
        ),
        {
            **COMMON,
            "thing_type": "lightBulb-versionA",
            "thing_groups": ["v1-lightbulbs"],
            "attributes": {"version": "v1", "serialNumber": "{serial_number}"},
            "existing": True,
            "policy": "policies/pumps.json",
        },
        [f"{THING}.ThingGroups[1]"],
        ["$.Resources.thing.OverrideSettings", "$.Resources.certificate.OverrideSettings", "", "$.Parameters"],
    ),
    "guide, provisioning templates": (
        {
            "Parameters": {
                "ThingName": {"Type": "String"},
                "SerialNumber": {"Type": "String"},
                "Location": {"Type": "String", "Default": "WA"},
            },
            "Mappings": {"LocationTable": {"Seattle": {"LocationUrl": "https://example.aws"}}},
            "Resources": {
                "thing": thing(
                    {
                        "ThingName": {"Fn::Join": ["", ["ThingPrefix_", {"Ref": "SerialNumber"}]]},
                        "AttributePayload": {"version": "v1", "location": {"Ref": "Location"}},
                        "ThingTypeName": "lightBulb-versionA",
                        "ThingGroups": ["v1-lightbulbs", "WA"],
                        "BillingGroup": "LightBulbBillingGroup",
                    }
                ),
                "certificate": CERTIFICATE,
                "policy": NAMED,
            },
            "DeviceConfiguration": {"FallbackUrl": "https://www.example.com/test-site"},
        },
        {
            **COMMON,
            "thing_type": "lightBulb-versionA",
            "thing_groups": ["v1-lightbulbs", "WA"],
            "attributes": {"version": "v1", "location": "WA"},
            "billing_group": "LightBulbBillingGroup",
            "existing": True,
            "policy": "policies/pumps.json",
        },
        ["$.DeviceConfiguration", f"{THING}.ThingName.Fn::Join[1][1].Ref", "$.Resources"],
        [""],
    ),
    "a workshop: an inline policy for any client": (
        template(
            ("CommonName", "Country", "Id"),
            thing=thing(
                {
                    "ThingName": ref("CommonName"),
                    "AttributePayload": {"version": "v1", "country": ref("Country")},
                }
            ),
            certificate=CERTIFICATE,
            policy=inline({"Effect": "Allow", "Action": ["iot:Connect"], "Resource": [f"{ARN}:client/*"]}, TALK),
        ),
        {**COMMON, "attributes": {"version": "v1", "country": "{country}"}, "policy": "policies/pumps.json"},
        [],
        [""],
    ),
    "a tutorial: a placeholder that was never filled": (
        template(
            ("CommonName", "Id"),
            thing=thing(
                {
                    "ThingName": ref("CommonName"),
                    "ThingGroups": ["auto-provisioned"],
                    "AttributePayload": {"provisioning_method": "JITP", "provisioned_at": "{{timestamp}}"},
                }
            ),
            certificate=CERTIFICATE,
            policy=NAMED,
        ),
        {
            **COMMON,
            "thing_groups": ["auto-provisioned"],
            "attributes": {"provisioning_method": "JITP"},
            "existing": True,
            "policy": "policies/pumps.json",
        },
        [f"{THING}.AttributePayload.provisioned_at"],
        [""],
    ),
    "a Terraform module: Status in another spelling, resources by its own names": (
        template(
            ("Id", "CommonName"),
            thing=thing({"ThingName": ref("CommonName"), "ThingGroups": ["pumps"]}),
            certificate=resource("Certificate", {"CertificateId": ref("Id"), "Status": "Active"}),
            **{"policy_my-iot-policy": NAMED},
        ),
        {**COMMON, "thing_groups": ["pumps"], "existing": True, "policy": "policies/pumps.json"},
        [],
        [""],
    ),
    "a Terraform module: what to do with things that exist, the policy first": (
        template(
            ("CommonName", "Id"),
            policy=NAMED,
            certificate=CERTIFICATE,
            thing=thing(
                {"ThingName": ref("CommonName")},
                AttributePayload="MERGE",
                ThingGroups="DO_NOTHING",
                ThingTypeName="REPLACE",
            ),
        ),
        BY_NAME,
        [],
        ["$.Resources.thing.OverrideSettings", ""],
    ),
    "a program: all parameters declared, several policies": (
        template(
            ALL,
            thing=thing(
                {
                    "ThingName": ref("CommonName"),
                    "AttributePayload": {"version": "v1", "serialNumber": ref("SerialNumber")},
                    "ThingGroups": ["a", "b"],
                },
                AttributePayload="REPLACE",
            ),
            certificate=CERTIFICATE,
            first=NAMED,
            second=resource("Policy", {"PolicyName": "other"}),
        ),
        {
            **COMMON,
            "thing_groups": ["a", "b"],
            "attributes": {"version": "v1", "serialNumber": "{serial_number}"},
            "existing": True,
            "policy": "policies/pumps.json",
        },
        ["$.Resources.second.Properties.PolicyName"],
        ["$.Resources.thing.OverrideSettings", "", "$.Parameters"],
    ),
    "a blog: a prefix, the policy's name by device, a function of CloudFormation": (
        template(
            ("SerialNumber", "Id"),
            thing=thing(
                {
                    "ThingName": {"Fn::Sub": f"pump-${{{PREFIX}SerialNumber}}"},
                    "AttributePayload": {"region": {"Fn::Base64": "eu"}},
                }
            ),
            certificate=CERTIFICATE,
            policy=resource("Policy", {"PolicyName": {"Fn::Join": ["", ["policy-", ref("SerialNumber")]]}}),
        ),
        {
            "certificate": "certs/pumps.pem",
            "serial_number": "[a-zA-Z0-9:_-]{1,64}",
            "thing_name": "pump-{serial_number}",
        },
        [f"{THING}.AttributePayload.region.Fn::Base64", f"{POLICY_AT}.PolicyName", "$.Resources"],
        [""],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_templates_shape_becomes_these_keys_and_the_rest_is_named(name: str) -> None:
    body, keys, missing, remarks = SHAPES[name]
    documents = {"pump-policy": json.dumps(POLICY), "other": None}
    block = make_block("pumps", translate(json.dumps(body)), documents, PLACE)
    assert dict(block.keys) == keys
    assert [line.split(": ")[0] for line in block.missing] == missing
    assert [line.split(": ")[0] if line.startswith("$") else "" for line in block.remarks] == remarks


def test_the_workshops_policy_is_fitted_to_each_stage_and_nothing_else_is_changed() -> None:
    body, *_ = SHAPES["a workshop: an inline policy for any client"]
    block = make_block("pumps", translate(json.dumps(body)), {}, PLACE)
    statements = json.loads(block.policy or "")["Statement"]
    assert [one["Resource"] for one in statements] == [
        ["arn:<partition>:iot:<region>:<account>:client/*"],
        ["arn:<partition>:iot:<region>:<account>:topic/foo/bar"],
    ]
