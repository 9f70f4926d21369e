"""The data plane's view of connections: GetConnection, DeleteConnection, and sessions that end with their certificate.

Aws-facts §2. A session lasts until another CONNECT of its client id, DeleteConnection, or some time after its
certificate left ACTIVE; nothing else ends it, for devices here do not go by themselves. Persistent sessions and wills
are not modelled.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from simulation.faults import Answer, Params, ServiceError
from simulation.place import Place

if TYPE_CHECKING:
    from simulation.iot import Iot

_TOLD_FOR = timedelta(minutes=30)


@dataclass(slots=True)
class ClientSession:
    """A client's last connection."""

    certificate_id: str
    since: datetime
    ended_at: datetime | None = None
    reason: str | None = None


class Connections:
    """The clients that connected in one account and Region."""

    def __init__(self, place: Place, iot: "Iot") -> None:
        self._place = place
        self._iot = iot
        self._sessions: dict[str, ClientSession] = {}

    def begin(self, client_id: str, certificate_id: str) -> None:
        self._sessions[client_id] = ClientSession(certificate_id, self._place.clock.now())

    def get_connection(self, params: Params) -> Answer:
        session = self._known(params["clientId"])
        answer: Answer = {"clientId": params["clientId"], "connected": session.ended_at is None}
        if session.ended_at is None:
            return answer | {"connectedSince": _milliseconds(session.since)}
        return answer | {"disconnectedSince": _milliseconds(session.ended_at), "disconnectReason": session.reason}

    def delete_connection(self, params: Params) -> Answer:
        session = self._known(params["clientId"])
        if session.ended_at is not None:
            raise _not_found(params["clientId"])
        session.ended_at, session.reason = self._place.clock.now(), "API_INITIATED_DISCONNECT"
        return {}

    def _known(self, client_id: str) -> ClientSession:
        session = self._sessions.get(client_id)
        if session is None:
            raise _not_found(client_id)
        self._end_with_certificate(session)
        if session.ended_at and self._place.clock.now() - session.ended_at > _TOLD_FOR:
            raise _not_found(client_id)
        return session

    def _end_with_certificate(self, session: ClientSession) -> None:
        """Find out, when it is asked about, whether the session has ended meanwhile."""
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
    return round(moment.timestamp() * 1000)
