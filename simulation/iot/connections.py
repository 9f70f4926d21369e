"""The data plane's connections: GetConnection, DeleteConnection, and sessions that end with their certificate.

Source: aws-facts §2. A session ends with another CONNECT of its client id, with DeleteConnection, some time after its
certificate left ACTIVE, or when a test has the device hang up; devices do not disconnect by themselves. A persistent
session only exists, and does not expire. Wills are not modelled.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from simulation.faults import Answer, Params, ServiceError
from simulation.place import Place

if TYPE_CHECKING:
    from simulation.iot import Iot

_TOLD_FOR = timedelta(minutes=30)
_CLIENT_ID = re.compile(r"[^$].{0,127}", re.DOTALL)  # as the service model has it
# Every device's source and target address (of RFC 5737), and its keep-alive in seconds.
_SOCKET = {"sourceIp": "192.0.2.1", "sourcePort": 49152, "targetIp": "198.51.100.1", "targetPort": 8883}
_KEEP_ALIVE = 60


@dataclass(slots=True)
class ClientSession:
    """A client's last connection."""

    certificate_id: str
    since: datetime
    clean: bool  # without it the session persists when the connection ends
    ended_at: datetime | None = None
    reason: str | None = None


class Connections:
    """The clients that connected in one account and Region."""

    def __init__(self, place: Place, iot: "Iot") -> None:
        self._place = place
        self._iot = iot
        self._sessions: dict[str, ClientSession] = {}
        self._persistent: set[str] = set()
        # For tests: of each session that DeleteConnection ended, the client id, the certificate, and its status then.
        self.deleted: list[tuple[str, str, str | None]] = []

    def begin(self, client_id: str, certificate_id: str, *, clean: bool) -> None:
        self._sessions[client_id] = ClientSession(certificate_id, self._place.clock.now(), clean)
        if clean:
            self._persistent.discard(client_id)
        else:
            self._persistent.add(client_id)

    def hang_up(self, client_id: str) -> None:
        """Send the device's DISCONNECT; does nothing without a connection."""
        session = self._sessions[client_id]
        self._end_with_certificate(session)
        if session.ended_at is None:
            session.ended_at, session.reason = self._place.clock.now(), "CLIENT_INITIATED_DISCONNECT"

    def connected_as(self, client_id: str) -> str | None:
        """The id of the certificate that has the client id now, for tests; None without a connection."""
        session = self._sessions.get(client_id)
        if session is None:
            return None
        self._end_with_certificate(session)
        return None if session.ended_at else session.certificate_id

    def get_connection(self, params: Params) -> Answer:
        session = self._known(params["clientId"])
        if session is None:
            raise _not_found(params["clientId"])
        answer: Answer = {"clientId": params["clientId"], "connected": session.ended_at is None}
        if session.ended_at is None:
            answer |= {
                "connectedSince": _milliseconds(session.since),
                "cleanSession": session.clean,
                "keepAliveDuration": _KEEP_ALIVE,
            }
            return answer | (_SOCKET if params.get("includeSocketInformation") else {})
        return answer | {"disconnectedSince": _milliseconds(session.ended_at), "disconnectReason": session.reason}

    def delete_connection(self, params: Params) -> Answer:
        client_id = params["clientId"]
        session = self._known(client_id)
        connected = session is not None and session.ended_at is None
        if not connected and client_id not in self._persistent:
            raise _not_found(client_id)
        if session is not None and connected:
            session.ended_at, session.reason = self._place.clock.now(), "API_INITIATED_DISCONNECT"
            certificate = self._iot.certificates.by_id.get(session.certificate_id)
            self.deleted.append((client_id, session.certificate_id, certificate.status if certificate else None))
        if params.get("cleanSession"):
            self._persistent.discard(client_id)
        return {}

    def _known(self, client_id: str) -> ClientSession | None:
        """The client's last connection; None if AWS no longer reports it."""
        if not _CLIENT_ID.fullmatch(client_id):
            raise ServiceError("InvalidRequestException", f"{client_id!r} is no client id", status=400)
        session = self._sessions.get(client_id)
        if session is None:
            return None
        self._end_with_certificate(session)
        forgotten = session.ended_at and self._place.clock.now() - session.ended_at > _TOLD_FOR
        return None if forgotten else session

    def _end_with_certificate(self, session: ClientSession) -> None:
        """End the session, if its certificate has left ACTIVE for long enough; evaluated only when it is read."""
        certificate = self._iot.certificates.by_id.get(session.certificate_id)
        if session.ended_at or (certificate and certificate.status == "ACTIVE"):
            return
        now = self._place.clock.now()
        lasts = timedelta(seconds=self._place.undocumented.session_seconds)
        ends_at = certificate.updated_at + lasts if certificate else now  # only what was INACTIVE can be deleted
        if ends_at <= now:
            session.ended_at, session.reason = ends_at, "SERVER_INITIATED_DISCONNECT"


def _not_found(client_id: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"No connection of client {client_id}", status=404)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
