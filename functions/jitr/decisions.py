"""What was decided on a certificate, as a value, and when that still settles a new event.

A decision is for one registration, named by its `creationDate`: the same certificate that is deleted and registered
again gets a new one. An event is a duplicate, and costs no IoT call, when it speaks of a registration that is decided,
or was sent shortly after the decision (the first event of a registration carries no registration time).
"""

from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from jitr.errors import Basis, JitrError, Reason, Rejected
from jitr.events import RegistrationEvent
from jitr.registrations import Status
from jitr.value import value

# Events that were under way while the decision was made: the queue's SentTimestamp within this of the decision.
UNDER_WAY = timedelta(minutes=5)
# creationDate and the event's registration time are the same moment, each in its own precision.
_SAME_MOMENT = timedelta(seconds=1)
# When a held device is looked at again if nothing that bears on it changes first; the last interval repeats.
_LOOK_AGAIN = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60), timedelta(days=1))


class Outcome(StrEnum):
    """What became of one event."""

    ACTIVATED = "activated"
    REJECTED = "rejected"  # for a final reason
    HELD = "held"  # for a curable reason; stays PENDING_ACTIVATION
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
    twin_id: str | None = None  # the id of the same certificate with its signature written differently (twins.py)
    issuer: str | None = None
    reader: str | None = None  # "second" when jitr's own reader read the certificate; None: the library, or nothing
    subject: str | None = None
    replaces: str | None = None  # the certificate id that owned the thing name before
    replaced_by: str | None = None
    asks_for: str | None = None  # the thing name that its certificate makes, also where it is refused
    crl: str | None = None  # names what was published as its CA's CRL (crls.Published.version); None: not asked for
    enrollment: str | None = None  # names what its enrollment entries said (enrollment.digest); None: not read
    attempts: int = 1  # looks in a row that ended in the same reason
    after: datetime | None = None  # when the decision before it was made; tells a verdict from the same one given later
    # The operator's verdict that it was made with (Verdict.number), 0: there was none; None: by an earlier version.
    verdict_seen: int | None = None
    # Held by the brake on its CA's rules: how many acceptances of rejections there were (brake.py). None: not by it.
    brake: int | None = None

    @property
    def rests_on(self) -> Basis | None:
        """What a refusal rests on; None where there is no reason."""
        return self.reason.rests_on if self.reason else None

    @property
    def is_braked(self) -> bool:
        """Whether the device is held since its CA's rules refuse too many, and would be rejected otherwise."""
        return self.outcome is Outcome.HELD and self.brake is not None

    @property
    def next_look(self) -> datetime | None:
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
        return abs(self.registered_at - registered_at) < _SAME_MOMENT

    def rests(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be looked at yet; changed rules are a reason to look."""
        return self.next_look is not None and now < self.next_look and rules_digest == self.rules_digest

    def settles(self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str) -> bool:
        """Whether the event needs no call of AWS IoT: it is of the registration that was decided.

        `sent_at` is the queue's SentTimestamp: the payload's times can be anybody's.
        """
        if self.outcome is Outcome.HELD:
            # A hold that is not due belongs to its registration alone: a certificate that was deleted and came back
            # does not wait for what its former registration waited for.
            same = event.registered_at is None or self._is_of(event)
            return same and self.rests(now, rules_digest=rules_digest)
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


class Word(StrEnum):
    """What an operator said about a certificate."""

    APPROVED = "approved"
    RELEASED = "released"  # to be judged again, whatever was decided before
    DENIED = "denied"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"

    @property
    def allows_activation(self) -> bool:
        return self in (Word.APPROVED, Word.RELEASED)

    def is_weaker_than(self, other: "Word") -> bool:
        """Whether it denies, and takes less away than the other one: denied, deactivated, revoked."""
        strength = (Word.DENIED, Word.DEACTIVATED, Word.REVOKED)
        return self in strength and other in strength and strength.index(self) < strength.index(other)


@value
class Verdict:
    """An operator's word, in force until the next one."""

    word: Word
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock: for people to read, never compared with a function's time
    note: str = ""
    version: int = 0  # counts a certificate's verdicts, the first is 1; 0: an earlier version of jitrctl gave it
    # Of a release: the registration that it ends (creationDate), and the status in which the operator saw it.
    of_registration: datetime | None = None
    of_status: Status | None = None

    @property
    def number(self) -> int:
        """Names the verdict among those on its certificate: its version, or its time in epoch milliseconds.

        A time is greater than any count. So the versions go on from it after a verdict by an earlier version of
        jitrctl, and no number comes twice.
        """
        return self.version or round(self.at.timestamp() * 1000)

    @property
    def in_words(self) -> str:
        """Whose verdict it is, when and why: revoked by arn:…/ann 2026-11-26 10:00Z ('stolen')."""
        return f"{self.word} by {self.by} {self.at:%Y-%m-%d %H:%M}Z" + (f" ({self.note!r})" if self.note else "")

    def releases(self, found: Decision) -> bool:
        """Whether a status that was found is the one that this release ends, by the deletion of its registration.

        A release by an earlier version of jitrctl does not say which one, so it may be any.
        """
        if self.word is not Word.RELEASED:
            return False
        if self.of_registration is None:
            return self.version == 0
        return found.is_for(self.of_registration) and found.status is self.of_status

    def explains(self, status: Status) -> bool:
        """Whether an operator ordered this status: INACTIVE by any denial, REVOKED by `revoke` alone."""
        if status is Status.INACTIVE:
            return not self.word.allows_activation
        return status is Status.REVOKED and self.word is Word.REVOKED


class AnotherVerdict(JitrError):
    """An operator's verdict was not written, since another one stands than the operator saw."""

    def __init__(self, certificate_id: str, verdict: Verdict | None) -> None:
        """`verdict` stands now; None: what is known of the certificate was dropped meanwhile."""
        self.certificate_id = certificate_id
        self.verdict = verdict
        said = f"{verdict.in_words}, which came first" if verdict else "what is known of it was dropped meanwhile"
        super().__init__(f"certificate {certificate_id[:16]}: {said}")


@value
class Owner:
    """The certificate that a thing name belongs to, with what a rotation is recognized by."""

    certificate_id: str
    ca_certificate_id: str
    serial: str  # lower-case hex
    issued_at: datetime  # notBefore
    ends_at: datetime  # notAfter
    registered_at: datetime
    formers: tuple[str, ...] = ()  # the certificate ids that had the name before, the last first; restitution.py


@value
class Return:
    """A thing name on its way back from a certificate that claimed it and does not work."""

    thing_name: str
    by: str  # the certificate id that has it
    to: Owner | None  # None: nobody who had it works, so it is free


@value
class Record:
    """What the registry knows of a certificate."""

    decision: Decision | None = None
    # A decision that was begun (claimed) and perhaps carried out, but never recorded: the function died in between.
    intent: Decision | None = None
    begun_by: str | None = field(default=None, compare=False)  # the run that wrote the intent
    verdict: Verdict | None = None
    replaced_by: str | None = None  # the certificate that took the thing name over; this one ends after the overlap
    former_thing_name: str | None = None  # the name that it took
    tried_name: str | None = None  # the thing name of the last attempt that did not end in ACTIVE
    # When a decision was made, and one begun, that this version has no words for.
    unread_at: datetime | None = field(default=None, compare=False)
    unread_intent_at: datetime | None = field(default=None, compare=False)
    swept_at: datetime | None = None  # when the sweep last sent it to the queue
    crl_changed: bool = False  # something else is published than what it was held for; never stored
    brake_changed: bool = False  # an operator accepted the rejections that the brake holds; never stored
    entries_changed: bool = False  # its enrollment entries say something else than when it was held; never stored

    @property
    def decided_at(self) -> datetime | None:
        """When the last decision was made, which a new one follows."""
        return self.decision.decided_at if self.decision else self.unread_at

    @property
    def begun_at(self) -> datetime | None:
        """When the intent was written that stands, which an attempt takes over."""
        return self.intent.decided_at if self.intent else self.unread_intent_at

    @property
    def tried_names(self) -> frozenset[str]:
        """The thing names that attempts used and that did not become ACTIVE, as far as is known."""
        claimed = self.intent.thing_name if self.intent and self.intent.claims_name else None
        return frozenset(name for name in (self.tried_name, claimed) if name)

    @property
    def previous_name(self) -> str | None:
        """The thing name that the last attempt used."""
        last = self.intent if self.intent and self.intent.claims_name else self.decision
        return self.tried_name or (last.thing_name if last else None)

    @property
    def was_in(self) -> bool:
        """Whether the certificate has ever been ACTIVE, as far as is known here."""
        return self.decision is not None and (
            self.decision.outcome in (Outcome.ACTIVATED, Outcome.REPLACED)
            # A status that was found later keeps the name that the certificate was activated under.
            or (
                self.decision.outcome is Outcome.FOUND
                and (self.decision.status is Status.ACTIVE or self.decision.thing_name is not None)
            )
        )

    @property
    def never_came_in(self) -> bool:
        """Whether jitr decided or began something about the certificate, and it has never been ACTIVE."""
        return not self.was_in and (self.decision is not None or self.intent is not None)

    def is_held_in(self, event: RegistrationEvent) -> bool:
        """Whether the last decision left the event's registration waiting; an event may not say which one it is of."""
        if self.decision is None or not self.is_held:
            return False
        return event.registered_at is None or self.decision.is_for(event.registered_at)

    def is_news(self, found: Decision) -> bool:
        """Whether a status that was found is to be recorded: no decision or order of ours explains it.

        REVOKED, and INACTIVE that jitr did not set, are recorded over every decision, so that the certificate stays
        out when it is deleted and comes back. ACTIVE is recorded over what was held or merely found. The status that an
        operator releases is about to be deleted with its registration, and is not recorded; another one is.
        """
        earlier = self.decision
        if found.status is Status.PENDING_ACTIVATION:
            return False
        if earlier is None:
            return self.verdict is None or not self.verdict.releases(found)
        if earlier.is_for(found.registered_at):
            if earlier.status is found.status:
                return False
        elif earlier.registered_at > found.registered_at:
            return False  # it was seen before it was deleted and registered again
        return found.status is not Status.ACTIVE or earlier.outcome in (Outcome.HELD, Outcome.FOUND)

    def seen_as(self, found: Decision) -> Decision:
        """The decision that records a status that was found, with what was known of the certificate before."""
        known = self.decision
        if known is None:
            return found
        return replace(
            found,
            ca_certificate_id=found.ca_certificate_id or known.ca_certificate_id,
            ca=found.ca or known.ca,
            thing_name=known.thing_name if self.was_in else None,
            serial=known.serial,
            twin_id=known.twin_id,
            issuer=known.issuer,
            subject=known.subject,
            asks_for=known.asks_for,
            after=self.decided_at,
        )

    @property
    def is_held(self) -> bool:
        """Whether the last decision left the certificate waiting for something."""
        return self.decision is not None and self.decision.outcome is Outcome.HELD

    @property
    def verdict_number(self) -> int:
        """The number of the operator's verdict that stands, 0 when there is none; what a decision keeps as seen."""
        return self.verdict.number if self.verdict else 0

    @property
    def has_new_verdict(self) -> bool:
        """Whether an operator's verdict stands with which the last decision was not made."""
        if self.verdict is None or self.decision is None:
            return False
        if self.decision.verdict_seen is None:
            # An earlier version made the decision, and did not keep what it had seen. The times are of two clocks, an
            # operator's and a function's, and prove nothing. So it is looked at once more, and that decision keeps it.
            return True
        return self.decision.verdict_seen != self.verdict.number

    @property
    def was_spoken_of(self) -> bool:
        """Whether its entries or an operator have said something about this very certificate since it was decided."""
        return self.entries_changed or self.has_new_verdict

    def settles(self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str) -> bool:
        """Whether the event needs no look at AWS: it is decided, and nobody who bears on it has spoken since."""
        if self.decision is None:
            return False
        if self.crl_changed or self.brake_changed or self.was_spoken_of:
            return False
        return self.decision.settles(event, sent_at=sent_at, now=now, rules_digest=rules_digest)

    def rests(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be looked at yet: no operator has spoken, and the rules are the same."""
        if self.decision is None or self.verdict or self.brake_changed:
            return False
        return self.decision.rests(now, rules_digest=rules_digest)

    @property
    def was_taken_away(self) -> bool:
        """Whether the certificate was REVOKED, or deactivated by somebody else than us, when it was last known."""
        if self.verdict is not None and self.verdict.word in (Word.REVOKED, Word.DEACTIVATED):
            return True
        return self.decision is not None and (
            self.decision.status is Status.REVOKED
            or (self.decision.outcome is Outcome.FOUND and self.decision.status is Status.INACTIVE)
            or self.decision.reason is Reason.WAS_REVOKED  # refused for it before, and back again
        )

    def refuse_activation(self) -> None:
        """Refuse what was taken away before, and what an operator denies.

        Raises Rejected (WAS_REVOKED, OPERATOR_VERDICT).
        """
        if self.was_taken_away:
            raise Rejected(Reason.WAS_REVOKED, "this certificate was revoked or deactivated, deleted, and came back")
        if self.is_denied:
            raise Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation")

    @property
    def is_approved(self) -> bool:
        """Whether an operator let this certificate in."""
        return self.verdict is not None and self.verdict.word is Word.APPROVED

    @property
    def is_approved_since(self) -> bool:
        """Whether it was approved after a refusal that left it pending (`on_reject = "leave"`): a look is due."""
        return (
            self.is_approved
            and self.has_new_verdict
            and self.decision is not None
            and self.decision.status is Status.PENDING_ACTIVATION
        )

    @property
    def is_denied(self) -> bool:
        """Whether an operator's verdict stands against activation."""
        return self.verdict is not None and not self.verdict.word.allows_activation


@value
class Standing:
    """What else an activation rests on: who has the thing name, and what is known of the certificate's twin."""

    owner: Owner | None = None
    twin: Record = field(default_factory=Record)
