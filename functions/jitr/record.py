"""What the registry knows of one certificate, as a value, and what follows from it.

The last decision, an attempt that has begun, and an operator's verdict: together they say which event is settled, what
may be activated, and which status that is found in AWS IoT is news.
"""

from dataclasses import field, replace
from datetime import datetime, timedelta

from jitr.decisions import SAME_MOMENT, Decision, Outcome
from jitr.errors import Reason, Rejected
from jitr.events import RegistrationEvent
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import Owner
from jitr.verdicts import OperatorAction, OperatorVerdict

# A rejection is dated after the status was set. Two clocks differ a little; and earlier versions dated it before the
# call, for which it then waited its turn.
_SET_WITHIN = timedelta(seconds=5)


def is_as_rejected(device: DeviceRegistration, registered_at: datetime, rejected_at: datetime) -> bool:
    """Whether a certificate is what our rejection of that time left: the same registration, INACTIVE, not set since."""
    if device.status is not Status.INACTIVE or device.modified_at is None:
        return False
    is_same = abs(registered_at - device.created_at) < SAME_MOMENT
    return is_same and device.modified_at <= rejected_at + _SET_WITHIN


@value
class Record:
    """What the registry knows of a certificate."""

    decision: Decision | None = None
    # A decision that was begun (claimed) and perhaps carried out, but never recorded: the function died in between.
    intent: Decision | None = None
    begun_by: str | None = field(default=None, compare=False)  # the run that wrote the intent
    verdict: OperatorVerdict | None = None
    replaced_by: str | None = None  # the certificate that took the thing name over; this one ends after the overlap
    former_thing_name: str | None = None  # the name that it took
    tried_name: str | None = None  # the thing name of the last attempt that did not end in ACTIVE
    # An attempt began to use that name, and no run that had the certificate has recorded a decision since.
    tried_is_open: bool = field(default=False, compare=False)
    # When a decision was made, and one begun, that this version has no words for.
    unread_at: datetime | None = field(default=None, compare=False)
    unread_intent_at: datetime | None = field(default=None, compare=False)
    swept_at: datetime | None = None  # when the sweep last sent it to the queue
    # What the sweep finds it for by the index (claims.Due), as it is stored; None: nothing. Not what happened, but what
    # is to be done, so two records are the same without it.
    due: str | None = field(default=None, compare=False)
    due_at: datetime | None = field(default=None, compare=False)  # when what is due with it is due (claims.Due)
    listed: tuple[str, int] | None = field(default=None, compare=False)  # in the outcomes' index: as what, and when
    crl_changed: bool = False  # something else is published than what it was held for; never stored
    brake_changed: bool = False  # an operator accepted the rejections that the brake holds; never stored
    entries_changed: bool = False  # its enrollment entries say something else than when it was held; never stored

    @property
    def ca_certificate_id(self) -> str | None:
        """The CA, or other source, under which jitr decided on the certificate, or began to; None if it knew none."""
        known = self.decision or self.intent
        return known.ca_certificate_id if known else None

    @property
    def decided_at(self) -> datetime | None:
        """When the last decision was made, which a new one follows."""
        return self.decision.decided_at if self.decision else self.unread_at

    @property
    def is_known(self) -> bool:
        """Whether anything was decided or begun on the certificate, or ordered, also by a later version."""
        return self.decided_at is not None or self.begun_at is not None or self.verdict is not None

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
    def was_active(self) -> bool:
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
    def was_never_active(self) -> bool:
        """Whether jitr decided or began something about the certificate, and it has never been ACTIVE."""
        return not self.was_active and (self.decision is not None or self.intent is not None)

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

    def complete(self, found: Decision) -> Decision:
        """The decision that records a status that was found, with what was known of the certificate before."""
        known = self.decision
        if known is None:
            return found
        return replace(
            found,
            ca_certificate_id=found.ca_certificate_id or known.ca_certificate_id,
            ca=found.ca or known.ca,
            thing_name=known.thing_name if self.was_active else None,
            serial=known.serial,
            twin_id=known.twin_id,
            issuer=known.issuer,
            subject=known.subject,
            requested_name=known.requested_name,
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
    def has_new_input(self) -> bool:
        """Whether its entries or an operator have said something about this very certificate since it was decided."""
        return self.entries_changed or self.has_new_verdict

    def settles(self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str) -> bool:
        """Whether the event needs no look at AWS: it is decided, and nobody who bears on it has spoken since."""
        if self.decision is None:
            return False
        if self.crl_changed or self.brake_changed or self.has_new_input:
            return False
        if self.intent and not self.is_held and self.decision.decided_at < self.intent.decided_at:
            return False  # an attempt ended after it: whatever status it, or somebody else, set is to be recorded
        return self.decision.settles(event, sent_at=sent_at, now=now, rules_digest=rules_digest)

    def is_waiting(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be looked at yet: no operator has spoken, and the rules are the same."""
        if self.decision is None or self.verdict or self.brake_changed:
            return False
        return self.decision.is_waiting(now, rules_digest=rules_digest)

    @property
    def was_revoked_or_deactivated(self) -> bool:
        """Whether the certificate was REVOKED, or deactivated by somebody else than us, when it was last known."""
        if self.verdict is not None and self.verdict.action in (OperatorAction.REVOKED, OperatorAction.DEACTIVATED):
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
        if self.was_revoked_or_deactivated:
            raise Rejected(Reason.WAS_REVOKED, "this certificate was revoked or deactivated, deleted, and came back")
        if self.is_denied:
            raise Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation")

    @property
    def is_approved(self) -> bool:
        """Whether an operator let this certificate in."""
        return self.verdict is not None and self.verdict.action is OperatorAction.APPROVED

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
    def is_release_ordered(self) -> bool:
        """Whether an operator ordered that this very rejection of ours is taken back, and nothing was decided since.

        The certificate is INACTIVE, and so it stays while the order waits for a curable reason to go away.
        """
        verdict, decision = self.verdict, self.decision
        if verdict is None or verdict.of_rejection is None or decision is None or self.was_revoked_or_deactivated:
            return False
        if verdict.of_registration is None or not decision.is_for(verdict.of_registration):
            return False
        if decision.status is not Status.INACTIVE:
            return False
        waits = decision.outcome is Outcome.HELD and decision.release == verdict.number
        return waits or (decision.outcome is Outcome.REJECTED and decision.decided_at == verdict.of_rejection)

    def releases(self, device: DeviceRegistration) -> bool:
        """Whether a release order lets `register` act on a certificate that is INACTIVE.

        Only on the registration that we rejected, and only while nobody has set its status since.
        """
        verdict = self.verdict
        if verdict is None or verdict.of_registration is None or verdict.of_rejection is None:
            return False
        return self.is_release_ordered and is_as_rejected(device, verdict.of_registration, verdict.of_rejection)

    @property
    def has_unfinished_release(self) -> bool:
        """Whether an order, or an attempt under one, is still to be settled, whatever became of the certificate."""
        begun = self.intent is not None and self.intent.release is not None
        waits = self.is_held and self.decision is not None and self.decision.release is not None
        return self.is_release_ordered or begun or waits

    @property
    def is_denied(self) -> bool:
        """Whether an operator's verdict stands against activation."""
        return self.verdict is not None and not self.verdict.action.allows_activation


@value
class Standing:
    """What else an activation rests on: who has the thing name, and what is known of the certificate's twin."""

    owner: Owner | None = None
    twin: Record = field(default_factory=Record)
