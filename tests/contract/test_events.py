"""EventBridge's PutEvents, as the announcer meets it; docs/aws-facts.md §10."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

INVALID = ("ValidationException", 400)


def entry(**more: Any) -> "PutEventsRequestEntryTypeDef":
    given: Any = {"Source": "jitr", "DetailType": "Device Activated", "Detail": "{}", "EventBusName": "default"} | more
    return {name: value for name, value in given.items() if value is not None}  # type: ignore[return-value]


def test_an_event_is_taken_and_gets_an_id(place: Place) -> None:
    answered = place.events.put_events(Entries=[entry(Time=place.now()), entry()])

    assert answered["FailedEntryCount"] == 0
    assert [bool(one.get("EventId")) for one in answered["Entries"]] == [True, True]
    assert not any("ErrorCode" in one for one in answered["Entries"])


@pytest.mark.parametrize(
    ("broken", "code"),
    [({"Detail": "no JSON"}, "MalformedDetail"), ({"DetailType": None}, "InvalidArgument")],
    ids=["the detail is no JSON", "without a detail-type"],
)
def test_an_entry_that_fails_is_counted_and_named_in_its_place_and_the_others_are_taken(
    place: Place, broken: dict[str, Any], code: str
) -> None:
    answered = place.events.put_events(Entries=[entry(), entry(**broken), entry()])

    codes = [one.get("ErrorCode") for one in answered["Entries"]]
    assert codes == expected(place, [None, code, None], event_unchecked=[None, None, None])
    failed = [not one.get("EventId") for one in answered["Entries"]]
    assert failed == [bool(code) for code in codes]
    assert answered["FailedEntryCount"] == sum(failed)


def test_an_event_for_a_bus_that_is_not_there_is_taken_and_lost(place: Place) -> None:
    answered = place.events.put_events(Entries=[entry(EventBusName="nowhere")])

    assert answered["FailedEntryCount"] == 0
    assert answered["Entries"][0].get("EventId")


def test_a_request_holds_ten_entries_at_most(place: Place) -> None:
    assert answer(lambda: place.events.put_events(Entries=[entry()] * 10)) == OK
    assert answer(lambda: place.events.put_events(Entries=[entry()] * 11)) == INVALID
