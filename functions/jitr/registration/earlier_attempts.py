"""What earlier attempts left of a certificate that is now given another thing name, taken back before that one is used.

A hook may name a device anew each time it is asked, and a deployment may change `thing_name`. A certificate can be
attached to one thing only, so it is detached from the other one first. That takes AWS IoT several seconds: the attempt
ends, and the next one goes on. A thing that was made for nothing is deleted by the sweep (withdrawal_repair.py).

An attempt leaves its thing name in the certificate's item: before it makes the thing when a hook gave the name, which
may be another one next time, or when the certificate was held for a reason for which it is detached: should the attempt
die and the reason come back, that refusal detaches it again (rejection.py). Else it does when it ends without ACTIVE.
An ordinary activation makes no call for this.
"""

from contextlib import suppress
from datetime import datetime

from jitr.aws.iot import AwsIot
from jitr.decisions import Outcome
from jitr.errors import DETACHED_FOR, CertificateUnknown, Overtaken, Reason, Rejected, Unavailable
from jitr.iot_models import DeviceRegistration
from jitr.provisioning import AttachThingPrincipal, DetachThingPrincipal
from jitr.record import Record
from jitr.registration.attempt import AttemptState, RegistrationAttempt
from jitr.store.registry import Registry
from jitr.store.withdrawal_marks import marks


class EarlierAttempts:
    """Takes back what earlier attempts left, in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry) -> None:
        self._iot = iot
        self._registry = registry

    def make_way(self, case: RegistrationAttempt, thing_name: str) -> None:
        """Before the thing is made: take the certificate off other things, and keep the name if a death must leave it.

        Raises Rejected(REQUEST_REFUSED), Overtaken, Unavailable while it is being detached; CertificateUnknown.
        """
        if case.record.tried_names - {thing_name}:
            self._leave_other_things(case, thing_name)
            return
        if self._is_to_be_noted(case, thing_name) and not self._registry.note_tried(
            case.device.certificate_id, thing_name, case.record
        ):
            raise Overtaken("another attempt has begun, or a decision was made meanwhile")

    def _is_to_be_noted(self, case: RegistrationAttempt, thing_name: str) -> bool:
        """Whether the record does not say yet what a death of this attempt would leave attached for good."""
        is_noted = case.record.tried_name == thing_name
        if case.examined.named_by_hook and not is_noted:
            return True
        before = case.record.decision
        may_repeat = before is not None and before.reason in DETACHED_FOR
        return may_repeat and not (is_noted and case.record.tried_is_open)

    def attach(self, case: RegistrationAttempt, step: AttachThingPrincipal) -> None:
        """Attach the certificate to its thing, which AWS IoT refuses while it is attached to another one.

        Raises as Case.apply; Unavailable while it is being detached from a thing of jitr's.
        """
        try:
            case.apply(step, self._iot)
        except Rejected as refusal:
            if refusal.reason is not Reason.REQUEST_REFUSED:
                raise
            self._leave_other_things(case, step.thing_name)
            raise

    def leave_traces(
        self,
        device: DeviceRegistration,
        record: Record,
        attempt: AttemptState,
        error: Exception,
        *,
        policy: str | None,
        now: datetime,
    ) -> None:
        """Let the next attempt begin at once, and know the thing name that this one used and did not come in with."""
        certificate_id, name = device.certificate_id, attempt.tried
        with suppress(Unavailable):
            if attempt.has_begun and self._registry.hand_back_intent(certificate_id, run=attempt.run, tried=name):
                return
            if name is None or (name == record.tried_name and record.tried_is_open):
                return
            if isinstance(error, CertificateUnknown):
                # No item for an id that AWS IoT does not know; but the thing is to be deleted.
                self._registry.note_withdrawals(marks(certificate_id, {name}, policy, now))
                return
            if self._registry.note_tried(certificate_id, name, record):
                return
            # Another attempt has taken over. Its thing may have another name.
            winner = self._registry.recall([certificate_id])[certificate_id]
            if name not in winner.tried_names | {winner.previous_name}:
                self._registry.note_withdrawals(marks(certificate_id, {name}, policy, now))

    def _leave_other_things(self, case: RegistrationAttempt, thing_name: str) -> None:
        """Detach the certificate from all things but one, and mark those that attempts used.

        Under the lock: a run that works on an older view of the record, with another name, fails at its claim.

        Raises Rejected(REQUEST_REFUSED) for a thing that is not jitr's; Unavailable when something had to be detached;
        Overtaken, CertificateUnknown.
        """
        case.refuse_late()
        tried = case.record.tried_names - {thing_name}
        others = set(self._iot.things_of(case.device)) - {thing_name}
        for other in sorted(others - tried):
            if not self._iot.is_made_by_jitr(other):
                raise Rejected(
                    Reason.REQUEST_REFUSED,
                    f"the certificate is attached to thing {other}, which jitr did not make: detach it there",
                )
        if tried | others:
            intent = case.decision(Outcome.HELD, case.device.status).with_claim_of(case.record.intent)
            case.attempt.has_begun = True  # also when no answer comes
            self._registry.intend(
                intent,
                case.record,
                run=case.attempt.run,
                takes_back=marks(intent.certificate_id, tried | others, case.policy, intent.decided_at),
                tries=thing_name,
            )
        for other in sorted(others):
            case.apply(DetachThingPrincipal(thing_name=other, certificate_arn=case.device.arn), self._iot)
        if others:
            raise Unavailable(f"the certificate is being detached from thing {', '.join(sorted(others))}")
