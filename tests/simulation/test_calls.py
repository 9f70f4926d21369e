"""What happens to a call between a boto3 client and a service: faults, retries, quotas, the log."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from jitr.aws.calls import CLIENT_CONFIG
from simulation import Aws, Call, Died, Fault, Moment, NotModelled, SimulatedAccount
from simulation.quotas import TokenBucket

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def once(fault: Fault, moment: Moment, *operations: str) -> Callable[[Call, Moment], Fault | None]:
    """A hook that strikes the first attempt of each of the operations."""
    left = set(operations)

    def hook(call: Call, now: Moment) -> Fault | None:
        if now != moment or call.operation not in left:
            return None
        left.discard(call.operation)
        return fault

    return hook


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every really slept second that is not none."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda amount: seconds.append(amount) if amount else None)
    return seconds


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SERVER_ERROR, Fault.TIMEOUT])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_botocore_retries_in_virtual_time(
    aws: Aws, iot: "IoTClient", slept: list[float], fault: Fault, moment: Moment
) -> None:
    aws.fault = once(fault, moment, "CreateThing")
    iot.create_thing(thingName="sensor-1")
    first, second = aws.calls
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.invocation == second.invocation
    assert first.answer in ("ThrottlingException", "InternalFailureException", "timeout")
    assert second.answer == "ok"
    assert second.at > first.at
    assert slept == []


def test_a_fault_before_leaves_nothing_done_and_one_after_leaves_it_done(
    account: SimulatedAccount, iot: "IoTClient"
) -> None:
    things = account.iot.things.by_name
    for moment, expected in (("before", False), ("after", True)):
        things.clear()
        account.aws.fault = lambda _, now, moment=moment: Fault.SERVER_ERROR if now == moment else None
        with pytest.raises(iot.exceptions.InternalFailureException):
            iot.create_thing(thingName="sensor-1")
        assert ("sensor-1" in things) is expected


def test_retries_end_after_three_attempts(aws: Aws, iot: "IoTClient") -> None:
    aws.fault = lambda _, __: Fault.THROTTLED
    with pytest.raises(iot.exceptions.ThrottlingException) as raised:
        iot.create_thing(thingName="sensor-1")
    assert [call.attempt for call in aws.calls] == [1, 2, 3]
    # AWS IoT's throttle is HTTP 400 (docs/aws-facts.md §6).
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_timeout_takes_the_clients_read_timeout(aws: Aws, account: SimulatedAccount) -> None:
    client = account.client("iot", config=CLIENT_CONFIG)
    aws.fault = lambda _, __: Fault.TIMEOUT
    with pytest.raises(ReadTimeoutError):
        client.create_thing(thingName="sensor-1")
    assert 9 <= aws.clock.monotonic() < 13  # three attempts of 3 s, and the back-off between them


def test_nothing_catches_a_death(aws: Aws, iot: "IoTClient") -> None:
    def die(_call: Call, _moment: Moment) -> None:
        raise Died

    aws.fault = die
    with pytest.raises(Died):
        iot.create_thing(thingName="sensor-1")
    assert aws.calls[0].answer is None


def test_an_operator_can_act_between_two_calls(aws: Aws, account: SimulatedAccount, iot: "IoTClient") -> None:
    operator = account.client("iot", caller="operator")

    def act(call: Call, moment: Moment) -> Fault | None:
        if call.operation == "CreateThing" and moment == "before" and call.attempt == 1:
            operator.create_thing(thingName="somebody-elses")
            return Fault.THROTTLED
        return None

    aws.fault = act
    iot.create_thing(thingName="sensor-1")
    assert aws.list_operations(caller="operator") == ["CreateThing"]
    assert set(account.iot.things.by_name) == {"somebody-elses", "sensor-1"}


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sqs", "send_message", {"QueueUrl": "https://q", "MessageBody": "x"}),
        ("dynamodb", "get_item", {"TableName": "t", "Key": {"id": {"S": "x"}}}),
        ("events", "put_events", {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}),
        ("iot", "describe_thing", {"thingName": "x"}),
    ],
)
def test_every_services_5xx_and_throttle_are_what_botocore_retries(
    aws: Aws, account: SimulatedAccount, service: Any, operation: str, parameters: dict[str, Any]
) -> None:
    for fault in (Fault.SERVER_ERROR, Fault.THROTTLED):
        aws.calls.clear()
        aws.fault = lambda _, __, fault=fault: fault
        with pytest.raises(ClientError):
            getattr(account.client(service), operation)(**parameters)
        assert len(aws.calls) == 3


def test_what_is_not_modelled_is_loud(account: SimulatedAccount, iot: "IoTClient") -> None:
    with pytest.raises(NotModelled, match="iot:ListJobs"):
        iot.list_jobs()
    account.aws.fault = lambda _, __: Fault.PARTIAL
    with pytest.raises(NotModelled, match="partial"):
        iot.create_thing(thingName="sensor-1")


def test_calls_take_their_latency(aws: Aws, iot: "IoTClient") -> None:
    aws.latency = lambda call: 0.05 if call.operation == "CreateThing" else 0.01
    iot.create_thing(thingName="sensor-1")
    iot.describe_thing(thingName="sensor-1")
    assert aws.clock.monotonic() == pytest.approx(0.06)


def test_a_quota_throttles_what_exceeds_it(aws: Aws, account: SimulatedAccount, iot: "IoTClient") -> None:
    account.quotas["iot:DescribeThing"] = TokenBucket(aws.clock, 10, burst=0)
    iot.create_thing(thingName="sensor-1")
    iot.describe_thing(thingName="sensor-1")
    aws.clock.advance(0.1)
    iot.describe_thing(thingName="sensor-1")
    assert account.throttled["iot:DescribeThing"] == 0
    iot.describe_thing(thingName="sensor-1")  # at once: throttled, and retried
    assert account.throttled["iot:DescribeThing"] >= 1
    assert aws.calls[-1].answer == "ok"


def test_a_bucket_lets_its_rate_through_and_no_more(aws: Aws) -> None:
    bucket = TokenBucket(aws.clock, 10, burst=1)
    assert sum(bucket.take() for _ in range(100)) == 10
    taken = 0
    for _ in range(1000):
        aws.clock.advance(0.01)
        taken += bucket.take()
    assert taken == 100


def test_accounts_and_regions_are_separate(aws: Aws, account: SimulatedAccount, iot: "IoTClient") -> None:
    iot.create_thing(thingName="sensor-1")
    for other in (aws.account("222222222222"), aws.account(account.id, "us-east-1")):
        client = other.client("iot")
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_thing(thingName="sensor-1")
    assert aws.account(account.id) is account


def test_a_throttle_is_answered_at_the_front_door_and_what_is_done_is_done_before_its_answer_is_heard(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient"
) -> None:
    aws.latency = lambda _call: 1.0
    seen: list[tuple[float, bool]] = []

    def note(_call: Call, _moment: Moment) -> None:
        seen.append((round(aws.clock.monotonic(), 6), "sensor-1" in account.iot.things.by_name))

    aws.fault = note
    iot.create_thing(thingName="sensor-1")
    assert seen == [(0.2, False), (0.2, True)]
    assert aws.clock.monotonic() == pytest.approx(1.0)
