"""What doctor says of the queue without receiving from it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.decisions import Record
from jitrctl.doctoring.backlog import Backlog, oldest, said_of

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def backlog(*, total: int = 3, age: timedelta | None = 5 * MINUTE) -> Backlog:
    return Backlog(waiting=total, in_work=0, put_off=0, oldest=age)


def record(**fields: Any) -> Record:
    return Record(**fields)


def test_messages_in_work_and_put_off_are_told_apart_from_those_that_wait() -> None:
    attributes = {
        "ApproximateNumberOfMessages": "5",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "ApproximateNumberOfMessagesDelayed": "1",
    }
    told = str(Backlog.of(attributes, 4 * MINUTE))
    assert told == "about 8 messages for all devices in the queue, 2 of them in work, 1 put off, the oldest for 4m"


@pytest.mark.parametrize(
    ("queue", "registered", "told"),
    [
        (backlog(), 20 * MINUTE, "the event of its registration, 2026-11-26 11:40Z, is not among them any more"),
        (backlog(), 6 * MINUTE, "the event of its registration, 2026-11-26 11:54Z, may be among them"),
        (backlog(age=None), 20 * MINUTE, "the event of its registration, 2026-11-26 11:40Z, may be among them"),
        (backlog(total=0), 20 * MINUTE, "the event of its registration, 2026-11-26 11:40Z, is not among them any more"),
        (backlog(total=0), MINUTE, ""),
        (backlog(), None, ""),
    ],
)
def test_a_registration_older_than_the_oldest_message_has_no_event_in_the_queue(
    queue: Backlog, registered: timedelta | None, told: str
) -> None:
    assert said_of(queue, record(), NOW - registered if registered else None, NOW) == told


def test_a_device_that_is_being_decided_on_is_said_to_be() -> None:
    begun: Any = SimpleNamespace(decided_at=NOW)
    assert (
        said_of(backlog(), record(intent=begun), NOW, NOW) == "the function has begun on this device, 2026-11-26 12:00Z"
    )


@pytest.mark.parametrize(
    ("datapoints", "age"),
    [
        ([], None),
        ([{"Timestamp": NOW, "Maximum": 240.0}, {"Timestamp": NOW - MINUTE, "Maximum": 180.0}], 4 * MINUTE),
    ],
)
def test_the_age_is_cloudwatchs_latest(datapoints: list[dict[str, Any]], age: timedelta | None) -> None:
    client = SimpleNamespace(get_metric_statistics=lambda **_: {"Datapoints": datapoints})
    stage: Any = SimpleNamespace(access=SimpleNamespace(client=lambda _: client))
    assert oldest(stage, "jitr-acme-registrations", NOW) == age
