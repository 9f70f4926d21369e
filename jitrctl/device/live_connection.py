"""Reads whether a device is connected, from AWS IoT's data plane: since when, from where, or why it disconnected.

AWS keeps the reason of a disconnect for 30 minutes. If the call is not permitted or fails, the result says so; nothing
else depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.run.parallel import ON_PURPOSE, describe_error
from jitrctl.terminal import at

if TYPE_CHECKING:
    from datetime import datetime

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
    try:
        found = stage.connections.find(client_id)
    except ON_PURPOSE as error:
        return LiveConnection(client_id=client_id, connected=None, reason=describe_error(error))
    if found is None:
        return LiveConnection(client_id=client_id, connected=False, reason="and was not in the last 30 minutes")
    return LiveConnection(
        client_id=client_id,
        connected=found.is_connected,
        since=found.since,
        source=found.source,
        reason=found.reason,
    )
