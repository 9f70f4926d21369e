"""What was decided on a certificate, as a value, and when that still settles a new event.

A decision is for one registration, named by its `creationDate`: the same certificate that is deleted and registered
again gets a new one. An event is a duplicate, and costs no IoT call, when it speaks of a registration that is decided,
or was sent shortly after the decision (the first event of a registration carries no registration time).
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from jitr.errors import Basis, Reason
from jitr.events import RegistrationEvent
from jitr.frozen import value
from jitr.iot_models import Status

# Events that were under way while the decision was made: the queue's SentTimestamp within this of the decision.
UNDER_WAY = timedelta(minutes=5)
# creationDate and the event's registration time are the same moment, each in its own precision.
SAME_MOMENT = timedelta(seconds=1)
# When a held device is looked at again if nothing that bears on it changes first; the last interval repeats.
_LOOK_AGAIN = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60), timedelta(days=1))


class Outcome(StrEnum):
    """What became of one event."""

    ACTIVATED = "activated"
    REJECTED = "rejected"  # for a final reason
    HELD = "held"  # for a curable reason; stays as it is: PENDING_ACTIVATION, or INACTIVE under a release order
    REPLACED = "replaced"  # another certificate of the same thing followed it, and the overlap is over
    FOUND = "found"  # was not PENDING_ACTIVATION, by somebody else's doing; left alone
    DUPLICATE = "duplicate"  # settled by an earlier decision
    GONE = "gone"  # AWS does not know the certificate (any more)


@value
class Decision:
    """One decision on one registration of one certificate."""

    certificate_id: str
    outcome: Outcome
    status: Status  # the status the certificate was left in
    registered_at: datetime  # names the registration
    decided_at: datetime
    rules_digest: str
    ca_certificate_id: str | None = None
    ca: str | None = None
    thing_name: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    would_reject: tuple[Reason, ...] = ()
    serial: str | None = None
    twin_id: str | None = (
        None  # the id of the same certificate with its signature written differently (signature_twin.py)
    )
    issuer: str | None = None
    reader: str | None = None  # "second" when jitr's own reader read the certificate; None: the library, or nothing
    subject: str | None = None
    replaces: str | None = None  # the certificate id that owned the thing name before
    replaced_by: str | None = None
    requested_name: str | None = None  # the thing name that its certificate makes, also where it is refused
    crl: str | None = None  # names what was published as its CA's CRL (crls.PublishedCrl.version); None: not asked for
    enrollment: str | None = None  # names what its enrollment entries said (enrollment.digest); None: not read
    attempts: int = 1  # looks in a row that ended in the same reason
    after: datetime | None = None  # when the decision before it was made; tells a verdict from the same one given later
    # The operator's verdict that it was made with (Verdict.number), 0: there was none; None: by an earlier version.
    verdict_seen: int | None = None
    # Held by the brake on its CA's rules: how many acceptances of rejections there were (brake.py). None: not by it.
    brake: int | None = None
    # Made under a release order on a certificate that is INACTIVE: the order's number (Verdict.number).
    release: int | None = None

    @property
    def rests_on(self) -> Basis | None:
        """What a refusal rests on; None where there is no reason."""
        return self.reason.rests_on if self.reason else None

    @property
    def is_braked(self) -> bool:
        """Whether the device is held since its CA's rules refuse too many, and would be rejected otherwise."""
        return self.outcome is Outcome.HELD and self.brake is not None

    @property
    def next_evaluation(self) -> datetime | None:
        """When a held device is looked at again."""
        if self.outcome is not Outcome.HELD:
            return None
        return self.decided_at + _LOOK_AGAIN[min(self.attempts, len(_LOOK_AGAIN)) - 1]

    @property
    def claims_name(self) -> bool:
        """Whether this, as an intent, speaks of a thing name that is to be given back unless it becomes ACTIVE."""
        return self.thing_name is not None and self.outcome not in (Outcome.REPLACED, Outcome.FOUND)

    def with_claim_of(self, begun: "Decision | None") -> Self:
        """As the intent that follows another one: what that one claimed is not forgotten."""
        if begun is None or not begun.claims_name:
            return self
        return replace(self, thing_name=begun.thing_name, replaces=begun.replaces)

    @property
    def without_claim(self) -> Self:
        """As it is announced and recorded: a name is only what an activation has."""
        if self.outcome in (Outcome.ACTIVATED, Outcome.REPLACED):
            return self
        return replace(self, thing_name=None, replaces=None)

    def is_for(self, registered_at: datetime) -> bool:
        """Whether this decided the registration of that time."""
        return abs(self.registered_at - registered_at) < SAME_MOMENT

    def is_waiting(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be looked at yet; changed rules are a reason to look."""
        return self.next_evaluation is not None and now < self.next_evaluation and rules_digest == self.rules_digest

    def settles(self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str) -> bool:
        """Whether the event needs no call of AWS IoT: it is of the registration that was decided.

        `sent_at` is the queue's SentTimestamp: the payload's times can be anybody's.
        """
        if self.outcome is Outcome.HELD:
            # A hold that is not due belongs to its registration alone: a certificate that was deleted and came back
            # does not wait for what its former registration waited for.
            same = event.registered_at is None or self._is_of(event)
            return same and self.is_waiting(now, rules_digest=rules_digest)
        return self._is_of(event) or sent_at <= self.decided_at + UNDER_WAY

    def _is_of(self, event: RegistrationEvent) -> bool:
        return event.registered_at is not None and self.is_for(event.registered_at)

    def repeats(self, earlier: "Decision | None") -> bool:
        """Whether this says nothing that the earlier decision on the same registration did not say."""
        return (
            earlier is not None
            and earlier.is_for(self.registered_at)
            and (earlier.outcome, earlier.reason, earlier.thing_name) == (self.outcome, self.reason, self.thing_name)
        )
