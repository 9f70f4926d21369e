"""Adds GetConnection and DeleteConnection to the local AWS, and ends the sessions of a certificate that is not ACTIVE.

Loaded by loopback.py into ministack's process, never by jitrctl itself. AWS IoT's data plane describes and ends a
client's connection (`GET` and `DELETE /connections/{clientId}`), and ends a session some time after its certificate has
left ACTIVE; ministack (1.5.33) does neither, but its broker keeps the sessions. Where IAM is enforced, callers need
`iot:GetConnection` and `iot:DeleteConnection` on `client/<clientId>`. docs/divergences.md has the differences from AWS.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_actions
from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    request_scope,
)
from ministack.services import iot, iot_data

SECONDS_UNTIL_SESSIONS_END = 5.0  # on AWS: minutes
_LOOK = 0.5  # seconds between two reads of a session's certificate
_REASON_KEPT = 30 * 60 * 1000  # milliseconds for which a client's disconnection is reported
_PREFIX = "/connections/"
_CLIENT_ID = re.compile(r"[^$].{0,127}", re.DOTALL)  # as AWS's service model has it

_handle_request = iot_data.handle_request
_register_client = iot._register_client  # noqa: SLF001 -- ministack offers no other way in
_extract_resource_arn = iam_actions.extract_resource_arn
_watching: set[asyncio.Task[None]] = set()  # so that no task is collected


def install() -> None:
    """Replace ministack's functions by those here."""
    iot_data.handle_request = _handle
    iot._register_client = _register  # noqa: SLF001 -- as above
    iam_actions.extract_resource_arn = _resource_arn


async def _handle(method: str, path: str, headers: Any, body: bytes, query: dict[str, Any]) -> Any:
    if not path.startswith(_PREFIX) or method not in ("GET", "DELETE"):
        return await _handle_request(method, path, headers, body, query)
    key = get_account_id(), get_region(), unquote(path.removeprefix(_PREFIX))
    if not _CLIENT_ID.fullmatch(key[2]):
        return error_response_json("InvalidRequestException", f"{key[2]!r} is no client id", 400)
    session, last = iot._connected_clients.get(key), iot._connectivity.get(key)  # noqa: SLF001
    persistent = iot._persistent_sessions.get(key)  # noqa: SLF001
    asked = {name: (value[0] if isinstance(value, list) else value) == "true" for name, value in query.items()}
    if method == "GET":
        if session is None and (last is None or _is_forgotten(last)):
            return _not_found(key[2])
        return json_response(
            _describe(key[2], session, last or {}, sockets=asked.get("includeSocketInformation", False))
        )
    if session is None and persistent is None:
        return _not_found(key[2])
    if asked.get("cleanSession"):
        iot._persistent_sessions.pop(key, None)  # noqa: SLF001
    if session is not None:
        session._persist_session &= not asked.get("cleanSession", False)  # noqa: SLF001
        if asked.get("preventWillMessage"):
            session._will_topic = None  # noqa: SLF001
        await _end(session, "API_INITIATED_DISCONNECT")
    return 200, {}, b""


def _describe(client_id: str, session: Any, last: dict[str, Any], *, sockets: bool) -> dict[str, Any]:
    """GetConnection's answer; times are epoch milliseconds."""
    found: dict[str, Any] = {"clientId": client_id, "connected": session is not None}
    if session is not None:
        found |= {"connectedSince": last.get("timestamp"), "cleanSession": not session._persist_session}  # noqa: SLF001
        if sockets:
            found |= {"sourceIp": "127.0.0.1", "targetIp": "127.0.0.1"}  # it listens on the loopback interface alone
    else:
        found |= {"disconnectedSince": last["timestamp"], "disconnectReason": last["disconnectReason"]}
    return found


def _is_forgotten(last: dict[str, Any]) -> bool:
    return bool(time.time() * 1000 - last["timestamp"] > _REASON_KEPT)


def _not_found(client_id: str) -> Any:
    return error_response_json("ResourceNotFoundException", f"No connection of client {client_id}", 404)


async def _end(session: Any, reason: str) -> None:
    """Close a session as the broker closes one that another takes over."""
    session._forced_disconnect_reason = reason  # noqa: SLF001
    await session._send({"type": "websocket.close", "code": 1000})  # noqa: SLF001
    await session.cleanup()


def _register(account: str, region: str, client_id: str, session: Any, *rest: Any) -> None:
    _register_client(account, region, client_id, session, *rest)
    task = asyncio.get_running_loop().create_task(_end_when_inactive((account, region, client_id), session))
    _watching.add(task)
    task.add_done_callback(_watching.discard)


async def _end_when_inactive(key: tuple[str, str, str], session: Any) -> None:
    while iot._connected_clients.get(key) is session:  # noqa: SLF001
        if session.certificate_id and not _is_active(key, session.certificate_id):
            await asyncio.sleep(SECONDS_UNTIL_SESSIONS_END)
            if iot._connected_clients.get(key) is session:  # noqa: SLF001
                await _end(session, "SERVER_INITIATED_DISCONNECT")
            return
        await asyncio.sleep(_LOOK)


def _is_active(key: tuple[str, str, str], certificate_id: str) -> bool:
    with request_scope(key[0], key[1]):
        record = iot._certificates.get(certificate_id) or {}  # noqa: SLF001
    return bool(record.get("status") == "ACTIVE")


def _resource_arn(
    service: str, method: str, path: str, headers: Any, body: bytes, query: Any, region: str, account_id: str
) -> Any:
    """The request's client as an ARN; ministack has no resource for these paths, so only `*` would allow them."""
    if service == "iot-data" and path.startswith(_PREFIX):
        client_id = unquote(path.removeprefix(_PREFIX))
        return f"arn:aws:iot:{region}:{account_id}:client/{client_id}"
    return _extract_resource_arn(service, method, path, headers, body, query, region, account_id)
