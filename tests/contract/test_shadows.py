"""The data plane's classic shadows, and billing groups; docs/aws-facts.md §5."""

import json
from typing import Any

import pytest

from jitr.aws.shadows import Shadows
from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer, new_name

NOT_FOUND = ("ResourceNotFoundException", 404)
INVALID = ("InvalidRequestException", 400)
CONFLICT = ("ConflictException", 409)


@pytest.fixture
def thing(place: Place) -> str:
    return place.iot.create_thing(thingName=new_name("thing"))["thingName"]


def update(place: Place, thing: str, document: Any) -> Any:
    return place.data.update_thing_shadow(thingName=thing, payload=json.dumps(document).encode())


def state(place: Place, thing: str) -> Any:
    return json.loads(place.data.get_thing_shadow(thingName=thing)["payload"].read())["state"]


def test_a_thing_without_a_shadow_has_none(place: Place, thing: str) -> None:
    assert answer(lambda: place.data.get_thing_shadow(thingName=thing)) == NOT_FOUND


def test_an_update_makes_a_shadow_and_another_merges(place: Place, thing: str) -> None:
    update(place, thing, {"state": {"desired": {"a": {"b": 1, "c": 2}}}})
    update(place, thing, {"state": {"desired": {"a": {"c": None, "d": "é"}}}})
    assert state(place, thing)["desired"] == {"a": {"b": 1, "d": "é"}}


def test_an_update_of_another_version_than_the_latest_conflicts(place: Place, thing: str) -> None:
    update(place, thing, {"state": {"desired": {"a": 1}}})
    assert answer(lambda: update(place, thing, {"state": {"desired": {"a": 2}}, "version": 7})) == CONFLICT
    assert answer(lambda: update(place, thing, {"state": {"desired": {"a": 2}}, "version": 1})) == OK


def test_a_deleted_shadow_is_none_and_its_version_goes_on(place: Place, thing: str) -> None:
    update(place, thing, {"state": {"desired": {"a": 1}}})
    place.data.delete_thing_shadow(thingName=thing)
    assert answer(lambda: place.data.get_thing_shadow(thingName=thing)) == NOT_FOUND
    assert answer(lambda: update(place, thing, {"state": {"desired": {"b": 1}}, "version": 0})) == CONFLICT


def test_a_first_shadow_is_written_once(place: Place, thing: str) -> None:
    shadows = Shadows(place.data)
    assert shadows.write_first(thing, '{"state":{"desired":{"a":1}}}')
    assert not shadows.write_first(thing, '{"state":{"desired":{"a":2}}}')
    assert state(place, thing)["desired"] == {"a": 1}


def test_a_thing_is_made_in_a_billing_group(place: Place) -> None:
    def make() -> object:
        group = place.iot.create_billing_group(billingGroupName=new_name("group"))["billingGroupName"]
        name = new_name("thing")
        place.iot.create_thing(thingName=name, billingGroupName=group)
        assert place.iot.describe_thing(thingName=name)["billingGroupName"] == group
        return place.iot.add_thing_to_billing_group(thingName=name, billingGroupName=group)

    assert answer(make) == expected(place, OK, billing_groups_missing=INVALID)


def test_a_billing_group_must_exist(place: Place) -> None:
    nowhere = new_name("group")
    assert answer(lambda: place.iot.create_thing(thingName=new_name("t"), billingGroupName=nowhere)) == expected(
        place, NOT_FOUND, billing_groups_missing=OK
    )
