"""What doctor says of the queue without receiving from it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.record import Record
from jitrctl.doctor.backlog import Backlog, describe_messages, read_oldest

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def backlog(*, total: int = 3, age: timedelta | None = 5 * MINUTE) -> Backlog:
    return Backlog(waiting=total, in_work=0, put_off=0, oldest=NOW - age if age is not None else None)


def record(**fields: Any) -> Record:
    return Record(**fields)


def test_messages_in_work_and_put_off_are_told_apart_from_those_that_wait() -> None:
    attributes = {
        "ApproximateNumberOfMessages": "5",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "ApproximateNumberOfMessagesDelayed": "1",
    }
    assert str(Backlog.of(attributes, NOW - 4 * MINUTE)) == (
        "about 8 messages for all devices in the queue, 2 of them in work, 1 put off, "
        "the oldest sent 2026-11-26 11:56Z, but for those received more than three times"
    )


EVENT = "the event of its registration, 2026-11-26 11:40Z,"
NOT_CERTAIN = f"{EVENT} may be among them only if it was received more than three times"


@pytest.mark.parametrize(
    ("queue", "registered", "told"),
    [
        (backlog(), 20 * MINUTE, NOT_CERTAIN),
        (backlog(age=17 * MINUTE), 20 * MINUTE, f"{EVENT} may be among them"),
        (backlog(age=None), 20 * MINUTE, f"{EVENT} may be among them"),
        (backlog(total=0), 20 * MINUTE, f"{EVENT} is not among them any more"),
        (backlog(total=0), MINUTE, ""),
        (backlog(), None, ""),
    ],
)
def test_only_of_an_empty_queue_it_is_said_that_a_registrations_event_has_left_it(
    queue: Backlog, registered: timedelta | None, told: str
) -> None:
    assert describe_messages(queue, record(), NOW - registered if registered else None, NOW) == told


def test_a_device_that_is_being_decided_on_is_said_to_be() -> None:
    begun: Any = SimpleNamespace(decided_at=NOW)
    assert (
        describe_messages(backlog(), record(intent=begun), NOW, NOW)
        == "the function has begun on this device, 2026-11-26 12:00Z"
    )


def asked(*datapoints: tuple[timedelta, float]) -> datetime | None:
    """When the oldest message was sent, of these datapoints: how long they are ago, and the age in seconds."""
    answer = {"Datapoints": [{"Timestamp": NOW - ago, "Maximum": seconds} for ago, seconds in datapoints]}
    client = SimpleNamespace(get_metric_statistics=lambda **_: answer)
    stage: Any = SimpleNamespace(access=SimpleNamespace(client=lambda _: client))
    return read_oldest(stage, "jitr-acme-registrations", NOW)


def test_the_age_is_cloudwatchs_latest() -> None:
    assert asked((0 * MINUTE, 240.0), (MINUTE, 180.0)) == NOW - 4 * MINUTE
    assert asked() is None


def test_an_age_counts_from_the_time_that_it_was_measured_and_not_from_now() -> None:
    sent = asked((10 * MINUTE, 240.0))
    assert sent == NOW - 14 * MINUTE
    late = Backlog(waiting=3, in_work=0, put_off=0, oldest=sent)
    assert describe_messages(late, record(), NOW - 13 * MINUTE, NOW).endswith(", may be among them")
