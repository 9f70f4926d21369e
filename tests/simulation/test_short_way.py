"""The short way of a call shows what the whole way through botocore shows."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from simulation import Call, Fault, Leaf, Moment, SimulatedAccount
from simulation.clock import START
from simulation.conversion import answer, request
from simulation.short_way import ShortWay
from tests.support.survival.matrix import ALL, Company, Strike, cases
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import Scenario

# What each service is asked, beside what the failure matrix does: (service, operation, parameters).
ASKED: list[tuple[Any, str, dict[str, Any]]] = [
    ("iot", "list_ca_certificates", {}),
    ("iot", "list_certificates", {"pageSize": 1, "ascendingOrder": True}),
    ("iot", "describe_thing", {"thingName": "nobody/%2F ü"}),
    ("iot", "describe_thing", {"thingName": ""}),
    ("iot", "describe_thing", {}),
    ("iot", "create_thing", {"thingName": "sensor-1", "attributePayload": {"attributes": {"model": 7}}}),
    ("iot", "create_thing", {"thingName": "sensor-1", "colour": "blue"}),
    ("iot", "create_thing", {"thingName": "sensor-1", "thingTypeName": "none"}),
    ("iot", "update_certificate", {"certificateId": "ab" * 32, "newStatus": "ACTIVE"}),
    ("iot", "attach_policy", {"policyName": "device", "target": "nonsense"}),
    ("dynamodb", "get_item", {"TableName": "none", "Key": {"id": {"S": "x"}}}),
    ("dynamodb", "get_item", {"TableName": "jitr-acme-registry", "Key": {"id": {"X": "x"}}}),
    (
        "dynamodb",
        "put_item",
        {
            "TableName": "jitr-acme-registry",
            "Item": {
                "id": {"S": "x"},
                "all": {"M": {"l": {"L": [{"N": "1"}, {"BOOL": True}, {"NULL": True}]}, "s": {"SS": ["a", "b"]}}},
            },
        },
    ),
    ("dynamodb", "put_item", {"TableName": "jitr-acme-registry", "Item": {"id": {"S": "x"}, "bytes": {"B": b"\x00"}}}),
    ("dynamodb", "get_item", {"TableName": "jitr-acme-registry", "Key": {"id": {"S": "x"}}}),
    ("sqs", "get_queue_url", {"QueueName": "none"}),
    ("sqs", "receive_message", {"QueueUrl": "https://sqs.eu-central-1.amazonaws.com/1/none"}),
    ("sqs", "send_message_batch", {"QueueUrl": "https://sqs.eu-central-1.amazonaws.com/1/none", "Entries": []}),
    ("sqs", "delete_message", {"QueueUrl": "x", "ReceiptHandle": True}),
    ("events", "put_events", {"Entries": []}),
    ("cloudwatch", "get_metric_statistics", {"Namespace": "AWS/SQS"}),
    (
        "cloudwatch",
        "get_metric_statistics",
        {
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateAgeOfOldestMessage",
            "Dimensions": [{"Name": "QueueName", "Value": "jitr-acme-registrations"}],
            "StartTime": START,
            "EndTime": START + timedelta(minutes=5),
            "Period": 60,
            "Statistics": ["Maximum"],
        },
    ),
    (
        "cloudwatch",
        "get_metric_statistics",
        {
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateAgeOfOldestMessage",
            "Dimensions": [{"Name": "QueueName", "Value": "jitr-acme-registrations"}],
            "StartTime": (START + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=2))),
            "EndTime": START + timedelta(minutes=5, microseconds=3691),
            "Period": 60,
            "Statistics": ["Maximum"],
        },
    ),
    ("events", "put_events", {"Entries": [{"Source": "jitr", "DetailType": "x", "Detail": "{}", "Time": "nonsense"}]}),
    ("s3", "get_object", {"Bucket": "jitr-acme-crl-111111111111-eu-central-1", "Key": "none"}),
    ("lambda", "invoke", {"FunctionName": "arn:aws:lambda:eu-central-1:111111111111:function:none", "Payload": b"{}"}),
]


@contextmanager
def whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every call go through botocore."""
    with monkeypatch.context() as patch:
        patch.setattr(ShortWay, "__call__", ShortWay._whole)
        yield


def said(call: Callable[[], Any]) -> Any:
    """What a caller sees of a call: its answer, or the error that it raises."""
    try:
        return call()
    except ClientError as error:
        return type(error).__name__, error.response, error.operation_name, str(error)
    except BotoCoreError as error:
        return type(error).__name__, str(error)


