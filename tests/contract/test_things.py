"""Things, their groups, certificates and policies; docs/aws-facts.md §5 and §7."""

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer, new_name
from tests.support.contract.registered import Ca

INVALID = ("InvalidRequestException", 400)
NOT_FOUND = ("ResourceNotFoundException", 404)
EXISTS = ("ResourceAlreadyExistsException", 409)
POLICY = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture
def thing(place: Place) -> str:
    return place.iot.create_thing(thingName=new_name("thing"))["thingName"]


@pytest.fixture
def thing_type(place: Place) -> str:
    return place.iot.create_thing_type(thingTypeName=new_name("type"))["thingTypeName"]


@pytest.fixture
def group(place: Place) -> str:
    return place.iot.create_thing_group(thingGroupName=new_name("group"))["thingGroupName"]


@pytest.fixture
def policy(place: Place) -> str:
    return place.iot.create_policy(policyName=new_name("policy"), policyDocument=POLICY)["policyName"]


def unknown_arn(place: Place) -> str:
    return f"arn:aws:iot:{place.region}:{place.account_id}:cert/{'0' * 64}"


# CreateThing and UpdateThing


def test_a_thing_is_created_again_if_it_is_the_same_and_else_refused(place: Place, thing_type: str) -> None:
    name, other_type = new_name("thing"), place.iot.create_thing_type(thingTypeName=new_name("type"))["thingTypeName"]

    def create(type_name: str, **attributes: str) -> object:
        return place.iot.create_thing(
            thingName=name, thingTypeName=type_name, attributePayload={"attributes": attributes}
        )

    assert answer(lambda: create(thing_type, model="S1")) == OK
    assert answer(lambda: create(thing_type, model="S1")) == OK
    assert answer(lambda: create(thing_type, model="S2")) == EXISTS
    assert answer(lambda: create(thing_type, model="S1", colour="red")) == EXISTS
    assert answer(lambda: create(thing_type)) == EXISTS
    assert answer(lambda: create(other_type, model="S1")) == EXISTS
    assert answer(lambda: place.iot.create_thing(thingName=name)) == EXISTS
    described = place.iot.describe_thing(thingName=name)
    assert (described["thingTypeName"], described["attributes"]) == (thing_type, {"model": "S1"})


def test_the_refusal_names_the_thing(place: Place, thing: str) -> None:
    with pytest.raises(place.iot.exceptions.ResourceAlreadyExistsException) as refused:
        place.iot.create_thing(thingName=thing, attributePayload={"attributes": {"model": "S1"}})

    named = {"resourceId": thing, "resourceArn": f"arn:aws:iot:{place.region}:{place.account_id}:thing/{thing}"}
    found = {key: refused.value.response.get(key) for key in named}
    assert found == expected(place, named, taken_thing_unnamed=dict.fromkeys(named))


def test_a_thing_of_a_type_that_is_not_there_is_not_created(place: Place) -> None:
    name = new_name("thing")

    assert answer(lambda: place.iot.create_thing(thingName=name, thingTypeName=new_name("type"))) == NOT_FOUND
    assert answer(lambda: place.iot.describe_thing(thingName=name)) == NOT_FOUND


@pytest.mark.parametrize("value", ["a space", "ö", "plus+"])
def test_a_value_that_an_attribute_cannot_have_is_refused(place: Place, value: str) -> None:
    name = new_name("thing")

    def create() -> object:
        return place.iot.create_thing(thingName=name, attributePayload={"attributes": {"model": value}})

    assert answer(create) == expected(place, INVALID, attribute_values_unchecked=OK)


def test_a_thing_without_a_type_has_three_attributes_at_most(place: Place) -> None:
    def create(number: int) -> object:
        attributes = {f"attribute{index}": "x" for index in range(number)}
        return place.iot.create_thing(thingName=new_name("thing"), attributePayload={"attributes": attributes})

    assert answer(lambda: create(3)) == OK
    assert answer(lambda: create(4)) == expected(place, INVALID, attributes_uncounted=OK)


def test_an_update_merges_attributes_and_sets_the_type(place: Place, thing_type: str) -> None:
    name = new_name("thing")
    place.iot.create_thing(thingName=name, attributePayload={"attributes": {"colour": "red", "model": "S0"}})

    place.iot.update_thing(
        thingName=name, thingTypeName=thing_type, attributePayload={"attributes": {"model": "S1"}, "merge": True}
    )
    place.iot.update_thing(thingName=name, attributePayload={"attributes": {"site": "7"}, "merge": True})

    described = place.iot.describe_thing(thingName=name)
    assert described["thingTypeName"] == thing_type
    assert described["attributes"] == {"colour": "red", "model": "S1", "site": "7"}


def test_an_update_of_a_thing_or_to_a_type_that_is_not_there_is_refused(place: Place, thing: str) -> None:
    merge = {"attributes": {"model": "S1"}, "merge": True}

    def update(name: str, **more: str) -> object:
        return place.iot.update_thing(thingName=name, attributePayload=merge, **more)  # type: ignore[arg-type]

    assert answer(lambda: update(new_name("thing"))) == NOT_FOUND
    assert answer(lambda: update(thing, thingTypeName=new_name("type"))) == NOT_FOUND


# Groups


def test_a_thing_is_added_to_a_group_once_or_twice(place: Place, thing: str, group: str) -> None:
    for _ in range(2):
        place.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)

    groups = place.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
    assert [one.get("groupName") for one in groups] == [group]


