"""What operators order about a certificate, as values: verdicts, counted so that each knows which one it replaces."""

from datetime import datetime
from enum import StrEnum

from jitr.decisions import Decision
from jitr.errors import JitrError
from jitr.frozen import value
from jitr.iot_models import Status


class OperatorAction(StrEnum):
    """What an operator said about a certificate."""

    APPROVED = "approved"
    RELEASED = "released"  # to be judged again, whatever was decided before
    DENIED = "denied"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"

    @property
    def allows_activation(self) -> bool:
        return self in (OperatorAction.APPROVED, OperatorAction.RELEASED)

    def is_weaker_than(self, other: "OperatorAction") -> bool:
        """Whether it denies, and takes less away than the other one: denied, deactivated, revoked."""
        strength = (OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED)
        return self in strength and other in strength and strength.index(self) < strength.index(other)


@value
class OperatorVerdict:
    """An operator's word, in force until the next one."""

    action: OperatorAction
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock: for people to read, never compared with a function's time
    note: str = ""
    version: int = 0  # counts a certificate's verdicts, the first is 1; 0: an earlier version of jitrctl gave it
    # Of a release: the registration that it ends (creationDate), and the status in which the operator saw it.
    of_registration: datetime | None = None
    of_status: Status | None = None
    # Of a release order: when the rejection was decided that it takes back. The registration stays, and `register` acts
    # on the INACTIVE certificate (record.py).
    of_rejection: datetime | None = None

    @property
    def number(self) -> int:
        """Names the verdict among those on its certificate: its version, or its time in epoch milliseconds.

        A time is greater than any count. So the versions go on from it after a verdict by an earlier version of
        jitrctl, and no number comes twice.
        """
        return self.version or round(self.at.timestamp() * 1000)

    @property
    def description(self) -> str:
        """Whose verdict it is, when and why: revoked by arn:…/ann 2026-11-26 10:00Z ('stolen')."""
        return f"{self.action} by {self.by} {self.at:%Y-%m-%d %H:%M}Z" + (f" ({self.note!r})" if self.note else "")

    def releases(self, found: Decision) -> bool:
        """Whether a status that was found is the one that this release ends, by the deletion of its registration.

        A release by an earlier version of jitrctl does not say which one, so it may be any.
        """
        if self.action is not OperatorAction.RELEASED or self.of_rejection is not None:
            return False
        if self.of_registration is None:
            return self.version == 0
        return found.is_for(self.of_registration) and found.status is self.of_status

    def explains(self, status: Status) -> bool:
        """Whether an operator ordered this status: INACTIVE by any denial, REVOKED by `revoke` alone."""
        if status is Status.INACTIVE:
            return not self.action.allows_activation
        return status is Status.REVOKED and self.action is OperatorAction.REVOKED


class VerdictConflict(JitrError):
    """An operator's verdict was not written, since another one stands than the operator saw."""

    def __init__(self, certificate_id: str, verdict: OperatorVerdict | None) -> None:
        """`verdict` stands now; None: what is known of the certificate was dropped meanwhile."""
        self.certificate_id = certificate_id
        self.verdict = verdict
        said = f"{verdict.description}, which came first" if verdict else "what is known of it was dropped meanwhile"
        super().__init__(f"certificate {certificate_id[:16]}: {said}")
