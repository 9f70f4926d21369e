"""Makes a call without HTTP: does what botocore would do, as far as a caller can see it.

Most of a call's time is botocore's: events without handlers, a request and a response that are serialized and parsed.
What a caller can see of that stays. Parameters are checked and converted for the service; errors are read by botocore's
parser and raised as its exceptions; its standard handler decides on retries, their quota and their delay; the answer is
what its parser would return (conversion.py).

A call goes through all of botocore (wire.py) where it makes a difference: if a handler listens to other events than
retries, if an operation's parameters or answer are not plain JSON (S3, Lambda), and if a value is Odd.
"""

# ruff: noqa: SLF001 -- a client's parts are private to botocore

import uuid
from itertools import count
from typing import TYPE_CHECKING, Any

from botocore.client import BaseClient
from botocore.endpoint import convert_to_response_dict
from botocore.hooks import first_non_none_response

from simulation.conversion import Odd, answer, request
from simulation.faults import ServiceError
from simulation.http import response

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSResponse

    from simulation.wire import Serve, Wire

_WHOLE = BaseClient._make_api_call  # type: ignore[attr-defined]  # which a test may replace
_OK = response("", 200, b"")
_invocations = count(1)  # botocore's are UUIDs; here it is enough that no two are the same
_ERROR = 300


class _Way:
    """One operation's conversions."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.sent, self.received = request(model), answer(model)
        self.tokens: tuple[str, ...] = tuple(model.idempotent_members)
        service = model.service_model
        self.event = f"{service.service_id.hyphenize()}.{model.name}"
        self.members = frozenset(model.output_shape.members) if model.output_shape else frozenset()
        self.protocol = service.resolved_protocol


_ways: dict[tuple[str, str], _Way] = {}


class ShortWay:
    """Replaces a client's `_make_api_call`."""

    def __init__(
        self, client: Any, serve: "Serve", wire: "Callable[[str], Wire]", connect: "Callable[[], None]"
    ) -> None:
        """`wire` returns an operation's HTTP form by its name; `connect` registers it with the client's events."""
        self._client = client
        self._serve = serve
        self._wire = wire
        self._connect = connect
        self._is_connected = False
        self._attempts: int = client.meta.config.retries["total_max_attempts"]

    def __call__(self, name: str, params: dict[str, Any]) -> Any:
        client = self._client
        way = self._way(name)
        is_replaced = BaseClient._make_api_call is not _WHOLE  # type: ignore[attr-defined]
        if is_replaced or client.meta.events.is_heard or way.sent is None or way.received is None:
            return self._whole(name, params)
        for token in way.tokens:
            if token not in params:
                params[token] = str(uuid.uuid4())
        try:
            sent = way.sent(params)
        except Odd:
            return self._whole(name, params)
        return self._call(way, params, sent)

    def _whole(self, name: str, params: dict[str, Any]) -> Any:
        self._listen()
        return type(self._client)._make_api_call(self._client, name, params)

    def _listen(self) -> None:
        """From now on call the client's handlers; not before a retry, since they are slow."""
        if not self._is_connected:
            self._is_connected = True
            self._connect()

    def _way(self, name: str) -> _Way:
        service = self._client.meta.service_model
        key = service.service_name, name
        if key not in _ways:
            _ways[key] = _Way(service.operation_model(name))
        return _ways[key]

    def _call(self, way: _Way, params: dict[str, Any], sent: Any) -> Any:
        """Attempts, until there is an answer or botocore gives up."""
        assert way.sent  # noqa: S101 -- asked before
        events = self._client.meta.events
        context: dict[str, Any] = {}
        invocation, attempt = str(next(_invocations)), 1
        while True:
            http, parsed, caught = self._attempt(way, sent, attempt, invocation)
            if http is _OK and attempt == 1:
                break
            self._listen()
            retries = events.emit(
                f"needs-retry.{way.event}",
                response=None if http is None else (http, parsed),
                endpoint=self._client._endpoint,
                operation=way.model,
                attempts=attempt,
                caught_exception=caught,
                request_dict={"context": context},
            )
            delay = first_non_none_response(retries)
            if delay is None or delay is False:
                break
            attempt += 1
            sent = way.sent(params)  # a new one for each attempt
        if caught is not None:
            raise caught
        assert http is not None  # noqa: S101 -- or there was an exception
        metadata = parsed.setdefault("ResponseMetadata", {})
        metadata["RetryAttempts"] = attempt - 1
        if attempt == self._attempts:
            metadata["MaxAttemptsReached"] = True
        if self._is_connected or events.hears_ends:  # else there is no retry quota to return to
            events.emit(f"after-call.{way.event}", http_response=http, parsed=parsed, model=way.model, context=context)
        if http.status_code >= _ERROR:
            code = context.get("error_code_override") or parsed.get("Error", {}).get("Code")  # SQS's are of old
            raise self._client.exceptions.from_code(code)(parsed, way.model.name)
        return parsed

    def _attempt(
        self, way: _Way, sent: Any, attempt: int, invocation: str
    ) -> "tuple[AWSResponse | None, Any, Exception | None]":
        assert way.received  # noqa: S101 -- asked before
        try:
            answered = self._serve(way.model.name, sent, attempt, invocation)
        except ServiceError as error:
            http = self._wire(way.model.name).error(self._client.meta.endpoint_url, error)
            return http, self._read(way, http), None
        except Exception as error:  # noqa: BLE001 -- whatever it is, botocore's handler is asked about it
            return None, None, error
        try:
            parsed = way.received(answered) if answered.keys() <= way.members else None
        except Odd:
            parsed = None
        if parsed is None:
            http = self._wire(way.model.name).answer(self._client.meta.endpoint_url, answered)
            return http, self._read(way, http), None
        parsed["ResponseMetadata"] = {
            "RequestId": "simulated",
            "HTTPStatusCode": 200,
            "HTTPHeaders": {"x-amzn-requestid": "simulated"},
        }
        return _OK, parsed, None

    def _read(self, way: _Way, http: "AWSResponse") -> Any:
        """Parse a response as botocore's endpoint does."""
        endpoint = self._client._endpoint
        received = convert_to_response_dict(http, way.model)
        parser = endpoint._response_parser_factory.create_parser(way.protocol)
        parsed = parser.parse(received, way.model.output_shape)
        if http.status_code >= _ERROR:
            endpoint._add_modeled_error_fields(received, parsed, way.model, parser)
        return parsed
