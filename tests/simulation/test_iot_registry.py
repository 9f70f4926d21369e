"""Things, groups, policies and attachments, as boto3 sees them; docs/aws-facts.md §5 and §7."""

from typing import TYPE_CHECKING

import pytest

from simulation import Authority, Aws, SimulatedAccount

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@pytest.fixture
def arn(account: SimulatedAccount, authority: Authority) -> str:
    """A registered certificate's."""
    return account.iot.certificates.register(authority.issue("sensor-1"), status="INACTIVE", mode="SNI_ONLY").arn


def test_creating_the_same_thing_again_is_fine_and_another_is_not(iot: "IoTClient") -> None:
    iot.create_thing(thingName="sensor-1", attributePayload={"attributes": {"model": "a"}})
    iot.create_thing(thingName="sensor-1", attributePayload={"attributes": {"model": "a"}})
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as raised:
        iot.create_thing(thingName="sensor-1", attributePayload={"attributes": {"model": "b"}})
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert raised.value.response["resourceId"] == "sensor-1"  # type: ignore[typeddict-item]  # this error's own


def test_a_missing_thing_type_is_not_found(iot: "IoTClient") -> None:
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.create_thing(thingName="sensor-1", thingTypeName="sensor")
    iot.create_thing_type(thingTypeName="sensor")
    iot.create_thing(thingName="sensor-1", thingTypeName="sensor")
    assert iot.describe_thing(thingName="sensor-1")["thingTypeName"] == "sensor"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("has space", {}),
        ("ümlaut", {}),
        ("x" * 129, {}),
        ("ok", {"model": "has space"}),
        ("ok", {"model": "plus+"}),
        ("ok", {"na me": "x"}),
        ("ok", {"a": "1", "b": "2", "c": "3", "d": "4"}),
    ],
)
def test_what_iot_does_not_allow_is_an_invalid_request(iot: "IoTClient", name: str, attributes: dict[str, str]) -> None:
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.create_thing(thingName=name, attributePayload={"attributes": attributes})


def test_a_type_allows_fifty_attributes(iot: "IoTClient") -> None:
    iot.create_thing_type(thingTypeName="sensor")
    fifty = {f"a{number}": "x" for number in range(50)}
    iot.create_thing(thingName="sensor-1", thingTypeName="sensor", attributePayload={"attributes": fifty})
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.update_thing(thingName="sensor-1", attributePayload={"attributes": {"more": "x"}, "merge": True})


def test_updating_merges_or_replaces(iot: "IoTClient") -> None:
    iot.create_thing(thingName="sensor-1", attributePayload={"attributes": {"a": "1", "b": "2"}})
    iot.update_thing(thingName="sensor-1", attributePayload={"attributes": {"b": "", "c": "3"}, "merge": True})
    thing = iot.describe_thing(thingName="sensor-1")
    assert (thing["attributes"], thing["version"]) == ({"a": "1", "c": "3"}, 2)
    iot.update_thing(thingName="sensor-1", attributePayload={"attributes": {"d": "4"}}, expectedVersion=2)
    assert iot.describe_thing(thingName="sensor-1")["attributes"] == {"d": "4"}
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.update_thing(thingName="sensor-1", expectedVersion=2)


def test_an_exclusive_certificate_is_on_one_thing_only(iot: "IoTClient", arn: str) -> None:
    iot.create_thing(thingName="one")
    iot.create_thing(thingName="two")
    for _ in range(2):  # idempotent
        iot.attach_thing_principal(thingName="one", principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.attach_thing_principal(thingName="two", principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.attach_thing_principal(thingName="two", principal=arn)
    assert iot.list_thing_principals(thingName="one")["principals"] == [arn]
    assert iot.list_principal_things(principal=arn)["things"] == ["one"]
    assert iot.list_thing_principals_v2(thingName="one")["thingPrincipalObjects"] == [
        {"principal": arn, "thingPrincipalType": "EXCLUSIVE_THING"}
    ]


def test_several_certificates_may_be_on_one_thing(
    account: SimulatedAccount, authority: Authority, iot: "IoTClient"
) -> None:
    iot.create_thing(thingName="one")
    for _ in range(2):
        other = account.iot.certificates.register(authority.issue("one"), status="ACTIVE", mode="SNI_ONLY")
        iot.attach_thing_principal(thingName="one", principal=other.arn, thingPrincipalType="EXCLUSIVE_THING")
    assert len(iot.list_thing_principals(thingName="one")["principals"]) == 2


def test_attaching_needs_the_thing_and_the_certificate(account: SimulatedAccount, iot: "IoTClient", arn: str) -> None:
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.attach_thing_principal(thingName="missing", principal=arn)
    iot.create_thing(thingName="one")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.attach_thing_principal(thingName="one", principal=account.iot.certificates.arn("0" * 64))
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.attach_thing_principal(thingName="one", principal="no-arn")


def test_detaching_shows_after_seconds(aws: Aws, iot: "IoTClient", arn: str) -> None:
    iot.create_thing(thingName="one")
    iot.attach_thing_principal(thingName="one", principal=arn)
    iot.detach_thing_principal(thingName="one", principal=arn)
    assert iot.list_thing_principals(thingName="one")["principals"] == [arn]
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing(thingName="one")
    aws.clock.advance(6)
    assert iot.list_thing_principals(thingName="one")["principals"] == []
    iot.delete_thing(thingName="one")
    iot.delete_thing(thingName="one")


def test_attaching_again_overtakes_a_detachment_under_way(aws: Aws, iot: "IoTClient", arn: str) -> None:
    iot.create_thing(thingName="one")
    iot.attach_thing_principal(thingName="one", principal=arn)
    iot.detach_thing_principal(thingName="one", principal=arn)
    iot.attach_thing_principal(thingName="one", principal=arn)
    aws.clock.advance(60)
    assert iot.list_thing_principals(thingName="one")["principals"] == [arn]


def test_groups_hold_things_and_must_be_there(iot: "IoTClient") -> None:
    iot.create_thing(thingName="one")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.add_thing_to_thing_group(thingName="one", thingGroupName="factory-1")
    iot.create_thing_group(thingGroupName="factory-1")
    for _ in range(2):
        iot.add_thing_to_thing_group(thingName="one", thingGroupName="factory-1")
    groups = iot.list_thing_groups_for_thing(thingName="one")["thingGroups"]
    assert [group.get("groupName") for group in groups] == ["factory-1"]


def test_an_eleventh_policy_exceeds_the_limit(iot: "IoTClient", arn: str) -> None:
    for number in range(11):
        iot.create_policy(policyName=f"p{number}", policyDocument="{}")
    for number in range(10):
        iot.attach_policy(policyName=f"p{number}", target=arn)
    iot.attach_policy(policyName="p0", target=arn)  # again is fine
    with pytest.raises(iot.exceptions.LimitExceededException) as raised:
        iot.attach_policy(policyName="p10", target=arn)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410
    iot.detach_policy(policyName="p0", target=arn)
    attached = iot.list_attached_policies(target=arn)["policies"]
    assert [policy.get("policyName") for policy in attached] == [f"p{number}" for number in range(1, 10)]


def test_attaching_needs_the_policy_and_the_target(account: SimulatedAccount, iot: "IoTClient", arn: str) -> None:
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.attach_policy(policyName="missing", target=arn)
    iot.create_policy(policyName="device", policyDocument="{}")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.attach_policy(policyName="device", target=account.iot.certificates.arn("0" * 64))
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_policy(policyName="device", policyDocument="{}")
