"""Turns botocore's HTTP requests into an operation's parameters, and answers into HTTP responses.

It hooks in at botocore's `before-send` event, where the network would begin: the request is serialized, and what the
handler returns is parsed, retried and raised as if it came from AWS. The event's name has the operation; botocore's
service model says, once, which parameters are in path, query, headers and body.

`attach` also replaces the sleep between retries. botocore calls the `needs-retry` handlers for a delay and sleeps that
long itself; here its standard handler returns the delay, the virtual clock sleeps, and botocore gets 0.

Most calls skip HTTP, with the same visible result (short_way.py). S3 uses XML, with parameters and answers in headers
and an object as the body (wire_s3.py).
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.retries import standard

from simulation.conversion import epoch
from simulation.faults import Answer, ModelBroken, NotModelled, Params, ServiceError
from simulation.http import header, response
from simulation.short_way import ShortWay
from simulation.wire_s3 import S3Operation

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient
    from botocore.model import OperationModel, ServiceModel, Shape

    from simulation.clients import Events
    from simulation.clock import Clock

# operation, parameters, attempt, invocation → answer
Serve = Callable[[str, Params, int, str], Answer]
# The stubs' type of an event's handler; botocore does use what it returns.
Handler = Callable[..., None]

_ATTEMPT = re.compile(r"attempt=(\d+)")
# SQS's error codes from before its JSON protocol, which botocore still puts into `Error.Code`.
_QUERY_CODES = {"InvalidParameterValueException": "InvalidParameterValue"} | {
    code: f"AWS.SimpleQueueService.{old}"
    for code, old in {
        "QueueDoesNotExist": "NonExistentQueue",
        "MessageNotInflight": "MessageNotInflight",
        "EmptyBatchRequest": "EmptyBatchRequest",
        "TooManyEntriesInBatchRequest": "TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct": "BatchEntryIdsNotDistinct",
    }.items()
}
_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": lambda text: text == "true",
}


def attach(client: "BaseClient", clock: "Clock", serve: Serve) -> None:
    """Answer a client's requests with `serve`, and have its retries wait on the clock."""
    service = client.meta.service_model
    retries = client.meta.config.retries or {}  # type: ignore[attr-defined]  # a Config's options
    if retries.get("mode") != "standard":
        raise NotModelled(f"retry mode {retries.get('mode')}")
    vars(client)["_make_api_call"] = ShortWay(
        client, serve, lambda name: _operation(service, name), lambda: _connect(client, clock, serve)
    )


def _connect(client: "BaseClient", clock: "Clock", serve: Serve) -> None:
    """Register `serve` and the clock with the client's events, for calls that go through all of botocore."""
    service = client.meta.service_model
    events = cast("Events", client.meta.events)

    def answer(request: "AWSPreparedRequest", event_name: str, **_: Any) -> AWSResponse:
        name = event_name.rpartition(".")[2]
        operation = _operation(service, name)
        attempt = _ATTEMPT.search(header(request, "amz-sdk-request"))
        invocation = header(request, "amz-sdk-invocation-id")
        try:
            served = serve(name, operation.parameters(request), int(attempt[1]) if attempt else 1, invocation)
        except ServiceError as error:
            return operation.error(request.url, error)
        return operation.answer(request.url, served)

    with events.without_listening():
        events.register(f"before-send.{service.service_id.hyphenize()}", answer)
        _wait_virtually(client, clock)


def _wait_virtually(client: "BaseClient", clock: "Clock") -> None:
    retries = client.meta.config.retries or {}  # type: ignore[attr-defined]  # a Config's options
    event = f"needs-retry.{client.meta.service_model.service_id.hyphenize()}"
    unique_id = f"retry-config-{client.meta.service_model.service_id.hyphenize()}"
    # A new handler: botocore keeps no reference to the one that it registered.
    client.meta.events.unregister(event, unique_id=unique_id)
    handler = standard.register_retry_handler(client, retries.get("total_max_attempts"))
    client.meta.events.unregister(event, unique_id=unique_id)

    def needs_retry(**kwargs: Any) -> float | None:
        delay = handler.needs_retry(**kwargs)
        if delay:
            clock.sleep(delay)
            return 0.0
        return delay

    # Last: botocore's handler only returns how long to sleep, and other handlers may still end the call.
    client.meta.events.register_last(event, cast("Handler", needs_retry))


