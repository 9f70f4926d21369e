"""Reads whether a device is connected, from AWS IoT's data plane: since when, from where, or why it disconnected.

AWS keeps the reason of a disconnect for 30 minutes. If the call is not permitted or fails, the result says so; nothing
else depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.session.aws_errors import explain
from jitrctl.terminal import at

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConnection:
    """The state of one client id; `connected` is None when AWS does not say."""

    client_id: str
    connected: bool | None
    since: datetime | None = None  # of the connect, or of the disconnect
    source: str | None = None  # IP address
    reason: str | None = None  # of the disconnect, in AWS's words; or why AWS does not say

    def __str__(self) -> str:
        if self.connected is None:
            return f"client {self.client_id}: AWS does not say whether it is connected ({self.reason})"
        when = f" since {at(self.since)}" if self.since else ""
        if self.connected:
            return f"client {self.client_id}: connected{when}" + (f", from {self.source}" if self.source else "")
        return f"client {self.client_id}: not connected{when}" + (f", {self.reason}" if self.reason else "")

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "client_id": self.client_id,
            "connected": self.connected,
            "since": self.since.isoformat() if self.since else None,
            "source": self.source,
            "reason": self.reason,
        }


def read(stage: Stage, client_id: str) -> LiveConnection:
    """Ask AWS IoT's data plane for one client's connection.

    Raises AccessError when the account cannot be opened.
    """
    client = stage.access.client("iot-data")
    if not hasattr(client, "get_connection"):
        return LiveConnection(client_id=client_id, connected=None, reason="this boto3 has no GetConnection")
    try:
        answer = client.get_connection(clientId=client_id, includeSocketInformation=True)
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"].get("Code") == "ResourceNotFoundException":
            return LiveConnection(client_id=client_id, connected=False, reason="and was not in the last 30 minutes")
        return LiveConnection(client_id=client_id, connected=None, reason=explain(error))
    connected = bool(answer.get("connected"))
    moment = answer.get("connectedSince" if connected else "disconnectedSince")
    return LiveConnection(
        client_id=client_id,
        connected=connected,
        since=datetime.fromtimestamp(moment / 1000, UTC) if moment else None,
        source=answer.get("sourceIp"),
        reason=None if connected else answer.get("disconnectReason"),
    )
