"""The registry's record of one certificate as a value, and the conclusions from it.

The last decision, a started attempt and an operator's verdict determine which event is settled, what may be activated,
and which observed status has to be recorded.
"""

from dataclasses import field, replace
from datetime import datetime, timedelta

from jitr.decisions import SAME_MOMENT, Decision, Outcome
from jitr.errors import Reason, Rejected
from jitr.events import RegistrationEvent
from jitr.frozen import value
from jitr.import_order import ImportOrder
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import Owner
from jitr.sessions import SecondLook
from jitr.verdicts import OperatorAction, OperatorVerdict

# A rejection is dated after the status was set. This allows for the difference of two clocks, and for earlier versions,
# which dated it before they waited for the call's turn.
_SET_WITHIN = timedelta(seconds=5)


def is_as_rejected(device: DeviceRegistration, registered_at: datetime, rejected_at: datetime) -> bool:
    """Whether a certificate is as jitr's rejection left it: the same registration, INACTIVE, not set since."""
    if device.status is not Status.INACTIVE or device.modified_at is None:
        return False
    is_same = abs(registered_at - device.created_at) < SAME_MOMENT
    return is_same and device.modified_at <= rejected_at + _SET_WITHIN


@value
class Record:
    """The registry's record of a certificate."""

    decision: Decision | None = None
    # A decision that was started (claimed), and perhaps carried out, but not recorded, since the function died before.
    intent: Decision | None = None
    begun_by: str | None = field(default=None, compare=False)  # the run that wrote the intent
    verdict: OperatorVerdict | None = None
    replaced_by: str | None = None  # the certificate that took over the thing name; this one ends after the overlap
    former_thing_name: str | None = None  # the name that was taken over
    tried_name: str | None = None  # the thing name of the last attempt that did not end in ACTIVE
    # An attempt started to use that name, and no run has recorded a decision on the certificate since.
    tried_is_open: bool = field(default=False, compare=False)
    # The times of a decision and of an intent that this version cannot read.
    unread_at: datetime | None = field(default=None, compare=False)
    unread_intent_at: datetime | None = field(default=None, compare=False)
    swept_at: datetime | None = None  # when the sweep last sent it to the queue
    # The number of the verdict that the functions are to carry out (take_away_orders.py); None: none.
    ordered: int | None = field(default=None, compare=False)
    # The order's status is set, and the sessions are ended; they are looked at once more before it ends.
    second_look: SecondLook | None = field(default=None, compare=False)
    # What is due for the sweep, as stored (registry_writes.Due); None: nothing. It is work to do and not a fact, so it
    # does not count for equality.
    due: str | None = field(default=None, compare=False)
    due_at: datetime | None = field(default=None, compare=False)  # when it is due
    listed: tuple[str, int] | None = field(default=None, compare=False)  # in the outcomes' index: as what, and when
    issued_as: str | None = field(default=None, compare=False)  # in the index of serial numbers (serial_index.py)
    foreign_to: str | None = field(default=None, compare=False)  # none of these CAs issued it (identification.py)
    import_order: ImportOrder | None = None  # an import's, until it is decided
    origin: str | None = None  # how it was registered before jitr, as a survey inferred it; None: not adopted by a plan
    crl_changed: bool = False  # its CA's CRL has changed since it was held; not stored
    brake_changed: bool = False  # an operator has accepted the brake's rejections since it was held; not stored
    template_gone: bool = False  # its CA's provisioning template was taken off since it was held; not stored
    entries_changed: bool = False  # its enrollment entries have changed since it was held; not stored

    @property
    def ca_certificate_id(self) -> str | None:
        """The CA, or other source, of the last decision or intent; None without one."""
        known = self.decision or self.intent
        return known.ca_certificate_id if known else None

    @property
    def decided_at(self) -> datetime | None:
        """When the last decision was made, also by a later version."""
        return self.decision.decided_at if self.decision else self.unread_at

    @property
    def is_known(self) -> bool:
        """Whether there is a decision, an intent or a verdict, also by a later version."""
        return self.decided_at is not None or self.begun_at is not None or self.verdict is not None

    @property
    def begun_at(self) -> datetime | None:
        """When the current intent was written, also by a later version."""
        return self.intent.decided_at if self.intent else self.unread_intent_at

    @property
    def tried_names(self) -> frozenset[str]:
        """The thing names of attempts that did not end in ACTIVE, as far as is known."""
        claimed = self.intent.thing_name if self.intent and self.intent.claims_name else None
        return frozenset(name for name in (self.tried_name, claimed) if name)

    @property
    def previous_name(self) -> str | None:
        """The thing name that the last attempt used."""
        last = self.intent if self.intent and self.intent.claims_name else self.decision
        return self.tried_name or (last.thing_name if last else None)

    @property
    def was_active(self) -> bool:
        """Whether the certificate has ever been ACTIVE, by this record."""
        return self.decision is not None and (
            self.decision.outcome in (Outcome.ACTIVATED, Outcome.REPLACED)
            # A decision on a status that was found later keeps the thing name of the activation.
            or (
                self.decision.outcome is Outcome.FOUND
                and (self.decision.status is Status.ACTIVE or self.decision.thing_name is not None)
            )
            # A suspended certificate that waits for a curable reason, after its hold was lifted.
            or (
                self.decision.outcome is Outcome.HELD
                and self.decision.release is not None
                and self.decision.thing_name is not None
            )
        )

    @property
    def was_never_active(self) -> bool:
        """Whether there is a decision or an intent, and the certificate has never been ACTIVE."""
        return not self.was_active and (self.decision is not None or self.intent is not None)

    def is_held_in(self, event: RegistrationEvent) -> bool:
        """Whether the event's registration is held; an event may not name its registration."""
        if self.decision is None or not self.is_held:
            return False
        return event.registered_at is None or self.decision.is_for(event.registered_at)

    def is_news(self, found: Decision) -> bool:
        """Whether an observed status has to be recorded, since no decision or order of jitr explains it.

        REVOKED, and an INACTIVE that jitr did not set, replace every decision, so that the certificate stays refused
        when it is deleted and registered again. ACTIVE replaces only HELD and FOUND. The status that an operator's
        release ends is not recorded, since its registration is about to be deleted.
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
            return False  # observed before the certificate was deleted and registered again
        return found.status is not Status.ACTIVE or earlier.outcome in (Outcome.HELD, Outcome.FOUND)

    def complete(self, found: Decision) -> Decision:
        """The decision on an observed status, completed with what this record knows about the certificate."""
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
            not_before=known.not_before,
            not_after=known.not_after,
            requested_name=known.requested_name,
            after=self.decided_at,
        )

    @property
    def is_held(self) -> bool:
        """Whether the last decision holds the certificate."""
        return self.decision is not None and self.decision.outcome is Outcome.HELD

    @property
    def is_held_under_template(self) -> bool:
        """Whether the last decision holds the certificate since a provisioning template was on its CA."""
        return self.decision is not None and self.is_held and self.decision.reason is Reason.CA_HAS_TEMPLATE

    @property
    def verdict_number(self) -> int:
        """The number of the operator's verdict in force, 0 without one; a decision keeps it as `verdict_seen`."""
        return self.verdict.number if self.verdict else 0

    @property
    def has_new_verdict(self) -> bool:
        """Whether there is a verdict that the last decision was made without."""
        if self.verdict is None or self.decision is None:
            return False
        if self.decision.verdict_seen is None:
            # An earlier version made the decision, and did not keep the verdict's number. The times are of different
            # clocks and prove nothing. So it is evaluated once more, and that decision keeps the number.
            return True
        return self.decision.verdict_seen != self.verdict.number

    @property
    def has_new_input(self) -> bool:
        """Whether there is a new entry or verdict on this certificate since the last decision."""
        return self.entries_changed or self.has_new_verdict

    def settles(
        self, event: RegistrationEvent, *, sent_at: datetime, now: datetime, rules_digest: str, is_swept: bool = False
    ) -> bool:
        """Whether the event needs no call of AWS IoT: it is decided, and nothing that it depends on has changed."""
        if self.decision is None:
            return False
        if self.crl_changed or self.brake_changed or self.template_gone:
            return False
        if self.has_new_input or self.is_take_away_ordered:
            return False
        if self.intent and not self.is_held and self.decision.decided_at < self.intent.decided_at:
            return False  # an attempt started after it, so the status may be new and has to be recorded
        return self.decision.settles(event, sent_at=sent_at, now=now, rules_digest=rules_digest, is_swept=is_swept)

    def is_waiting(self, now: datetime, *, rules_digest: str) -> bool:
        """Whether a held device need not be evaluated yet: there is no verdict, and the rules are the same."""
        if self.decision is None or self.verdict or self.brake_changed:
            return False
        return self.decision.is_waiting(now, rules_digest=rules_digest)

    @property
    def was_sent_since_decided(self) -> bool:
        """Whether the sweep sent it since the last decision, and none was made on what it sent."""
        return self.swept_at is not None and self.decided_at is not None and self.swept_at > self.decided_at

    @property
    def was_revoked_or_deactivated(self) -> bool:
        """Whether the certificate was REVOKED, or deactivated by somebody else than us, when it was last known."""
        if self.verdict is not None and self.verdict.action in (OperatorAction.REVOKED, OperatorAction.DEACTIVATED):
            return True
        return self.decision is not None and (
            self.decision.status is Status.REVOKED
            or (
                self.decision.outcome is Outcome.FOUND
                and self.decision.status is Status.INACTIVE
                and not self.is_hold_lifted
                # A status that is found ends the order, except in versions that know none.
                and self.import_order is None
            )
            or self.decision.reason is Reason.WAS_REVOKED  # refused for it before
        )

    @property
    def is_suspended(self) -> bool:
        """Whether a hold in the CA's CRL ended the certificate's ACTIVE status: `revoke` set it INACTIVE."""
        return (
            self.decision is not None
            and self.decision.outcome is Outcome.FOUND
            and self.decision.status is Status.INACTIVE
            and self.decision.reason is Reason.SUSPENDED_BY_CA
        )

    @property
    def is_hold_lifted(self) -> bool:
        """Whether a later CRL has lifted exactly the hold that suspended the certificate."""
        if not self.is_suspended or self.verdict is None or self.decision is None:
            return False
        return self.verdict.action.allows_activation and self.verdict.of_rejection == self.decision.decided_at

    @property
    def revocation(self) -> Rejected | None:
        """The refusal of a certificate that was revoked or deactivated before; None of another one."""
        if not self.was_revoked_or_deactivated:
            return None
        return Rejected(
            Reason.WAS_REVOKED, "this certificate was revoked or deactivated, then deleted and registered again"
        )

    def refuse_activation(self) -> None:
        """Refuse a certificate that was revoked or deactivated before, or that an operator denies.

        Raises Rejected (WAS_REVOKED, OPERATOR_VERDICT).
        """
        if self.revocation:
            raise self.revocation
        if self.is_denied:
            raise Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict prevents the activation")

    @property
    def is_approved(self) -> bool:
        """Whether an operator has approved this certificate."""
        return self.verdict is not None and self.verdict.action is OperatorAction.APPROVED

    @property
    def is_approved_since(self) -> bool:
        """Whether it was approved after a refusal that left it pending (`on_reject = "leave"`), and is now due."""
        return (
            self.is_approved
            and self.has_new_verdict
            and self.decision is not None
            and self.decision.status is Status.PENDING_ACTIVATION
        )

    @property
    def is_release_ordered(self) -> bool:
        """Whether the last rejection, or the last hold by a CRL, is to be taken back, and nothing was decided since.

        The certificate is INACTIVE, and stays so while the order waits for a curable reason.
        """
        verdict, decision = self.verdict, self.decision
        if verdict is None or verdict.of_rejection is None or decision is None or self.was_revoked_or_deactivated:
            return False
        if verdict.of_registration is None or not decision.is_for(verdict.of_registration):
            return False
        if decision.status is not Status.INACTIVE:
            return False
        waits = decision.outcome is Outcome.HELD and decision.release == verdict.number
        is_taken_back = decision.outcome is Outcome.REJECTED or self.is_suspended
        return waits or (is_taken_back and decision.decided_at == verdict.of_rejection)

    @property
    def is_take_away_ordered(self) -> bool:
        """Whether an operator ordered to take the certificate away, and the functions have not carried that out yet.

        Another verdict has another number, which ends the order.
        """
        verdict = self.verdict
        if verdict is None or self.ordered is None or self.ordered != verdict.number:
            return False
        return verdict.action in (OperatorAction.REVOKED, OperatorAction.DEACTIVATED)

    @property
    def is_second_look_due(self) -> bool:
        """Whether the order to take the certificate away is carried out, except for the second look at its sessions."""
        return self.is_take_away_ordered and self.second_look is not None

    def releases(self, device: DeviceRegistration) -> bool:
        """Whether a release order, or the end of a hold, allows `register` to act on an INACTIVE certificate.

        Only on the registration that jitr rejected or suspended, and only if its status was not set since.
        """
        verdict = self.verdict
        if verdict is None or verdict.of_registration is None or verdict.of_rejection is None:
            return False
        return self.is_release_ordered and is_as_rejected(device, verdict.of_registration, verdict.of_rejection)

    def is_registered_by_import(self, device: DeviceRegistration) -> bool:
        """Whether an import registered this certificate without a CA, and its order is not decided on yet.

        A decision or intent under a CA's rules on this registration says that a device made it.
        """
        order = self.import_order
        if order is None or not order.is_of(device):
            return False
        known = (one for one in (self.decision, self.intent) if one and one.is_for(device.created_at))
        return all(one.ca_certificate_id == order.source or one.outcome is Outcome.FOUND for one in known)

    def is_import_unfinished(self, device: DeviceRegistration) -> bool:
        """Whether an import lets `register` act on an INACTIVE certificate: it made that, and nobody set a status."""
        order = self.import_order
        return order is not None and self.is_registered_by_import(device) and order.is_unfinished_on(device)

    @property
    def has_unfinished_release(self) -> bool:
        """Whether a release order, or an attempt under one, is unfinished."""
        begun = self.intent is not None and self.intent.release is not None
        waits = self.is_held and self.decision is not None and self.decision.release is not None
        return self.is_release_ordered or begun or waits

    @property
    def is_denied(self) -> bool:
        """Whether an operator's verdict prevents the activation."""
        return self.verdict is not None and not self.verdict.action.allows_activation


@value
class Standing:
    """What else an activation depends on: the owner of the thing name, and the record of the certificate's twin."""

    owner: Owner | None = None
    twin: Record = field(default_factory=Record)
