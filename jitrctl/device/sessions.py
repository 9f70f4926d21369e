"""Ends a device's sessions after an order on its certificate, and looks again ten seconds later.

A session stays up for minutes after its certificate has left ACTIVE, and a device whose session is ended may connect
again until all of AWS IoT knows the new status. Only sessions that can be no other device's are ended
(jitr/session_end.py). Nothing here undoes or prevents an order: a session that is not ended says why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jitr.errors import CertificateUnknown, Unavailable
from jitr.iot_models import Status
from jitr.session_end import SessionEnd
from jitr.sessions import WITHIN_MINUTES, SessionResult, SessionState
from jitrctl.device.connect_log import find_connects
from jitrctl.device.order_conflicts import find_twins
from jitrctl.run.parallel import ON_PURPOSE, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitr.iot_models import DeviceRegistration
    from jitrctl.device.search import StageCertificate
    from jitrctl.session.stage import Stage

SECONDS_UNTIL_LOOK = 10.0
# AWS IoT accepts one CONNECT a second for each client id (aws-facts §2), so the log's and the connection's times tell
# one connection from the next.
_SAME_CONNECT = timedelta(seconds=0.5)
_CAME_BACK = f"it connects again and again: {WITHIN_MINUTES}, and the same command ends it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSession:
    """What an order did with one session of a device, in one stage."""

    certificate_id: str
    result: SessionResult
    seconds: float | None = None  # from the order to the session's end; None: it was not ended
    came_back: bool = False  # the device had connected again, and that session was ended, too
    clean: bool = False  # its persistent session is deleted, too
    by_log: bool = False  # its client id is from AWS IoT's log, not its thing's name
    was_active: bool = False  # the certificate was, before the order

    @property
    def may_come_back(self) -> bool:
        """Whether the device may connect until all of AWS IoT knows the certificate's status."""
        state = self.result.state
        return state is SessionState.ENDED or (state is SessionState.NOT_CONNECTED and self.was_active)

    def __str__(self) -> str:
        """For the report: sensor-0001 ended after 0.8 s."""
        client = f"{self.result.client_id} " if self.result.client_id else ""
        match self.result.state:
            case SessionState.ENDED:
                again = ", came back and was ended again" if self.came_back else ""
                return f"{client}ended after {self.seconds:.1f} s{again}"
            case SessionState.NOT_CONNECTED:
                return f"{client}not connected"
            case _:
                return f"{client}not ended: {self.why}"

    @property
    def why(self) -> str | None:
        """Why it was left, or how ending it failed and what to do."""
        cause = self.result.cause
        return f"{describe_error(cause)}; {WITHIN_MINUTES}" if cause else self.result.why

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "client_id": self.result.client_id,
            "state": self.result.state.value,
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "came_back": self.came_back,
            "why": self.why,
        }


