"""A first shadow is written once, never over one that exists; a billing group is joined, never left."""

import json
from typing import Any

import pytest

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.aws.shadows import Shadows
from jitr.errors import NotPermitted, Reason, Rejected, Unavailable
from jitr.provisioning import AddThingToBillingGroup, CreateThing, UpdateThing
from simulation import Aws, Call, Fault, Moment
from simulation.faults import ServiceError

THING = "sensor-0001"
DOCUMENT = '{"state":{"desired":{"interval":60}}}'
OTHER = b'{"state":{"desired":{"interval":5},"reported":{"battery":3}}}'


class Place:
    """One account with a thing in it."""

    def __init__(self) -> None:
        self.aws = Aws()
        self.account = self.aws.account("111111111111")
        self.iot = self.account.client("iot")
        self.iot.create_thing(thingName=THING)
        for group in ("costs", "others"):
            self.iot.create_billing_group(billingGroupName=group)
        self.data = self.account.client("iot-data", caller="admin")
        self.shadows = Shadows(self.account.client("iot-data"))
        self.aws_iot = AwsIot(self.iot, Unpaced(), clock=self.aws.clock.now)

    def state(self) -> Any:
        return json.loads(self.data.get_thing_shadow(thingName=THING)["payload"].read())["state"]

    def strike(self, operation: str, fault: Fault | ServiceError) -> None:
        def struck(call: Call, moment: Moment) -> Fault | None:
            if call.operation != operation or moment != "before":
                return None
            if isinstance(fault, ServiceError):
                raise fault
            return fault

        self.aws.fault = struck


@pytest.fixture
def place() -> Place:
    return Place()


def create(**more: Any) -> CreateThing:
    return CreateThing(
        thing_name=THING,
        thing_type=None,
        attributes={"site": "Ulm"},
        certificate_arn="arn:aws:iot:eu-central-1:111111111111:cert/" + "0" * 64,
        **more,
    )


def test_a_thing_without_a_shadow_gets_it_once(place: Place) -> None:
    assert place.shadows.write_first(THING, DOCUMENT)
    assert place.state() == {"desired": {"interval": 60}}
    assert not place.shadows.write_first(THING, DOCUMENT)
    assert len(place.account.iot.shadows.requests) == 1


def test_a_shadow_that_exists_stays_as_it_is(place: Place) -> None:
    place.data.update_thing_shadow(thingName=THING, payload=OTHER)
    assert not place.shadows.write_first(THING, DOCUMENT)
    assert place.state() == json.loads(OTHER)["state"]


def test_a_shadow_that_was_deleted_is_written_although_its_version_goes_on(place: Place) -> None:
    place.data.update_thing_shadow(thingName=THING, payload=OTHER)
    place.data.delete_thing_shadow(thingName=THING)
    assert place.shadows.write_first(THING, DOCUMENT)
    assert place.state() == {"desired": {"interval": 60}}


@pytest.mark.parametrize("operation", ["GetThingShadow", "UpdateThingShadow"])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SERVER_ERROR, Fault.TIMEOUT])
def test_a_call_that_a_retry_can_save_is_unavailable(place: Place, operation: str, fault: Fault) -> None:
    place.strike(operation, fault)
    with pytest.raises(Unavailable, match=operation):
        place.shadows.write_first(THING, DOCUMENT)


@pytest.mark.parametrize("operation", ["GetThingShadow", "UpdateThingShadow"])
def test_a_missing_permission_is_named(place: Place, operation: str) -> None:
    place.strike(operation, ServiceError("ForbiddenException", "Forbidden", status=403))
    with pytest.raises(NotPermitted, match=operation):
        place.shadows.write_first(THING, DOCUMENT)


def test_a_shadow_that_another_party_is_writing_is_theirs(place: Place) -> None:
    place.strike("UpdateThingShadow", ServiceError("ConflictException", "Version conflict", status=409))
    assert not place.shadows.write_first(THING, DOCUMENT)


@pytest.mark.parametrize(
    ("code", "status"), [("InvalidRequestException", 400), ("RequestEntityTooLargeException", 413)]
)
def test_a_document_that_aws_does_not_take_holds_the_device(place: Place, code: str, status: int) -> None:
    place.strike("UpdateThingShadow", ServiceError(code, "Invalid JSON", status=status))
    with pytest.raises(Rejected, match="UpdateThingShadow: Invalid JSON") as refused:
        place.shadows.write_first(THING, DOCUMENT)
    assert refused.value.reason is Reason.REQUEST_REFUSED


def test_a_new_thing_is_in_its_billing_group_by_the_call_that_makes_it(place: Place) -> None:
    place.iot.delete_thing(thingName=THING)
    before = len(place.aws.calls)
    assert place.aws_iot.things.create(create(billing_group="costs")) == ()
    assert place.aws.list_operations()[before:] == ["CreateThing"]
    assert place.iot.describe_thing(thingName=THING)["billingGroupName"] == "costs"
    assert place.aws_iot.things.create(create(billing_group="costs")) == ()


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("now", [None, "costs", "others"])
def test_an_existing_thing_joins_unless_it_is_in_a_billing_group(place: Place, now: str | None, is_ours: bool) -> None:  # noqa: FBT001 -- a case
    if now:
        place.iot.add_thing_to_billing_group(thingName=THING, billingGroupName=now)
    update = UpdateThing(thing_name=THING, thing_type=None, attributes={"site": "Ulm"})
    join = AddThingToBillingGroup(thing_name=THING, billing_group="costs")

    steps = place.aws_iot.things.create(create(billing_group="costs", is_ours=is_ours))

    assert steps == ((update,) if now else (update, join))
    for step in steps:
        place.aws_iot.apply(step)
    assert place.iot.describe_thing(thingName=THING)["billingGroupName"] == (now or "costs")


def test_a_billing_group_that_is_missing_is_named(place: Place) -> None:
    with pytest.raises(Rejected, match="thing type None or billing group nowhere is missing") as refused:
        place.aws_iot.things.create(create(billing_group="nowhere"))
    assert refused.value.reason is Reason.TARGET_MISSING
    with pytest.raises(Rejected, match="AddThingToBillingGroup: billing group nowhere is missing"):
        place.aws_iot.apply(AddThingToBillingGroup(thing_name=THING, billing_group="nowhere"))
