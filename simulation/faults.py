"""Defines the faults that a test can inject into a call, and the errors with which the model reports its limits.

A test sets `aws.fault` to a hook that is called for every attempt, before and after it is carried out:

    def fault(call: Call, moment: Moment) -> Fault | None: ...

It returns None, or a Fault. A fault before the call ends the attempt, and the hook is not called after it. To have the
function die there, it raises `Died` (or any BaseException). To have an operator or another function act between two
calls, it makes their calls: these are carried out without the hook.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal

Params = dict[str, Any]
Answer = dict[str, Any]
Moment = Literal["before", "after"]


class Died(BaseException):
    """The process died: jitr does not catch this, and the batch is visible again after its visibility timeout."""


class NotModelled(BaseException):
    """A request is not modelled; a BaseException, so that no handler's `except Exception` hides it."""


class ModelBroken(BaseException):
    """An error in the model itself, which must not be taken for one of AWS's."""


class Fault(Enum):
    """What an attempt ends with; at the moment "after", the service has carried it out nevertheless."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    TIMEOUT = "timeout"  # nothing is heard until the client's read timeout
    PARTIAL = (
        "partial"  # "before" only: a batch call's first entry is not taken (FailedEntryCount, Failed, Unprocessed…)
    )


@dataclass(slots=True, kw_only=True)
class Call:
    """One attempt of one call: botocore's retries are calls of their own, with the same invocation."""

    account_id: str
    region: str
    caller: str  # the name given to `Account.client`
    service: str
    operation: str
    parameters: Params
    at: datetime
    attempt: int
    invocation: str
    # What the caller got: "ok", an error code, "timeout", or None if it had died by then.
    answer: str | None = None

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"


FaultHook = Callable[[Call, Moment], Fault | None]


class ServiceError(Exception):
    """The service's answer is an error; its HTTP status is the model's unless one is given."""

    def __init__(self, code: str, message: str, *, status: int | None = None, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


# Each service's error code of a throttled call; AWS IoT's comes with HTTP 400 (aws-facts §6).
_THROTTLED = {
    "sqs": "RequestThrottled",
    "cloudwatch": "Throttling",
    "s3": "SlowDown",
    "lambda": "TooManyRequestsException",
}
_SERVER_ERROR = {
    "iot": "InternalFailureException",
    "dynamodb": "InternalServerError",
    "sqs": "InternalFailure",
    "events": "InternalException",
    "cloudwatch": "InternalServiceFault",
    "s3": "InternalError",
    "lambda": "ServiceException",
    "iot-data": "InternalFailureException",
}


def throttled(service: str) -> ServiceError:
    # HTTP status: S3's is 503, Lambda's 429, all others' 400.
    status = {"s3": 503, "lambda": 429}.get(service, 400)
    return ServiceError(_THROTTLED.get(service, "ThrottlingException"), "Rate exceeded", status=status)


def server_error(service: str) -> ServiceError:
    return ServiceError(_SERVER_ERROR[service], "An unexpected error has occurred.", status=500)


def denied(call: Call) -> ServiceError:
    """What a service answers when the caller's role lacks the permission; a fault hook raises it."""
    if call.service == "iot-data":  # without a message, as ministack copied it from AWS
        return ServiceError("ForbiddenException", "Forbidden", status=403)
    code = "AccessDenied" if call.service in ("sqs", "s3", "cloudwatch") else "AccessDeniedException"
    text = f"User: arn:aws:sts::{call.account_id}:assumed-role/{call.caller} is not authorized to perform: {call.name}"
    return ServiceError(code, text, status=400 if call.service == "dynamodb" else 403)


def carry_out_partially(call: Call, carry_out: Callable[[Params], Answer]) -> Answer:
    """Carry out a batch call without its first entry, which is reported as failed in the service's form."""
    if call.name not in PARTIAL:
        raise NotModelled(f"a partial answer of {call.name}")
    return PARTIAL[call.name](call.parameters, carry_out)


def _put_events(params: Params, carry_out: Callable[[Params], Answer]) -> Answer:
    rest = params["Entries"][1:]
    answer: Answer = {"Entries": [], "FailedEntryCount": 0}
    if rest:
        answer = carry_out({**params, "Entries": rest})
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "Unexpected error"}
    return {"Entries": [failed, *answer["Entries"]], "FailedEntryCount": answer["FailedEntryCount"] + 1}


def _sqs_batch(params: Params, carry_out: Callable[[Params], Answer]) -> Answer:
    first, *rest = params["Entries"]
    answer = carry_out({**params, "Entries": rest}) if rest else {"Successful": [], "Failed": []}
    failed = {"Id": first["Id"], "SenderFault": False, "Code": "InternalError", "Message": "Unexpected error"}
    return {**answer, "Failed": [failed, *answer["Failed"]]}


def _batch_get_item(params: Params, carry_out: Callable[[Params], Answer]) -> Answer:
    (table, request), *others = params["RequestItems"].items()
    first, *rest = request["Keys"]
    left = dict(others)
    if rest:
        left[table] = {**request, "Keys": rest}
    answer = carry_out({**params, "RequestItems": left}) if left else {"Responses": {}, "UnprocessedKeys": {}}
    return {**answer, "UnprocessedKeys": {table: {**request, "Keys": [first]}}}


PARTIAL: Mapping[str, Callable[[Params, Callable[[Params], Answer]], Answer]] = {
    "events:PutEvents": _put_events,
    "sqs:SendMessageBatch": _sqs_batch,
    "sqs:DeleteMessageBatch": _sqs_batch,
    "sqs:ChangeMessageVisibilityBatch": _sqs_batch,
    "dynamodb:BatchGetItem": _batch_get_item,
}
