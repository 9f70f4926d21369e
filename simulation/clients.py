"""Makes boto3 clients a hundred times faster: botocore makes one per service and Region, and the others are copies.

botocore takes 2 to 20 ms for a client, more than an activation. Most of that does not depend on the client's account:
the service's model, the endpoint's rules, the methods, some hundred event handlers. Only the handlers by which the
simulation answers and delays (wire.py) do. So a copy has its own events beside those of the original, and shares all
else, including what botocore caches there: the shapes of operations that were called before.
"""

# ruff: noqa: SLF001 -- a client's parts are private to botocore

import copy
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import boto3
from botocore import UNSIGNED
from botocore.client import ClientMeta
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.hooks import BaseEventHooks, HierarchicalEmitter

ServiceName = Literal["iot", "sqs", "dynamodb", "events", "cloudwatch", "s3", "lambda", "logs", "iot-data"]

# The simulation reads no signatures or user agents, which are a third of a call's cost.
_SPARED = Config(signature_version=UNSIGNED, user_agent="simulated")

_session = boto3.Session(aws_access_key_id="simulated", aws_secret_access_key="simulated")  # noqa: S106 -- no secret
_session_lock = threading.Lock()


class _Request:
    """A request with what the simulation and botocore's retries read; it is not sent, so not prepared for HTTP."""

    method = "POST"

    def __init__(self, url: str, headers: dict[str, Any], body: Any) -> None:
        self.url = url
        self.headers = headers
        self.body = body

    def reset_stream(self) -> None: ...


class _Endpoint(Endpoint):
    """botocore's endpoint, which neither signs a request nor prepares it for HTTP: a third of a call's cost."""

    def create_request(self, params: Mapping[str, Any], operation_model: Any = None) -> Any:  # noqa: ARG002
        retries = params["context"]["retries"]
        attempt = {
            "amz-sdk-invocation-id": retries["invocation-id"],
            "amz-sdk-request": f"attempt={retries['attempt']}",
        }
        return _Request(params["url"], {**params["headers"], **attempt}, params["body"])


class _NoUserAgent:
    """Replaces botocore's user agent, which is a fifth of a call's cost."""

    def to_string(self) -> str:
        return "simulated"

    def with_client_config(self, _config: object) -> "_NoUserAgent":
        return self

    def rebuild_and_replace_user_agent_handler(self, **_: object) -> None: ...


class Events(BaseEventHooks):
    """The handlers of the original client, followed by the copy's own."""

    def __init__(self, original: Any) -> None:
        self._original = original  # an EventAliaser, whose inside the stubs do not know
        self._own = HierarchicalEmitter()
        self.is_heard = False  # whether a handler needs events that the short way does not emit
        self.hears_ends = False  # whether a handler needs the event of a call's end

    def emit(self, event_name: str, **kwargs: Any) -> list[tuple[Any, Any]]:
        name = self._name(event_name)
        if name.startswith("before-send."):  # ours answers; moto's, while it is active, would not know the request
            return list(self._own.emit(name, **kwargs))
        responses = self._original._emitter.emit(name, **kwargs)
        return [*responses, *self._own.emit(name, **kwargs)]

    def emit_until_response(self, event_name: str, **kwargs: Any) -> tuple[Any, Any]:
        name = self._name(event_name)
        answered: tuple[Any, Any] = self._own.emit_until_response(name, **kwargs)
        if answered[1] is None:  # ours before moto's, which is in every session once it has been imported
            answered = self._original._emitter.emit_until_response(name, **kwargs)
        return answered

    def register(self, event_name: str, handler: Any, *more: Any, **options: Any) -> None:
        self._hears(event_name)
        self._own.register(self._name(event_name), handler, *more, **options)

    def register_first(self, event_name: str, handler: Any, *more: Any, **options: Any) -> None:
        self._hears(event_name)
        self._own.register_first(self._name(event_name), handler, *more, **options)

    def register_last(self, event_name: str, handler: Any, *more: Any, **options: Any) -> None:
        self._hears(event_name)
        self._own.register_last(self._name(event_name), handler, *more, **options)

    def unregister(self, event_name: str, handler: Any = None, *more: Any, **options: Any) -> None:
        self._own.unregister(self._name(event_name), handler, *more, **options)

    @contextmanager
    def without_listening(self) -> Iterator[None]:
        """Handlers that are registered inside do not count as listeners."""
        before = self.is_heard, self.hears_ends
        yield
        self.is_heard, self.hears_ends = before

    def _hears(self, event_name: str) -> None:
        if event_name.partition(".")[0] == "after-call":
            self.hears_ends = True
        elif not event_name.startswith("needs-retry"):
            self.is_heard = True

    def _name(self, event_name: str) -> str:
        """The name that botocore gives the event; cached for all copies."""
        name: str = self._original._alias_event_name(event_name)
        return name


def new_client(service: ServiceName, region: str, config: Config) -> Any:
    """A new client; handlers registered with its events are its own."""
    with _session_lock:
        original = _original(service, region, config)
    client = object.__new__(type(original))  # copy.copy() asks for attributes before there are any
    vars(client).update(vars(original))
    meta = original.meta
    events = Events(meta.events)
    client.meta = ClientMeta(
        events, meta.config, meta.endpoint_url, meta.service_model, meta.method_to_api_mapping, meta.partition
    )
    client._endpoint = copy.copy(original._endpoint)
    if service != "s3":  # whose headers are made when a request is
        client._endpoint.__class__ = _Endpoint
    client._endpoint._event_emitter = events
    return client


@cache
def _original(service: ServiceName, region: str, config: Config) -> Any:
    client: Any = _session.client(service, region_name=region, config=config.merge(_SPARED))
    client._user_agent_creator = _NoUserAgent()
    if service != "s3":  # where the bucket's name is a part of the host
        client._ruleset_resolver = None
    name = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{name}", unique_id=f"retry-config-{name}")  # wire.py's waits virtually
    return client
