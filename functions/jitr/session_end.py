"""Ends the sessions of a certificate that has left ACTIVE, and never another device's.

The thing's principals are read directly before DeleteConnection. That takes no condition, so the time of one call
remains, in which a successor would have to be attached, become ACTIVE and connect.

A session that is not ended is a result and not an error: the status is set, and AWS ends the session within minutes.
"""

from contextlib import suppress

from jitr.aws.connections import Connections
from jitr.aws.iot import AwsIot
from jitr.errors import CertificateUnknown, Rejected, Unavailable
from jitr.iot_models import DeviceRegistration, Status
from jitr.sessions import WITHIN_MINUTES, SessionResult, SessionState, ThingPrincipals, choose_sessions

_CERTIFICATE = ":cert/"


class SessionEnd:
    """Ends sessions in one account and Region."""

    def __init__(self, iot: AwsIot, connections: Connections) -> None:
        self._iot = iot
        self._connections = connections

    def end(self, device: DeviceRegistration, *, clean_session: bool) -> tuple[SessionResult, ...]:
        """End the certificate's sessions, one result for each thing; call it after the status was set.

        `clean_session` (REVOKED only: a hold may be lifted) also deletes persistent sessions. Its paced calls are one
        for the list of things, one for each thing, and one for each other certificate on a thing.
        """
        try:
            things = self._iot.things_of(device)
        except (CertificateUnknown, Rejected, Unavailable) as error:
            return (_failed(None, error),)
        if not things:
            return choose_sessions(device.certificate_id, ()).left
        return tuple(self.end_one(device.certificate_id, thing, clean_session=clean_session) for thing in things)

    def end_one(self, certificate_id: str, thing_name: str, *, clean_session: bool) -> SessionResult:
        """End the session under a thing's name, if it can only be this certificate's."""
        is_connected, of_thing = self._look(thing_name)
        if of_thing not in (None, thing_name):
            why = f"the session under this client id is of thing {of_thing}"
            return SessionResult(state=SessionState.LEFT, client_id=thing_name, why=why)
        # A persistent session that is not connected keeps messages for the device's return.
        if is_connected is False and not clean_session:
            return SessionResult(state=SessionState.NOT_CONNECTED, client_id=thing_name)
        try:
            choice = choose_sessions(certificate_id, (self._principals(certificate_id, thing_name),))
            if choice.left:
                return choice.left[0]
            ended = self._connections.end(thing_name, clean_session=clean_session)
        except (Rejected, Unavailable) as error:
            return _failed(thing_name, error)
        state = SessionState.ENDED if ended and is_connected is not False else SessionState.NOT_CONNECTED
        return SessionResult(state=state, client_id=thing_name)

    def end_again(self, certificate_id: str, client_id: str) -> SessionResult:
        """End the session of a device that has connected again since the first one was ended.

        One call if it has not, or AWS does not say. A certificate that somebody has set ACTIVE since is left alone.
        """
        if not self._look(client_id)[0]:
            return SessionResult(state=SessionState.NOT_CONNECTED, client_id=client_id)
        try:
            status = self._iot.describe(certificate_id).status
        except CertificateUnknown:
            status = Status.INACTIVE
        except (Rejected, Unavailable) as error:
            return _failed(client_id, error)
        if status is Status.ACTIVE:
            return SessionResult(state=SessionState.LEFT, client_id=client_id, why="its certificate is ACTIVE again")
        return self.end_one(certificate_id, client_id, clean_session=status is Status.REVOKED)

    def _look(self, client_id: str) -> tuple[bool | None, str | None]:
        """Whether the client is connected, and as which thing; None where AWS does not say, or may not be asked."""
        try:
            seen = self._connections.find(client_id)
        except Unavailable:
            return None, None  # GetConnection needs a permission of its own; the session is ended without it
        if seen is None or not seen.is_connected:
            return False, None
        return True, seen.thing_name

    def _principals(self, certificate_id: str, thing_name: str) -> ThingPrincipals:
        """Raises Rejected, Unavailable."""
        arns = self._iot.things.principals_of(thing_name)
        statuses: dict[str, Status] = {}
        for arn in arns:
            other_id = arn.rpartition("/")[2]
            if _CERTIFICATE in arn and other_id != certificate_id:
                with suppress(CertificateUnknown):  # deleted meanwhile
                    statuses[other_id] = self._iot.describe(other_id).status
        has_others = any(_CERTIFICATE not in arn for arn in arns)
        return ThingPrincipals(
            thing_name=thing_name,
            statuses=statuses,
            has_other_principals=has_others,
            is_attached=any(arn.rpartition("/")[2] == certificate_id for arn in arns),
        )


def _failed(client_id: str | None, error: Exception) -> SessionResult:
    why = f"{error}: {WITHIN_MINUTES}"
    return SessionResult(state=SessionState.FAILED, client_id=client_id, why=why, cause=error)
