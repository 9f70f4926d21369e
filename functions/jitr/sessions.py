"""Chooses the client ids whose sessions may be ended with a certificate, so that no other device loses its session.

AWS IoT ends a session by its client id (DeleteConnection), and does not say which certificate opened it. The policy of
jitr's devices allows one client id, the thing's name (policies/device.json). So the session under a thing's name is
this certificate's, if no other principal of the thing can connect. Otherwise the session is left, and AWS ends it
within minutes after the certificate has left ACTIVE (aws-facts §2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum

from jitr.frozen import value
from jitr.iot_models import Status

# A PENDING_ACTIVATION certificate that is attached to the thing is about to become ACTIVE (a rotation's successor).
_MAY_CONNECT = frozenset({Status.ACTIVE, Status.PENDING_ACTIVATION})
WITHIN_MINUTES = "AWS ends it within minutes"
# A device may connect again until all of AWS IoT knows the new status of its certificate, which takes seconds.
LOOK_AGAIN_AFTER = timedelta(seconds=10)


class SessionState(StrEnum):
    """What became of a session."""

    ENDED = "ended"  # by DeleteConnection
    NOT_CONNECTED = "not_connected"  # there was none under the client id
    LEFT = "left"  # it may be another device's, or its client id is not known
    FAILED = "failed"  # the call was refused or failed


@value
class SessionResult:
    """What became of the session under one client id."""

    state: SessionState
    client_id: str | None = None  # None: not known
    why: str | None = None  # it was left, or failed; a clause without a full stop
    cause: Exception | None = field(default=None, compare=False)  # of a failure: Unavailable or Rejected


@value
class SecondLook:
    """Sessions that an order has ended, to be looked at once more: the device may have connected again."""

    client_ids: tuple[str, ...]
    due_at: datetime


@value
class ThingPrincipals:
    """The principals of one thing, read after the certificate that is ended has left ACTIVE."""

    thing_name: str
    # Of the attached certificates that are registered, by certificate id.
    statuses: Mapping[str, Status]
    has_other_principals: bool = False  # that are not certificates, such as Cognito identities
    is_attached: bool = True  # the certificate itself is on the thing


@value
class SessionChoice:
    """The sessions of a certificate: those that may be ended, by client id, and those that are left."""

    client_ids: tuple[str, ...] = ()
    left: tuple[SessionResult, ...] = ()


def choose_sessions(certificate_id: str, things: Iterable[ThingPrincipals]) -> SessionChoice:
    """Choose among the things that the certificate is attached to."""
    client_ids, left = [], []
    for thing in things:
        if why := _find_other(certificate_id, thing):
            left.append(SessionResult(state=SessionState.LEFT, client_id=thing.thing_name, why=why))
        else:
            client_ids.append(thing.thing_name)
    if not client_ids and not left:
        why = f"the certificate has no thing, so its client id is not known: {WITHIN_MINUTES}"
        left.append(SessionResult(state=SessionState.LEFT, why=why))
    return SessionChoice(client_ids=tuple(client_ids), left=tuple(left))


def _find_other(certificate_id: str, thing: ThingPrincipals) -> str | None:
    """Why the session under the thing's name may be another principal's; None: it cannot be."""
    for other_id, status in sorted(thing.statuses.items()):
        if other_id != certificate_id and status in _MAY_CONNECT:
            return f"certificate {other_id[:16]} of thing {thing.thing_name} is {status}: {WITHIN_MINUTES}"
    if not thing.is_attached:
        return f"the certificate is not on thing {thing.thing_name}, so the session may be another's: {WITHIN_MINUTES}"
    if thing.has_other_principals:
        return f"thing {thing.thing_name} has a principal that is not a certificate: {WITHIN_MINUTES}"
    return None
