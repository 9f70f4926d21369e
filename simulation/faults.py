"""What can be made to go wrong with a call, and how the model says what it cannot do.

A test sets `aws.fault` to a function that is asked about every attempt, before it is carried out and after:

    def fault(call: Call, moment: Moment) -> Fault | None: ...

It answers None to let things take their course, or a Fault; one before the call was carried out ends the attempt, and
the hook is not asked again. To let the function die at that point it raises `Died` (or any BaseException). To let an
operator or another function act between two calls, it simply does so: calls made inside it are carried out without
asking.
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
    """The process is gone: nothing of ours catches this, and the batch comes back at its visibility timeout."""


class NotModelled(BaseException):
    """The model was asked for something it does not know; no BaseException for a handler's boundary to swallow."""


class ModelBroken(BaseException):
    """An error in the model itself, which must not pass for one of AWS's."""


class Fault(Enum):
    """What becomes of an attempt; at the moment "after", the service has done what was asked all the same."""

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
    # What the caller got: "ok", an error code, "timeout", or None when it did not live to see it.
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


# What each service says; AWS IoT's throttle is HTTP 400 (aws-facts §6), and so is everybody's here.
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
    # S3 says it with 503, Lambda with 429, all others with 400.
    status = {"s3": 503, "lambda": 429}.get(service, 400)
    return ServiceError(_THROTTLED.get(service, "ThrottlingException"), "Rate exceeded", status=status)


def server_error(service: str) -> ServiceError:
    return ServiceError(_SERVER_ERROR[service], "An unexpected error has occurred.", status=500)


def denied(call: Call) -> ServiceError:
    """What a service answers when the caller's role lacks the permission; a fault hook raises it."""
    if call.service == "iot-data":  # as ministack has it from AWS: without a word
        return ServiceError("ForbiddenException", "Forbidden", status=403)
    code = "AccessDenied" if call.service in ("sqs", "s3", "cloudwatch") else "AccessDeniedException"
    text = f"User: arn:aws:sts::{call.account_id}:assumed-role/{call.caller} is not authorized to perform: {call.name}"
    return ServiceError(code, text, status=400 if call.service == "dynamodb" else 403)


def carry_out_partially(call: Call, carry_out: Callable[[Params], Answer]) -> Answer:
    """Carry a batch call out except for its first entry, which is reported as each service reports it."""
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
