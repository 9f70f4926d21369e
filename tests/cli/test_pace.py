"""Commands over many devices take their turns by AWS's time."""

from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace

import boto3
import pytest

from jitrctl.session.pace import ServiceTime

NOW = datetime(2026, 11, 29, 16, 0, tzinfo=UTC)


def told(ahead: float, *, headers: dict[str, str]) -> float:
    """The time after one answer with these headers, in seconds from now, of who is ahead by so many."""
    client = boto3.client("dynamodb", region_name="eu-central-1")
    time = ServiceTime(client, lambda: NOW.timestamp() + ahead)
    answer = SimpleNamespace(headers=headers)
    client.meta.events.emit("after-call.dynamodb.GetItem", http_response=answer, parsed={}, model=None, context={})
    return time() - NOW.timestamp()


@pytest.mark.parametrize("ahead", [-3600.0, -2.0, 40.0])
def test_a_wrong_clock_does_not_move_the_accounts_schedule(ahead: float) -> None:
    assert told(ahead, headers={"Date": format_datetime(NOW, usegmt=True)}) == pytest.approx(0.5)


@pytest.mark.parametrize("ahead", [-0.3, 0.0, 0.9])
def test_a_clock_that_is_right_is_better_than_whole_seconds(ahead: float) -> None:
    assert told(ahead, headers={"Date": format_datetime(NOW, usegmt=True)}) == pytest.approx(ahead)


def test_an_answer_without_a_date_changes_nothing() -> None:
    assert told(40, headers={}) == pytest.approx(40)
