"""Serves on loopback, over TLS, the calls of `jitrctl ca status`, with AWS's latency.

One process serves all accounts: a call's signature has the access key, which is the account's id.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from jitr_fleet.resources import ResourceNames, registered_topic

_CALLER = re.compile(r"Credential=(\d{12})/\d+/([a-z0-9-]+)/")
_LONGEST = 65_536  # bytes of a request's head
_IDENTITY = """\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{0}:user/ann</Arn><UserId>{0}</UserId><Account>{0}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""

_ROLE = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{0}</AccessKeyId><SecretAccessKey>none</SecretAccessKey><SessionToken>none</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class BenchFleet:
    """Answers as if every account had the same CAs, registered and deployed as the fleet file says."""

    def __init__(self, *, name: str, cas: Mapping[str, str]) -> None:
        """`cas` is the CAs' names → certificate ids."""
        self._names = ResourceNames(name)
        self._cas = cas
        counted = datetime.now(UTC) - timedelta(hours=1)
        self._counted_at = str(int(counted.timestamp() * 1000))

    def answer(self, request: str, headers: Mapping[str, str], body: str) -> str:
        """The body that answers a request ("GET /rules?…").

        Raises LookupError if the request is not one of `ca status`.
        """
        caller = _CALLER.search(headers.get("authorization", ""))
        if caller is None:
            raise LookupError(f"{request} is not signed")
        account, region = caller.groups()
        target = headers.get("x-amz-target", "").rpartition(".")[2]
        method, _, rest = request.partition(" ")
        path = unquote(rest.partition("?")[0])
        match method, path, target:
            case "POST", "/", "" if "Action=AssumeRole" in body:
                return _ROLE.format(unquote(body).partition(":iam::")[2].partition(":")[0])
            case "POST", "/", "":
                return _IDENTITY.format(account)
            case "POST", "/", "GetItem":
                return json.dumps({"Item": self._counts()})
            case "GET", "/rules", _:
                return json.dumps({"rules": [self._rule(name) for name in self._cas]})
            case "GET", "/2015-03-31/event-source-mappings" | "/2015-03-31/event-source-mappings/", _:
                return json.dumps({"EventSourceMappings": [self._mapping(account, region)]})
            case "GET", _, _ if path.startswith("/cacertificate/"):
                return json.dumps({"certificateDescription": self._ca(path.rpartition("/")[2])})
        raise LookupError(f"{request} {target} is not among the calls of `ca status`")

    def _counts(self) -> dict[str, Any]:
        counts = {"ACTIVE": {"N": "1200"}, "PENDING_ACTIVATION": {"N": "3"}}
        moments = {"began_at": {"N": self._counted_at}, "finished_at": {"N": self._counted_at}}
        return {"last_pass": {"M": {**moments, "counts": {"M": counts}}}}

    def _rule(self, ca: str) -> dict[str, Any]:
        return {
            "ruleName": self._names.rule(ca),
            "topicPattern": f"'{registered_topic(self._cas[ca])}'",
            "ruleDisabled": False,
        }

    def _mapping(self, account: str, region: str) -> dict[str, Any]:
        queue = f"arn:aws:sqs:{region}:{account}:{self._names.registrations_queue}"
        function = f"arn:aws:lambda:{region}:{account}:function:{self._names.register_function}"
        return {"UUID": "0", "State": "Enabled", "EventSourceArn": queue, "FunctionArn": function}

    @staticmethod
    def _ca(certificate_id: str) -> dict[str, Any]:
        return {
            "certificateId": certificate_id,
            "status": "ACTIVE",
            "certificateMode": "SNI_ONLY",
            "autoRegistrationStatus": "ENABLE",
        }


async def serve(fleet: BenchFleet, tls: ssl.SSLContext, *, latency: float, ports: Any) -> None:
    """Answer until the process is ended, each call after `latency` seconds; sends the port into the pipe `ports`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                status, body = await _answered(fleet, reader, latency)
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # the other side has gone
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls, limit=_LONGEST, backlog=1024)
    ports.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _answered(fleet: BenchFleet, reader: asyncio.StreamReader, latency: float) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = _headers(lines)
    body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
    await asyncio.sleep(latency)
    try:
        return "200 OK", fleet.answer(first.rpartition(" ")[0], headers, body).encode()
    except LookupError as error:
        return "400 Bad Request", json.dumps({"message": str(error)}).encode()


def _headers(lines: Sequence[str]) -> dict[str, str]:
    parted = (line.partition(":") for line in lines if ":" in line)
    return {name.lower(): value.strip() for name, _, value in parted}