class Operation:
    """One operation's HTTP form."""

    def __init__(self, model: "OperationModel") -> None:
        self._model = model
        self._protocol = model.service_model.resolved_protocol
        self._answer_members = frozenset(model.output_shape.members) if model.output_shape else frozenset()
        self._path = re.compile(
            re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(urlsplit(model.http["requestUri"]).path))
        )
        self._uri: dict[str, str] = {}
        self._query: dict[str, tuple[str, Shape]] = {}
        self._headers: dict[str, str] = {}
        if self._protocol not in ("json", "rest-json"):
            raise NotModelled(f"protocol {self._protocol}")
        # A member that is the whole body, as in Lambda's Invoke, both ways.
        self._payload: str | None = None
        self._answered_payload: str | None = None
        if model.output_shape:
            self._answered_payload = model.output_shape.serialization.get("payload")
        if self._protocol == "rest-json" and model.input_shape:
            self._payload = model.input_shape.serialization.get("payload")
            for member, shape in model.input_shape.members.items():
                wire_name = shape.serialization.get("name", member)
                match shape.serialization.get("location"):
                    case "uri":
                        self._uri[wire_name] = member
                    case "querystring":
                        self._query[wire_name] = (member, shape)
                    case "header":
                        self._headers[wire_name] = member

    def parameters(self, request: "AWSPreparedRequest") -> Params:
        body = cast("bytes", request.body or b"")
        parameters: Params = {self._payload: body} if self._payload else json.loads(body or b"{}")
        if self._protocol == "json":
            return parameters
        url = urlsplit(request.url)
        path = self._path.fullmatch(url.path)
        if path is None:
            raise ModelBroken(f"{self._model.name}: {url.path} does not fit the service model's path")
        for wire_name, member in self._uri.items():
            parameters[member] = unquote(path[wire_name])
        for wire_name, text in parse_qsl(url.query, keep_blank_values=True):
            member, shape = self._query[wire_name]
            parameters[member] = _FROM_TEXT[shape.type_name](text)
        for wire_name, member in self._headers.items():
            if wire_name in request.headers:
                parameters[member] = header(request, wire_name)
        return parameters

    def answer(self, url: str, answer: Answer) -> AWSResponse:
        if not answer.keys() <= self._answer_members:
            unknown = answer.keys() - self._answer_members
            raise ModelBroken(f"{self._model.name} does not answer {', '.join(unknown)}")
        if self._answered_payload:
            return self._with_payload(url, answer)
        return response(url, 200, json.dumps(answer, default=_epoch).encode())

    def _with_payload(self, url: str, answer: Answer) -> AWSResponse:
        """The body is one member; the others are headers."""
        assert self._model.output_shape is not None  # noqa: S101 -- it has a payload
        members = self._model.output_shape.members
        headers = {
            members[name].serialization["name"].lower(): str(value)
            for name, value in answer.items()
            if members[name].serialization.get("location") == "header"
        }
        body: bytes = answer[str(self._answered_payload)]
        return response(url, 200, body, **headers)

    def error(self, url: str, error: ServiceError) -> AWSResponse:
        # The stubs have the code an int, and the shape always there; neither is so.
        shape: Shape | None = self._model.service_model.shape_for_error_code(cast("int", error.code))
        modelled = shape.metadata.get("error", {}) if shape is not None else {}
        status = error.status or modelled.get("httpStatusCode", 400)
        headers = {"x-amzn-errortype": error.code}
        if "awsQueryCompatible" in self._model.service_model.metadata:
            # SQS and CloudWatch also send the codes of their old protocol.
            headers["x-amzn-query-error"] = f"{_QUERY_CODES.get(error.code, error.code)};Sender"
        body = {"__type": error.code, "message": error.message, **error.fields}
        return response(url, status, json.dumps(body, default=_epoch).encode(), **headers)


Wire = Operation | S3Operation
_operations: dict[tuple[str, str], Wire] = {}


def _operation(service: "ServiceModel", name: str) -> Wire:
    key = service.service_name, name
    if key not in _operations:
        make = S3Operation if service.service_name == "s3" else Operation
        _operations[key] = make(service.operation_model(name))
    return _operations[key]


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return epoch(value)
    raise ModelBroken(f"a {type(value).__name__} in an answer")
