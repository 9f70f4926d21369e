"""Provisioning templates (JITP): the shapes of AWS's guide and of public projects, rebuilt; and random ones.

The public ones differ in how they name the thing, where the policy comes from, and which functions they use.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

_PREFIX = "AWS::IoT::Certificate::"
ALL = (
    "Country",
    "Organization",
    "OrganizationalUnit",
    "DistinguishedNameQualifier",
    "StateName",
    "CommonName",
    "SerialNumber",
    "Id",
)
REGION, ACCOUNT = "eu-central-1", "111111111111"
_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"


def ref(name: str) -> dict[str, str]:
    return {"Ref": f"{_PREFIX}{name}"}


def resource(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"Type": f"AWS::IoT::{kind}", "Properties": dict(properties)}


def policy(name: str) -> dict[str, Any]:
    return resource("Policy", {"PolicyName": name})


def body(
    *,
    thing: Mapping[str, Any],
    policies: Sequence[Mapping[str, Any]],
    declares: Sequence[str] = ("CommonName", "Id"),
    mappings: Mapping[str, Any] | None = None,
) -> str:
    """A template's body: one thing, the certificate ACTIVE, and policies."""
    resources = {
        "thing": resource("Thing", thing),
        "certificate": resource("Certificate", {"CertificateId": ref("Id"), "Status": "ACTIVE"}),
        **{f"policy{number}": resource("Policy", one) for number, one in enumerate(policies)},
    }
    template: dict[str, Any] = {
        "Parameters": {f"{_PREFIX}{name}": {"Type": "String"} for name in declares},
        "Resources": resources,
    }
    return json.dumps(template | ({"Mappings": mappings} if mappings else {}))


def _statement(resources: Any) -> str:
    statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


_BY_NAME = [{"PolicyName": "pumps"}]
# Name → the body.
CORPUS: Mapping[str, str] = {
    "the guide's JITP page": body(
        thing={
            "ThingName": ref("CommonName"),
            "AttributePayload": {"version": "v1", "country": ref("Country")},
            "ThingTypeName": "pump",
            "ThingGroups": ["hall-1", "pumps"],
            "BillingGroup": "east",
        },
        policies=[{"PolicyDocument": _statement([f"{_ARN}topic/foo/bar"])}],
        declares=("CommonName", "SerialNumber", "Country", "Id"),
    ),
    "the guide's page on templates": body(
        thing={
            "ThingName": {"Fn::Join": ["", ["ThingPrefix_", ref("SerialNumber")]]},
            "AttributePayload": {"version": "v1", "serialNumber": ref("SerialNumber")},
        },
        policies=_BY_NAME,
        declares=("SerialNumber", "Id"),
        mappings={"Unused": {"x": {"y": "z"}}},
    ),
    "a policy with the common name in it": body(
        thing={"ThingName": ref("CommonName")},
        policies=[
            {
                "PolicyDocument": {
                    "Fn::Join": [
                        "",
                        [
                            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", ',
                            f'"Resource": "{_ARN}client/',
                            ref("CommonName"),
                            '"}]}',
                        ],
                    ]
                }
            }
        ],
    ),
    "a thing by the certificate's id": body(
        thing={"ThingName": {"Fn::Sub": f"device-${{{_PREFIX}Id}}"}, "AttributePayload": {"cn": ref("CommonName")}},
        policies=_BY_NAME,
    ),
    "a place by a map, fixed": body(
        thing={
            "ThingName": ref("CommonName"),
            "ThingTypeName": "pump",
            "AttributePayload": {"city": {"Fn::FindInMap": ["Place", "west", "City"]}, "org": ref("Organization")},
        },
        policies=_BY_NAME,
        declares=("CommonName", "Organization", "Id"),
        mappings={"Place": {"west": {"City": "Bern"}}},
    ),
    "all eight parameters as attributes": body(
        thing={
            "ThingName": ref("CommonName"),
            "ThingTypeName": "pump",
            "AttributePayload": {name.lower(): ref(name) for name in ALL},
        },
        policies=_BY_NAME,
        declares=ALL,
    ),
    "a group from a list, a policy as an object": body(
        thing={
            "ThingName": {"Fn::Join": ["-", ["pump", ref("OrganizationalUnit"), ref("SerialNumber")]]},
            "ThingGroups": [{"Fn::Select": ["1", {"Fn::Split": [",", "hall-1,pumps"]}]}],
        },
        policies=[{"PolicyDocument": json.loads(_statement("*"))}],
        declares=("OrganizationalUnit", "SerialNumber", "Id"),
    ),
}

_LITERALS = st.sampled_from(["", "a", "b-1", "pump", "x:y", "_", "1"])
_REFS = st.sampled_from([ref(name) for name in ALL])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    texts = st.lists(inner, min_size=1, max_size=3)
    separators = st.sampled_from(["", "-", "_"])
    return st.one_of(
        st.tuples(separators, texts).map(lambda pair: {"Fn::Join": list(pair)}),
        texts.flatmap(lambda some: st.integers(0, len(some) - 1).map(lambda index: {"Fn::Select": [str(index), some]})),
        st.tuples(_LITERALS, inner).map(lambda pair: {"Fn::Sub": [f"{pair[0]}${{own}}!", {"own": pair[1]}]}),
        st.sampled_from(ALL).map(lambda name: {"Fn::Sub": f"s-${{{_PREFIX}{name}}}"}),
        st.tuples(separators.filter(bool), st.sampled_from(["a-b_c", "1-2_3"])).map(
            lambda pair: {"Fn::Join": ["", {"Fn::Split": list(pair)}]}
        ),
        st.just({"Fn::FindInMap": ["Place", "west", "City"]}),
    )


EXPRESSIONS = st.recursive(st.one_of(_LITERALS, _REFS), _nested, max_leaves=5)
# Random templates, which declare all eight parameters.
BODIES = st.fixed_dictionaries(
    {"ThingName": EXPRESSIONS},
    optional={
        "AttributePayload": st.dictionaries(st.sampled_from(["one", "two"]), EXPRESSIONS),
        "ThingTypeName": st.just("pump"),
        "ThingGroups": st.lists(st.sampled_from(["hall-1", "pumps"]), unique=True),
        "BillingGroup": st.just("east"),
    },
).map(lambda thing: body(thing=thing, policies=_BY_NAME, declares=ALL, mappings={"Place": {"west": {"City": "Bern"}}}))
# What a certificate says, by JITP's parameter: legal names, and values that AWS IoT refuses.
# serialNumber and dnQualifier are PrintableString (RFC 5280, appendix A.1).
_PRINTABLE = ["a", "pump-7", "7", "a b", ""]
SUBJECTS = st.fixed_dictionaries(
    {name: st.sampled_from(_PRINTABLE) for name in ("SerialNumber", "DistinguishedNameQualifier")}
    | {
        name: st.sampled_from([*_PRINTABLE, "B_2", "ü", "x:y"])
        for name in ("Organization", "OrganizationalUnit", "StateName", "CommonName")
    }
    | {"Country": st.sampled_from(["CH", "DE"])},
)
