"""Calls AWS IoT's data plane about connections: GetConnection and DeleteConnection.

Errors are sorted as in calls.py. That a client is not connected is an answer. No quota is documented for these calls,
so they take no turns.

GetConnection is in botocore since 1.43, and DeleteConnection since 1.40. A Lambda runtime may be older, so a missing
operation is Unavailable.
"""

from datetime import UTC, datetime
from typing import Any

from jitr.aws.calls import calling
from jitr.errors import Unavailable
from jitr.frozen import value


@value
class Connection:
    """The last connection of one client id; AWS describes a connection that has ended for 30 minutes."""

    client_id: str
    is_connected: bool
    since: datetime | None = None  # of the connect, or of the disconnect
    thing_name: str | None = None  # None: AWS does not say
    source: str | None = None  # IP address
    reason: str | None = None  # of the disconnect, in AWS's words


class Connections:
    """The connections of one account and Region; safe for threads."""

    def __init__(self, client: Any) -> None:
        """`client` is boto3's `iot-data`."""
        self._client = client

    def find(self, client_id: str) -> Connection | None:
        """Describe a client's last connection; None when there was none in the last 30 minutes.

        Raises Unavailable, NotPermitted.
        """
        get = self._operation("GetConnection", "get_connection")
        try:
            with calling("GetConnection"):
                answer = get(clientId=client_id, includeSocketInformation=True)
        except self._client.exceptions.ResourceNotFoundException:
            return None
        is_connected = bool(answer.get("connected"))
        moment = answer.get("connectedSince" if is_connected else "disconnectedSince")
        return Connection(
            client_id=client_id,
            is_connected=is_connected,
            since=datetime.fromtimestamp(moment / 1000, UTC) if moment else None,
            thing_name=answer.get("thingName"),
            source=answer.get("sourceIp"),
            reason=None if is_connected else answer.get("disconnectReason"),
        )

    def end(self, client_id: str, *, clean_session: bool) -> bool:
        """End a client's session; returns False when it has none, neither a connection nor a persistent session.

        `clean_session` also deletes the persistent session: subscriptions, and messages that wait. The device may
        connect again at once, so its certificate must have left ACTIVE before.

        Raises Unavailable, NotPermitted.
        """
        delete = self._operation("DeleteConnection", "delete_connection")
        try:
            with calling("DeleteConnection"):
                delete(clientId=client_id, cleanSession=clean_session)
        except self._client.exceptions.ResourceNotFoundException:
            return False
        return True

    def _operation(self, operation: str, method: str) -> Any:
        found = getattr(self._client, method, None)
        if found is None:
            raise Unavailable(f"{operation}: this version of botocore does not have it")
        return found
