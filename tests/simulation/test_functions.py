"""Functions that are invoked: real clients get what Lambda would answer."""

import json

import pytest
from botocore.exceptions import ClientError

from simulation import Aws, Call, Fault, Moment, SimulatedAccount
from simulation.faults import NotModelled


def test_a_function_gets_the_payload_and_its_answer_is_read_from_the_body(account: SimulatedAccount) -> None:
    arn = account.functions.create("echo", lambda event: {"got": event})
    answer = account.client("lambda").invoke(FunctionName=arn, Payload=b'{"a": "\xc3\xa4"}')
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {"got": {"a": "ä"}}


def test_what_a_function_raises_is_an_answer(account: SimulatedAccount) -> None:
    def broken(_: object) -> None:
        raise KeyError("serial")

    answer = account.client("lambda").invoke(FunctionName=account.functions.create("broken", broken), Payload=b"{}")
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "KeyError"


def test_a_function_that_is_not_there_is_not_found(account: SimulatedAccount) -> None:
    arn = account.functions.create("gone", lambda event: event)
    account.functions.delete(arn)
    with pytest.raises(ClientError) as refusal:
        account.client("lambda").invoke(FunctionName=arn, Payload=b"{}")
    assert refusal.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_a_throttled_invocation_says_so(aws: Aws, account: SimulatedAccount) -> None:
    def throttle(_: Call, moment: Moment) -> Fault | None:
        return Fault.THROTTLED if moment == "before" else None

    arn = account.functions.create("echo", lambda event: event)
    aws.fault = throttle
    with pytest.raises(ClientError) as refusal:
        account.client("lambda").invoke(FunctionName=arn, Payload=b"{}")
    assert refusal.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_what_is_not_modelled_is_not_silently_done(account: SimulatedAccount) -> None:
    arn = account.functions.create("echo", lambda event: event)
    with pytest.raises(NotModelled):
        account.client("lambda").invoke(FunctionName=arn, Payload=b"{}", InvocationType="DryRun")