class DeviceSessions:
    """Ends the sessions of devices, by the operator's clock."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._begun = monotonic()

    def end(
        self, stage: Stage, certificate_id: str, status: Status, seen: StageCertificate
    ) -> tuple[DeviceSession, ...]:
        """End the sessions of a certificate, then of its twin; call it after the status was set.

        `status` is the one that was set, `seen` what the stage knew before the order.
        """
        sessions: list[DeviceSession] = []
        try:
            if seen.registered:
                sessions += self._end(stage, replace(seen.registered.device, status=status), seen)
            else:
                sessions += self._end_registered(stage, certificate_id, seen)
            for twin_id in sorted(find_twins(certificate_id, seen.record, iot=stage.aws_iot, rules=stage.rules)):
                sessions += self._end_registered(stage, twin_id, seen)
        except ON_PURPOSE as error:
            sessions.append(DeviceSession(certificate_id=certificate_id, result=_failed(None, error)))
        return tuple(sessions)

    def _end_registered(self, stage: Stage, certificate_id: str, seen: StageCertificate) -> list[DeviceSession]:
        """The same for a certificate as it is registered now; nothing if it is not, or not taken away."""
        try:
            device = stage.aws_iot.describe(certificate_id)
        except CertificateUnknown:
            return []
        if device.status in (Status.ACTIVE, Status.PENDING_ACTIVATION):
            return []  # a twin that was never decided on
        return self._end(stage, device, seen)

    def _end(self, stage: Stage, device: DeviceRegistration, seen: StageCertificate) -> list[DeviceSession]:
        certificate_id = device.certificate_id
        clean = device.status is Status.REVOKED
        was_active = seen.registered is not None and seen.registered.status is Status.ACTIVE
        results = SessionEnd(stage.aws_iot, stage.connections).end(device, clean_session=clean)
        things = {one.client_id for one in results if one.state is not SessionState.LEFT}
        was_ever_active = was_active or seen.record.was_active
        if was_ever_active and any(one.state is SessionState.LEFT for one in results):
            results = _end_by_log(stage, certificate_id, results, clean_session=clean)
        elif not was_ever_active and all(one.client_id is None for one in results):
            results = (SessionResult(state=SessionState.NOT_CONNECTED),)
        sessions = [
            DeviceSession(
                certificate_id=certificate_id,
                result=result,
                seconds=self._monotonic() - self._begun if result.state is SessionState.ENDED else None,
                clean=clean,
                by_log=result.client_id not in things,
                was_active=was_active,
            )
            for result in results
        ]
        return [self._look(stage, one) if one.result.state is SessionState.ENDED else one for one in sessions]

    def wait(self) -> None:
        """Wait until it is time to look again."""
        self._sleep(SECONDS_UNTIL_LOOK)

    def look_again(self, stage: Stage, session: DeviceSession) -> DeviceSession:
        """Look whether the device has connected again, and end that session; returns what is to be reported.

        A device that connects once more even then is a failure.
        """
        seen = self._look(stage, session)
        client_id = seen.result.client_id
        if seen is session or client_id is None or seen.result.state is not SessionState.ENDED:
            return seen
        try:
            stays_out = not _is_connected(stage, client_id)
        except Unavailable:
            return seen
        failed = SessionResult(state=SessionState.FAILED, client_id=client_id, why=_CAME_BACK)
        return seen if stays_out else replace(seen, result=failed)

    def _look(self, stage: Stage, session: DeviceSession) -> DeviceSession:
        """The same session if the device has not connected again; else it is ended once more."""
        client_id = session.result.client_id
        if client_id is None or not session.may_come_back:
            return session
        try:
            if not _is_connected(stage, client_id):
                return session
            result = _end_again(stage, session, client_id)
        except Unavailable:
            return session  # it was ended; only this look failed
        except ON_PURPOSE as error:
            result = _failed(client_id, error)
        if result.state in (SessionState.LEFT, SessionState.NOT_CONNECTED):
            return session  # another certificate of the thing became ACTIVE since; or it went by itself
        seconds = self._monotonic() - self._begun if result.state is SessionState.ENDED else session.seconds
        return replace(session, result=result, seconds=seconds, came_back=True)


def _end_again(stage: Stage, session: DeviceSession, client_id: str) -> SessionResult:
    """End the session of a device that has connected again; LEFT if it is another one's.

    Raises Unavailable.
    """
    if session.by_log:
        left = SessionResult(state=SessionState.LEFT, client_id=client_id)
        return _end_by_log(stage, session.certificate_id, (left,), clean_session=False)[0]
    ends = SessionEnd(stage.aws_iot, stage.connections)
    return ends.end_one(session.certificate_id, client_id, clean_session=session.clean)


def _end_by_log(
    stage: Stage, certificate_id: str, results: tuple[SessionResult, ...], *, clean_session: bool
) -> tuple[SessionResult, ...]:
    """End the connections that were left, if AWS IoT's log says that this certificate opened them.

    A persistent session of a client id that others have, too, is not deleted.

    Raises Unavailable.
    """
    ended: list[SessionResult] = []
    shared = {one.client_id for one in results if one.state is SessionState.LEFT}
    for client_id, at in find_connects(stage, certificate_id).items():
        found = stage.connections.find(client_id)
        if found is None or not found.is_connected or found.since is None or abs(found.since - at) > _SAME_CONNECT:
            continue
        if stage.connections.end(client_id, clean_session=clean_session and client_id not in shared):
            ended.append(SessionResult(state=SessionState.ENDED, client_id=client_id))
    known = {one.client_id for one in ended}
    left = [
        one
        for one in results
        if one.state is not SessionState.LEFT or not (ended if one.client_id is None else one.client_id in known)
    ]
    return (*ended, *left)


def _is_connected(stage: Stage, client_id: str) -> bool:
    """Raises Unavailable."""
    found = stage.connections.find(client_id)
    return found is not None and found.is_connected


def _failed(client_id: str | None, error: Exception) -> SessionResult:
    return SessionResult(state=SessionState.FAILED, client_id=client_id, cause=error)
