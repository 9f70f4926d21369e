"""What the project's launcher adds to the local AWS's data plane, on ministack's own modules and in this process.

What botocore sends to AWS for these calls is what is asked here: requests are built by its serializer, answers read by
its parser. Over the network, with IAM: tests/local.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import botocore.serialize
import botocore.session
import pytest
from botocore.parsers import create_parser
from ministack.core import iam_actions
from ministack.core.responses import request_scope
from ministack.services import iot, iot_data

from jitrctl.localaws import client_connections

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT, REGION, CLIENT = "111111111111", "eu-central-1", "sensor 1/é"
KEY = (ACCOUNT, REGION, CLIENT)
CERTIFICATE = "ab" * 32
MODEL = botocore.session.get_session().get_service_model("iot-data")


class Session:
    """What the broker keeps of one connection, as far as these calls touch it."""

    def __init__(self) -> None:
        self.certificate_id = CERTIFICATE
        self._persist_session = True
        self._will_topic: str | None = "gone"
        self._forced_disconnect_reason: str | None = None
        self.sent: list[Any] = []

    async def _send(self, frame: Any) -> None:
        self.sent.append(frame["type"])

    async def cleanup(self) -> None:
        iot._deregister_client(ACCOUNT, REGION, CLIENT, self)

    def disconnect_reason(self) -> str:
        return self._forced_disconnect_reason or "CONNECTION_LOST"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (iot_data, iot, iam_actions):
        for name in {"handle_request", "_register_client", "extract_resource_arn"} & vars(module).keys():
            monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(client_connections, "SECONDS_UNTIL_SESSIONS_END", 0.01)
    monkeypatch.setattr(client_connections, "_LOOK", 0.01)
    client_connections.install()
    yield
    for known in (iot._connected_clients, iot._connectivity, iot._persistent_sessions):
        known.clear()
    with request_scope(ACCOUNT, REGION):
        iot._certificates.pop(CERTIFICATE, None)


def request(operation: str, **parameters: Any) -> tuple[str, str, dict[str, Any]]:
    """As botocore sends it, and as a server reads it: method, decoded path, query."""
    serializer = botocore.serialize.create_serializer("rest-json")
    made = serializer.serialize_to_request({"clientId": CLIENT, **parameters}, MODEL.operation_model(operation))
    query = {name: [str(value)] for name, value in made["query_string"].items()}
    return made["method"], unquote(made["url_path"]), query


async def answered(operation: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
    method, path, query = request(operation, **parameters)
    with request_scope(ACCOUNT, REGION):
        status, headers, body = await iot_data.handle_request(method, path, {}, b"", query)
    content = body if isinstance(body, bytes) else str(body).encode()
    shape: Any = MODEL.operation_model(operation).output_shape  # DeleteConnection has none
    parsed = create_parser("rest-json").parse({"status_code": status, "headers": headers, "body": content}, shape)
    return status, parsed


async def connected(status: str = "ACTIVE") -> Session:
    with request_scope(ACCOUNT, REGION):
        iot._certificates[CERTIFICATE] = {"status": status}
    session = Session()
    iot._register_client(ACCOUNT, REGION, CLIENT, session)
    return session


def test_a_connection_is_described_as_botocores_model_has_it() -> None:
    async def scenario() -> None:
        await connected()
        status, found = await answered("GetConnection", includeSocketInformation=True)
        assert (status, found["connected"], found["clientId"]) == (200, True, CLIENT)
        assert isinstance(found["connectedSince"], int)
        assert found["sourceIp"] == "127.0.0.1"
        shape: Any = MODEL.operation_model("GetConnection").output_shape
        assert set(found) - {"ResponseMetadata"} <= set(shape.members)

    asyncio.run(scenario())


def test_a_connection_that_was_ended_tells_why_for_thirty_minutes() -> None:
    async def scenario() -> None:
        session = await connected()
        assert (await answered("DeleteConnection", cleanSession=True, preventWillMessage=True))[0] == 200
        assert session.sent == ["websocket.close"]
        assert (session._will_topic, session._persist_session) == (None, False)
        _, found = await answered("GetConnection")
        assert (found["connected"], found["disconnectReason"]) == (False, "API_INITIATED_DISCONNECT")
        iot._connectivity[KEY]["timestamp"] -= 31 * 60 * 1000
        assert (await answered("GetConnection"))[0] == 404

    asyncio.run(scenario())


def test_a_client_that_never_connected_is_not_found() -> None:
    async def scenario() -> None:
        for operation in ("GetConnection", "DeleteConnection"):
            status, found = await answered(operation)
            assert (status, found["Error"]["Code"]) == (404, "ResourceNotFoundException")

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED", None])
def test_a_session_ends_some_time_after_its_certificate_has_left_active(status: str | None) -> None:
    async def scenario() -> None:
        session = await connected()
        await asyncio.sleep(0.05)
        assert iot._connected_clients[KEY] is session
        with request_scope(ACCOUNT, REGION):
            if status:
                iot._certificates[CERTIFICATE] = {"status": status}
            else:
                iot._certificates.pop(CERTIFICATE)
        await asyncio.wait_for(asyncio.gather(*client_connections._watching), timeout=5)
        assert KEY not in iot._connected_clients
        assert iot._connectivity[KEY]["disconnectReason"] == "SERVER_INITIATED_DISCONNECT"

    asyncio.run(scenario())


def test_iam_asks_for_the_action_on_the_client() -> None:
    for operation, action in (("GetConnection", "iot:GetConnection"), ("DeleteConnection", "iot:DeleteConnection")):
        method, path, query = request(operation)
        assert iam_actions.extract_iam_action("iot-data", method, path, {}, b"", query) == action
        arn = iam_actions.extract_resource_arn("iot-data", method, path, {}, b"", query, REGION, ACCOUNT)
        assert arn == f"arn:aws:iot:{REGION}:{ACCOUNT}:client/{CLIENT}"


def test_what_is_no_connection_is_answered_as_before() -> None:
    async def scenario() -> None:
        with request_scope(ACCOUNT, REGION):
            status, _, body = await iot_data.handle_request("GET", "/retainedMessage", {}, b"", {})
        assert status == 200
        assert "retainedTopics" in json.loads(body)

    asyncio.run(scenario())
