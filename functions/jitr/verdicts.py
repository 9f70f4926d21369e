"""Operators' verdicts on a certificate, as values; they are numbered, so that each names the one that it replaces."""

from datetime import datetime
from enum import StrEnum

from jitr.decisions import Decision
from jitr.errors import JitrError
from jitr.frozen import value
from jitr.iot_models import Status


class OperatorAction(StrEnum):
    """What an operator ordered about a certificate."""

    APPROVED = "approved"
    RELEASED = "released"  # to be evaluated again, without earlier decisions
    DENIED = "denied"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"

    @property
    def allows_activation(self) -> bool:
        return self in (OperatorAction.APPROVED, OperatorAction.RELEASED)

    def is_weaker_than(self, other: "OperatorAction") -> bool:
        """Whether both deny, and this one less: denied, deactivated, revoked."""
        strength = (OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED)
        return self in strength and other in strength and strength.index(self) < strength.index(other)


@value
class OperatorVerdict:
    """An operator's verdict, in force until the next one."""

    action: OperatorAction
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock: for people, never compared with a function's time
    note: str = ""
    version: int = 0  # counts a certificate's verdicts from 1; 0: written by an earlier version of jitrctl
    # Of a release: the registration that it ends (creationDate), and the status that the operator saw.
    of_registration: datetime | None = None
    of_status: Status | None = None
    # Of a release order: the time of the rejection that it takes back. The registration stays, and `register` acts on
    # the INACTIVE certificate (record.py).
    of_rejection: datetime | None = None

    @property
    def number(self) -> int:
        """Identifies the verdict among those on its certificate: its version, or its time in epoch milliseconds.

        A time is greater than any count. After a verdict by an earlier version of jitrctl, versions continue from its
        time, so no number occurs twice.
        """
        return self.version or round(self.at.timestamp() * 1000)

    @property
    def description(self) -> str:
        """The action, operator, time and note: revoked by arn:…/ann 2026-11-26 10:00Z ('stolen')."""
        return f"{self.action} by {self.by} {self.at:%Y-%m-%d %H:%M}Z" + (f" ({self.note!r})" if self.note else "")

    def releases(self, found: Decision) -> bool:
        """Whether this release ends an observed status, by deleting its registration.

        A release by an earlier version of jitrctl does not name the registration, so it counts for any.
        """
        if self.action is not OperatorAction.RELEASED or self.of_rejection is not None:
            return False
        if self.of_registration is None:
            return self.version == 0
        return found.is_for(self.of_registration) and found.status is self.of_status

    def explains(self, status: Status) -> bool:
        """Whether this verdict ordered the status: INACTIVE by any denial, REVOKED only by `revoke`."""
        if status is Status.INACTIVE:
            return not self.action.allows_activation
        return status is Status.REVOKED and self.action is OperatorAction.REVOKED


class VerdictConflict(JitrError):
    """An operator's verdict was not written, since another one was written after the operator read the record."""

    def __init__(self, certificate_id: str, verdict: OperatorVerdict | None) -> None:
        """`verdict` is in force now; None: the certificate's record was deleted meanwhile."""
        self.certificate_id = certificate_id
        self.verdict = verdict
        found = f"{verdict.description}, which came first" if verdict else "its record was deleted meanwhile"
        super().__init__(f"certificate {certificate_id[:16]}: {found}")
