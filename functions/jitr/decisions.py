"""A decision on a certificate as a value, and whether it settles a new event.

A decision is for one registration, identified by its `creationDate`: a certificate that is deleted and registered again
gets a new one. An event is a duplicate, which needs no IoT call, if it is for a decided registration, or was sent
shortly after the decision (the first event of a registration has no registration time).
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from jitr.errors import Basis, Reason
from jitr.events import RegistrationEvent
from jitr.frozen import value
from jitr.iot_models import Status

# Events whose SentTimestamp is within this time after the decision were in flight while it was made.
IN_FLIGHT = timedelta(minutes=5)
# creationDate and the event's registration time are the same time in different precisions.
SAME_MOMENT = timedelta(seconds=1)
# Intervals to the next evaluation of a held device, if nothing that it depends on changes; the last one repeats.
_EVALUATE_AFTER = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60), timedelta(days=1))


class Outcome(StrEnum):
    """The outcome of one event."""

    ACTIVATED = "activated"
    REJECTED = "rejected"  # for a final reason
    HELD = "held"  # for a curable reason; its status stays: PENDING_ACTIVATION, or INACTIVE under a release order
    REPLACED = "replaced"  # another certificate took over its thing name, and the overlap is over
    FOUND = "found"  # another party had set a status; left as it is
    DUPLICATE = "duplicate"  # settled by an earlier decision
    GONE = "gone"  # not registered in AWS IoT


@value
class Decision:
    """One decision on one registration of one certificate."""

    certificate_id: str
    outcome: Outcome
    status: Status  # the status the certificate was left in
    registered_at: datetime  # identifies the registration
    decided_at: datetime
    rules_digest: str
    ca_certificate_id: str | None = None
    ca: str | None = None
    thing_name: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    would_reject: tuple[Reason, ...] = ()
    serial: str | None = None
    twin_id: str | None = None  # the id of the certificate's twin (signature_twin.py)
    issuer: str | None = None
    reader: str | None = None  # "second": jitr's own reader read the certificate; None: the library, or none
    subject: str | None = None
    # Its validity, as the certificate says; None: not read, or by an earlier version.
    not_before: datetime | None = None
    not_after: datetime | None = None
    replaces: str | None = None  # the certificate id that owned the thing name before
    replaced_by: str | None = None
    requested_name: str | None = None  # the thing name that the rules make of the certificate, also if it is refused
    crl: str | None = None  # the version of its CA's CRL (PublishedCrl.version); None: not read
    enrollment: str | None = None  # the digest of its enrollment entries (Enrollment.digest); None: not read
    attempts: int = 1  # consecutive evaluations with the same reason
    after: datetime | None = None  # the time of the decision before; distinguishes equal decisions
    # The number of the operator's verdict that it was made with; 0: there was none; None: by an earlier version.
    verdict_seen: int | None = None
    # Held by the CA's brake: the number of acceptances at that time (brake.py). None: not held by it.
    brake: int | None = None
    # Made under a release order, on an INACTIVE certificate: the order's number.
    release: int | None = None

    @property
    def rests_on(self) -> Basis | None:
        """What a refusal rests on; None without a reason."""
        return self.reason.rests_on if self.reason else None

    @property
    def is_braked(self) -> bool:
        """Whether the device is held by its CA's brake, and would be rejected otherwise."""
        return self.outcome is Outcome.HELD and self.brake is not None

    @property
    def next_evaluation(self) -> datetime | None:
        """When a held device is evaluated again; None if it is not held."""
        if self.outcome is not Outcome.HELD:
            return None
        return self.decided_at + _EVALUATE_AFTER[min(self.attempts, len(_EVALUATE_AFTER)) - 1]

    @property
    def claims_name(self) -> bool:
        """Whether this, as an intent, claims a thing name that is given back unless the certificate becomes ACTIVE."""
        return self.thing_name is not None and self.outcome not in (Outcome.REPLACED, Outcome.FOUND)

    def with_claim_of(self, begun: "Decision | None") -> Self:
        """The decision as the intent that follows another one, with that one's claim."""
        if begun is None or not begun.claims_name:
            return self
        return replace(self, thing_name=begun.thing_name, replaces=begun.replaces)

    @property
    def without_claim(self) -> Self:
        """The decision as it is announced and recorded: only of a certificate that was ACTIVE it has a thing name."""
        if self.outcome in (Outcome.ACTIVATED, Outcome.REPLACED, Outcome.FOUND):
            return self
        return replace(self, thing_name=None, replaces=None)

    def is_for(self, registered_at: datetime) -> bool:
        """Whether this decided the registration with this `creationDate`."""
        return abs(self.registered_at - registered_at) < SAME_MOMENT

    def is_waiting(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be evaluated yet; changed rules are a reason to evaluate it."""
        return self.next_evaluation is not None and now < self.next_evaluation and rules_digest == self.rules_digest

    def settles(
        self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str, is_swept: bool = False
    ) -> bool:
        """Whether the event needs no call of AWS IoT, since its registration is decided.

        `sent_at` is the queue's SentTimestamp: the times in the payload are not trusted. `is_swept` says that the sweep
        sent it.
        """
        if self.outcome is Outcome.HELD:
            # A hold applies to its registration only: a certificate that was deleted and registered again is evaluated.
            same = event.registered_at is None or self._is_of(event)
            # The sweep has a cause, which this environment may have read too long ago to know. Without a decision the
            # device would wait until the sweep sends it again, an hour later.
            is_called_for = is_swept and self.decided_at < sent_at
            return same and not is_called_for and self.is_waiting(now, rules_digest=rules_digest)
        return self._is_of(event) or sent_at <= self.decided_at + IN_FLIGHT

    def _is_of(self, event: RegistrationEvent) -> bool:
        return event.registered_at is not None and self.is_for(event.registered_at)

    def repeats(self, earlier: "Decision | None") -> bool:
        """Whether this says the same as the earlier decision on the same registration."""
        return (
            earlier is not None
            and earlier.is_for(self.registered_at)
            and (earlier.outcome, earlier.reason, earlier.thing_name) == (self.outcome, self.reason, self.thing_name)
        )
