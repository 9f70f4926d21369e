"""The lists from which a survey is made, and what they name; docs/aws-facts.md §3, §5 and §7."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer, new_name
from tests.support.contract.registered import Ca

NOT_FOUND = ("ResourceNotFoundException", 404)
INVALID = ("InvalidRequestException", 400)
UNAUTHORIZED = ("UnauthorizedException", 401)
POLICY = '{"Version": "2012-10-17", "Statement": []}'
TEMPLATE = json.dumps(
    {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "device"}},
        },
    }
)
ROLE = "arn:aws:iam::111111111111:role/provisioning"

# Each list: its page's size, marker and next marker, and what its items are in.
OLD, NEW = ("pageSize", "marker", "nextMarker"), ("maxResults", "nextToken", "nextToken")
Make = Callable[[Place, Ca], dict[str, Any]]  # two of what is listed, or more; the list's parameters


def two_things(place: Place, _: Ca) -> dict[str, Any]:
    for _number in range(2):
        place.iot.create_thing(thingName=new_name("thing"))
    return {}


def two_policies(place: Place, _: Ca) -> dict[str, Any]:
    for _number in range(2):
        new_policy(place)
    return {}


def two_targets(place: Place, ca: Ca) -> dict[str, Any]:
    name = new_policy(place)
    for _number in range(2):
        place.iot.attach_policy(policyName=name, target=ca.registered()["certificateArn"])
    return {"policyName": name}


def two_attached(place: Place, ca: Ca) -> dict[str, Any]:
    arn = ca.registered()["certificateArn"]
    for _number in range(2):
        place.iot.attach_policy(policyName=new_policy(place), target=arn)
    return {"target": arn}


def two_principals(place: Place, ca: Ca) -> dict[str, Any]:
    name = place.iot.create_thing(thingName=new_name("thing"))["thingName"]
    for _number in range(2):
        place.iot.attach_thing_principal(thingName=name, principal=ca.registered()["certificateArn"])
    return {"thingName": name}


def two_of_principal(place: Place, ca: Ca) -> dict[str, Any]:
    arn = ca.registered()["certificateArn"]
    for _number in range(2):
        name = place.iot.create_thing(thingName=new_name("thing"))["thingName"]
        place.iot.attach_thing_principal(thingName=name, principal=arn)
    return {"principal": arn}


def two_in_group(place: Place, _: Ca) -> dict[str, Any]:
    group = place.iot.create_thing_group(thingGroupName=new_name("group"))["thingGroupName"]
    for _number in range(2):
        name = place.iot.create_thing(thingName=new_name("thing"))["thingName"]
        place.iot.add_thing_to_thing_group(thingName=name, thingGroupName=group)
    return {"thingGroupName": group, "recursive": True}


def two_templates(place: Place, _: Ca) -> dict[str, Any]:
    for _number in range(2):
        new_template(place)
    return {}


def two_cas(place: Place, _: Ca, make_authority: Callable[[], Any]) -> dict[str, Any]:
    place.iot.register_ca_certificate(caCertificate=make_authority().pem, certificateMode="SNI_ONLY")
    return {}


LISTS: dict[str, tuple[Make, tuple[str, str, str], str]] = {
    "list_things": (two_things, NEW, "things"),
    "list_policies": (two_policies, OLD, "policies"),
    "list_targets_for_policy": (two_targets, OLD, "targets"),
    "list_attached_policies": (two_attached, OLD, "policies"),
    "list_thing_principals": (two_principals, NEW, "principals"),
    "list_principal_things": (two_of_principal, NEW, "things"),
    "list_things_in_thing_group": (two_in_group, NEW, "things"),
    "list_provisioning_templates": (two_templates, NEW, "templates"),
}


def new_policy(place: Place) -> str:
    return place.iot.create_policy(policyName=new_name("policy"), policyDocument=POLICY)["policyName"]


def new_template(place: Place, **more: Any) -> str:
    name = new_name("template")
    place.iot.create_provisioning_template(
        templateName=name, templateBody=TEMPLATE, provisioningRoleArn=ROLE, **{"enabled": True, **more}
    )
    return name


@pytest.mark.parametrize("operation", LISTS)
def test_a_list_comes_page_by_page_and_names_each_once(place: Place, ca: Ca, operation: str) -> None:
    make, (size, sent, got), items = LISTS[operation]
    params, call = make(place, ca), getattr(place.iot, operation)
    everything = call(**params, **{size: 250})[items]

    pages: list[list[Any]] = []
    marker = None
    while not pages or marker:
        answered = call(**params, **{size: 1}, **({sent: marker} if marker else {}))
        pages.append(answered[items])
        marker = answered.get(got)

    assert [one for page in pages for one in page] == everything
    assert len(everything) >= 2
    assert {len(page) for page in pages} == expected(place, {1}, page_sizes_ignored={len(everything)})


@pytest.mark.parametrize("operation", ["list_ca_certificates", "list_certificates"])
def test_certificates_and_cas_are_listed_with_a_status(
    place: Place, ca: Ca, operation: str, make_authority: Callable[[], Any]
) -> None:
    two_cas(place, ca, make_authority)
    for _ in range(2):
        ca.registered()

    listed = getattr(place.iot, operation)(pageSize=1)["certificates"]
    modes = [one.get("certificateMode") for one in listed]

    assert {one["status"] for one in listed} <= {"ACTIVE", "INACTIVE", "REVOKED", "PENDING_ACTIVATION"}
    assert len(listed) == expected(place, 1, page_sizes_ignored=len(listed) if len(listed) > 1 else 2)
    if operation == "list_certificates":
        assert modes == expected(place, ["SNI_ONLY"], certificate_modes_unlisted=[None] * len(listed))


def test_the_things_list_names_type_and_attributes(place: Place) -> None:
    kind = place.iot.create_thing_type(thingTypeName=new_name("type"))["thingTypeName"]
    name = new_name("thing")
    place.iot.create_thing(thingName=name, thingTypeName=kind, attributePayload={"attributes": {"model": "S1"}})

    (listed,) = [one for one in everything(place, "list_things") if one["thingName"] == name]

    assert (listed["thingTypeName"], listed["attributes"]) == (kind, {"model": "S1"})


def everything(place: Place, operation: str) -> list[Any]:
    """All that a list has, page by page."""
    _, (size, sent, got), items = LISTS[operation]
    found, marker = [], None
    while True:
        answered = getattr(place.iot, operation)(**{size: 250}, **({sent: marker} if marker else {}))
        found += answered[items]
        marker = answered.get(got)
        if not marker:
            return found


# What is attached to what


def test_a_policy_names_certificates_and_groups_as_its_targets(place: Place, ca: Ca) -> None:
    name, certificate = new_policy(place), ca.registered()["certificateArn"]
    group = place.iot.create_thing_group(thingGroupName=new_name("group"))["thingGroupArn"]
    for arn in (certificate, group):
        place.iot.attach_policy(policyName=name, target=arn)

    assert place.iot.list_targets_for_policy(policyName=name, pageSize=250)["targets"] == [certificate, group]
    attached = place.iot.list_attached_policies(target=group)["policies"]
    assert [one.get("policyName") for one in attached] == [name]


def test_a_policy_of_a_group_is_not_listed_for_the_certificates_of_its_things(place: Place, ca: Ca) -> None:
    certificate, thing = ca.registered()["certificateArn"], new_name("thing")
    group = place.iot.create_thing_group(thingGroupName=new_name("group"))
    place.iot.attach_policy(policyName=new_policy(place), target=group["thingGroupArn"])
    place.iot.create_thing(thingName=new_name("thing"))  # of no group
    place.iot.create_thing(thingName=thing)
    place.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group["thingGroupName"])
    place.iot.attach_thing_principal(thingName=thing, principal=certificate)

    assert place.iot.list_attached_policies(target=certificate)["policies"] == []
    assert place.iot.list_things_in_thing_group(thingGroupName=group["thingGroupName"])["things"] == [thing]


def test_what_lists_are_asked_about_and_is_not_there_is_not_found(place: Place) -> None:
    iot, unknown = place.iot, new_name("nothing")
    arn = f"arn:aws:iot:{place.region}:{place.account_id}:cert/{'0' * 64}"

    assert answer(lambda: iot.list_targets_for_policy(policyName=unknown)) == NOT_FOUND
    assert answer(lambda: iot.get_policy(policyName=unknown)) == NOT_FOUND
    assert answer(lambda: iot.list_thing_principals(thingName=unknown)) == NOT_FOUND
    assert answer(lambda: iot.list_things_in_thing_group(thingGroupName=unknown)) == NOT_FOUND
    assert answer(lambda: iot.describe_provisioning_template(templateName=unknown)) == NOT_FOUND
    assert answer(lambda: iot.list_attached_policies(target=arn)) == expected(place, NOT_FOUND, unknown_targets_bare=OK)


def test_a_policys_document_is_answered_as_it_was_given(place: Place) -> None:
    document = '{"Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}], "Version": "2012-10-17"}'
    name = new_name("policy")
    place.iot.create_policy(policyName=name, policyDocument=document)

    assert json.loads(place.iot.get_policy(policyName=name)["policyDocument"]) == json.loads(document)


def test_the_second_versions_of_both_lists_name_the_type_of_an_attachment(place: Place, ca: Ca) -> None:
    arn, thing, kind = ca.registered()["certificateArn"], new_name("thing"), "EXCLUSIVE_THING"
    place.iot.create_thing(thingName=thing)
    place.iot.attach_thing_principal(thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING")

    def of_thing() -> object:
        return place.iot.list_thing_principals_v2(thingName=thing)["thingPrincipalObjects"]

    def of_principal() -> object:
        return place.iot.list_principal_things_v2(principal=arn)["principalThingObjects"]

    def found(call: Callable[[], object]) -> object:
        refused = answer(call)
        return call() if refused == OK else refused

    of_both = [
        [{"principal": arn, "thingPrincipalType": kind}],
        [{"thingName": thing, "thingPrincipalType": kind}],
    ]
    assert [found(of_thing), found(of_principal)] == expected(
        place, of_both, attachment_types_missing=[INVALID, INVALID]
    )


# Handlers


def test_a_provisioning_template_is_listed_and_described_with_its_body(place: Place) -> None:
    fleet, jitp = new_template(place), new_template(place, type="JITP", enabled=False)

    listed = {one["templateName"]: one for one in everything(place, "list_provisioning_templates")}

    assert (listed[fleet]["type"], listed[fleet]["enabled"]) == ("FLEET_PROVISIONING", True)
    assert (listed[jitp]["type"], listed[jitp]["enabled"]) == ("JITP", False)
    assert "templateBody" not in listed[fleet]
    described = place.iot.describe_provisioning_template(templateName=jitp)
    assert (described["type"], json.loads(described["templateBody"])) == ("JITP", json.loads(TEMPLATE))


def test_a_ca_is_described_with_its_template(place: Place, make_authority: Callable[[], Any]) -> None:
    config = {"templateBody": TEMPLATE, "roleArn": ROLE}
    one = place.iot.register_ca_certificate(
        caCertificate=make_authority().pem,
        certificateMode="SNI_ONLY",
        registrationConfig=config,  # type: ignore[arg-type]
    )["certificateId"]

    assert place.iot.describe_ca_certificate(certificateId=one)["registrationConfig"] == config


def test_a_rule_is_listed_by_its_topic_and_its_actions_are_answered(place: Place, ca: Ca) -> None:
    topic = f"$aws/events/certificates/registered/{ca.certificate_id}"

    rules = place.iot.list_topic_rules()["rules"]
    (listed,) = [one for one in rules if one["topicPattern"].strip("'") == topic]
    rule = place.iot.get_topic_rule(ruleName=listed["ruleName"])["rule"]

    assert listed["ruleDisabled"] is False
    assert [action["sqs"]["queueUrl"] for action in rule["actions"]] == [ca.queue_url]
    assert answer(lambda: place.iot.get_topic_rule(ruleName="no_such_rule")) == UNAUTHORIZED