def all_said(leaf: Leaf) -> list[Any]:
    world = World()
    world.aws.clock.advance(1.23456)  # AWS tells milliseconds
    world.connect(leaf)
    world.aws.clock.advance(100)
    return [
        said(lambda asked=asked: getattr(world.account.client(asked[0]), asked[1])(**asked[2]))  # type: ignore[misc]
        for asked in ASKED
    ]


def test_answers_and_errors_are_the_same_as_through_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = World().leaf
    short = all_said(leaf)
    with whole(monkeypatch):
        through_botocore = all_said(leaf)
    for asked, one, other in zip(ASKED, short, through_botocore, strict=True):
        assert _comparable(one) == _comparable(other), asked


def _comparable(shown: Any) -> Any:
    """Without what an S3 object is read through, which is another one each time."""
    return {**shown, "Body": shown["Body"].read()} if isinstance(shown, dict) and "Body" in shown else shown


@pytest.mark.parametrize(
    "moment",
    [
        START,
        START + timedelta(microseconds=3691),
        START + timedelta(seconds=0.5),
        START.replace(year=1969),
        START.astimezone(timezone(timedelta(hours=2))),
    ],
)
def test_a_time_is_sent_as_botocore_sends_it(
    account: SimulatedAccount, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent() -> Any:
        entry = {"Source": "jitr", "DetailType": "x", "Detail": "{}", "Time": moment}
        account.client("events").put_events(Entries=[entry])
        return account.aws.calls[-1].parameters

    short = sent()
    with whole(monkeypatch):
        assert sent() == short


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_only_calls_whose_body_is_no_json_object_of_parameters_go_through_botocore(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_botocore: set[str] = set()
    go = ShortWay._whole

    def noted(self: ShortWay, name: str, params: dict[str, Any]) -> Any:
        through_botocore.add(f"{self._client.meta.service_model.service_name}:{name}")
        return go(self, name, params)

    monkeypatch.setattr(ShortWay, "_whole", noted)
    case, *_ = cases(scenario, Strike.DIES_AFTER, Company.NOBODY)
    case.play()
    assert through_botocore <= {
        "s3:GetObject",
        "lambda:Invoke",
        "iot-data:GetThingShadow",
        "iot-data:UpdateThingShadow",
    }


# One strike of each kind, at every call of every scenario.
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_the_failure_matrix_makes_the_same_calls_as_through_botocore(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    strikes = (Strike.THROTTLED, Strike.TIMEOUT_AFTER, Strike.DIES_AFTER)
    for strike in strikes:
        case, *_ = cases(scenario, strike, Company.NOBODY)
        random.seed(7)  # what is put off comes again after as many seconds
        calls = [(call.name, call.attempt, call.answer, sorted(call.parameters)) for call in case.play().aws.calls]
        random.seed(7)
        with whole(monkeypatch):
            again = case.play().aws.calls
        assert calls == [(call.name, call.attempt, call.answer, sorted(call.parameters)) for call in again]


def test_a_listener_hears_all_that_botocore_tells(account: SimulatedAccount) -> None:
    client = account.client("iot", caller="test")
    client.create_thing(thingName="sensor-1")
    heard: list[str] = []
    client.meta.events.register("before-call", lambda event_name, **_: heard.append(event_name))
    client.create_thing(thingName="sensor-1")
    assert heard == ["before-call.iot.CreateThing"]


def test_a_client_is_connected_only_when_something_fails(account: SimulatedAccount) -> None:
    client = account.client("iot", caller="test")
    own: Any = client.meta.events._own
    client.create_thing(thingName="sensor-1")
    assert not own._handlers.prefix_search("before-send.iot.CreateThing")

    def fault(call: Call, moment: Moment) -> Fault | None:
        return Fault.THROTTLED if (moment, call.attempt) == ("before", 1) else None

    account.aws.fault = fault
    assert client.create_thing(thingName="sensor-1")["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize("service", ["iot", "dynamodb", "sqs", "events", "cloudwatch"])
def test_what_the_functions_call_takes_the_short_way(account: SimulatedAccount, service: Any) -> None:
    model = account.client(service).meta.service_model
    used = {
        "iot": ["DescribeCertificate", "CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"],
        "dynamodb": ["BatchGetItem", "UpdateItem", "TransactWriteItems", "Query"],
        "sqs": ["SendMessageBatch", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"],
        "events": ["PutEvents"],
        "cloudwatch": ["GetMetricStatistics"],
    }
    for operation in used[service]:
        assert request(model.operation_model(operation)), operation
        assert answer(model.operation_model(operation)), operation