def test_a_group_or_thing_that_is_not_there_is_not_found(place: Place, thing: str, group: str) -> None:
    def add(thing_name: str, group_name: str) -> object:
        return place.iot.add_thing_to_thing_group(thingName=thing_name, thingGroupName=group_name)

    assert answer(lambda: add(thing, new_name("group"))) == NOT_FOUND
    assert answer(lambda: add(new_name("thing"), group)) == NOT_FOUND


# Certificates on things


def attach(place: Place, thing: str, arn: str, kind: str | None = "EXCLUSIVE_THING") -> object:
    more = {"thingPrincipalType": kind} if kind else {}
    return place.iot.attach_thing_principal(thingName=thing, principal=arn, **more)  # type: ignore[arg-type]


def test_a_certificate_is_attached_exclusively_once_or_twice(place: Place, ca: Ca, thing: str) -> None:
    arn = ca.registered()["certificateArn"]

    for _ in range(2):
        assert answer(lambda: attach(place, thing, arn)) == OK

    assert place.iot.list_thing_principals(thingName=thing)["principals"] == [arn]
    assert place.iot.list_principal_things(principal=arn)["things"] == [thing]


def test_an_exclusive_certificate_goes_on_no_second_thing(place: Place, ca: Ca, thing: str) -> None:
    arn, second = ca.registered()["certificateArn"], new_name("thing")
    place.iot.create_thing(thingName=second)
    attach(place, thing, arn)

    assert answer(lambda: attach(place, second, arn)) == expected(place, INVALID, exclusive_thing_ignored=OK)


def test_a_certificate_of_another_thing_is_not_attached_exclusively(place: Place, ca: Ca, thing: str) -> None:
    arn, second = ca.registered()["certificateArn"], new_name("thing")
    place.iot.create_thing(thingName=second)
    attach(place, second, arn, None)

    assert answer(lambda: attach(place, thing, arn)) == expected(place, INVALID, exclusive_thing_ignored=OK)


def test_a_thing_takes_a_second_certificate_exclusively_as_a_rotation_needs(place: Place, ca: Ca, thing: str) -> None:
    arns = [ca.registered()["certificateArn"] for _ in range(2)]

    for arn in arns:
        assert answer(lambda: attach(place, thing, arn)) == OK  # noqa: B023 -- called here

    assert set(place.iot.list_thing_principals(thingName=thing)["principals"]) == set(arns)


def test_a_principal_or_thing_that_is_not_there_is_not_found(place: Place, ca: Ca, thing: str) -> None:
    arn = ca.registered()["certificateArn"]

    assert answer(lambda: attach(place, new_name("thing"), arn)) == NOT_FOUND
    assert answer(lambda: attach(place, thing, unknown_arn(place))) == NOT_FOUND
    assert answer(lambda: place.iot.list_thing_principals(thingName=new_name("thing"))) == NOT_FOUND
    assert answer(lambda: place.iot.list_principal_things(principal=unknown_arn(place))) == NOT_FOUND
    assert place.iot.list_thing_principals(thingName=thing)["principals"] == []


def test_detaching_shows_after_a_while_and_may_be_repeated(place: Place, ca: Ca, thing: str) -> None:
    arn = ca.registered()["certificateArn"]
    attach(place, thing, arn)

    def principals() -> list[str]:
        return place.iot.list_thing_principals(thingName=thing)["principals"]

    def detach() -> object:
        return place.iot.detach_thing_principal(thingName=thing, principal=arn)

    assert answer(detach) == OK
    assert principals() == expected(place, [arn], detached_at_once=[])
    place.wait_for(lambda: not principals(), "the detachment")
    assert answer(detach) in (OK, NOT_FOUND)  # which is not documented; jitr takes both
    assert answer(lambda: attach(place, thing, arn)) == OK


# Policies


def test_a_policy_is_attached_and_detached_once_or_twice(place: Place, ca: Ca, policy: str) -> None:
    arn = ca.registered()["certificateArn"]

    def attached() -> list[str | None]:
        return [one.get("policyName") for one in place.iot.list_attached_policies(target=arn)["policies"]]

    for _ in range(2):
        assert answer(lambda: place.iot.attach_policy(policyName=policy, target=arn)) == OK
    assert attached() == [policy]
    for _ in range(2):
        assert answer(lambda: place.iot.detach_policy(policyName=policy, target=arn)) == OK
    assert attached() == []


def test_a_policy_or_certificate_that_is_not_there_is_not_found(place: Place, ca: Ca, policy: str) -> None:
    arn = ca.registered()["certificateArn"]

    assert answer(lambda: place.iot.attach_policy(policyName=new_name("policy"), target=arn)) == NOT_FOUND
    assert answer(lambda: place.iot.attach_policy(policyName=policy, target=unknown_arn(place))) == NOT_FOUND


def test_detaching_a_policy_that_is_not_there_is_no_error_or_not_found(place: Place, ca: Ca) -> None:
    arn = ca.registered()["certificateArn"]

    detached = answer(lambda: place.iot.detach_policy(policyName=new_name("policy"), target=arn))

    assert detached in (OK, NOT_FOUND)  # which is not documented; jitr takes both


def test_a_target_that_can_have_no_policy_is_refused(place: Place, policy: str) -> None:
    assert answer(lambda: place.iot.attach_policy(policyName=policy, target="nobody")) == INVALID


def test_a_certificate_has_ten_policies_at_most(place: Place, ca: Ca) -> None:
    arn = ca.registered()["certificateArn"]

    def attach_one() -> object:
        name = place.iot.create_policy(policyName=new_name("policy"), policyDocument=POLICY)["policyName"]
        return place.iot.attach_policy(policyName=name, target=arn)

    for _ in range(10):
        assert answer(attach_one) == OK
    assert answer(attach_one) == expected(place, ("LimitExceededException", 410), policies_uncounted=OK)
