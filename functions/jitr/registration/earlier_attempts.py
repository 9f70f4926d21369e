"""Takes back what earlier attempts left of a certificate, before it is given another thing name.

A hook may answer another thing name each time, and a deployment may change `thing_name`. A certificate can be attached
to one thing only, so it is first detached from the other one. AWS IoT takes several seconds for that: this attempt
ends, and the next one continues. The sweep deletes a thing that is left without a certificate (withdrawal_repair.py).

An attempt writes its thing name into the certificate's item before it makes the thing if a hook gave the name, since
the next answer may differ; and if the certificate was held for a reason for which it is detached, so that a repeated
refusal detaches it again although the attempt died (rejection.py). Otherwise it writes the name when it ends without
ACTIVE. An ordinary activation makes no call for this.
"""

from contextlib import suppress
from datetime import datetime

from jitr.admission.applicant import Applicant
from jitr.aws.iot import AwsIot
from jitr.decisions import Outcome
from jitr.errors import DETACHED_FOR, CertificateUnknown, Overtaken, Reason, Rejected, Unavailable
from jitr.provisioning import AttachThingPrincipal, DetachThingPrincipal
from jitr.record import Record
from jitr.registration.attempt import RegistrationAttempt, StepRunner
from jitr.store.registry import Registry
from jitr.store.withdrawal_marks import marks


class EarlierAttempts:
    """Takes back what earlier attempts left, in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry) -> None:
        self._iot = iot
        self._registry = registry

    def make_way(self, attempt: RegistrationAttempt, steps: StepRunner, thing_name: str) -> None:
        """Before the thing is made: detach the certificate from other things, and store the name where that is needed.

        Raises Rejected(REQUEST_REFUSED), Overtaken, Unavailable while it is being detached; CertificateUnknown.
        """
        record = attempt.record
        if record.tried_names - {thing_name}:
            self._leave_other_things(attempt, steps, thing_name)
            return
        if _must_be_noted(attempt, thing_name) and not self._registry.note_tried(
            attempt.device.certificate_id, thing_name, record
        ):
            raise Overtaken("another attempt has begun, or a decision was made meanwhile")

    def attach(self, attempt: RegistrationAttempt, steps: StepRunner, step: AttachThingPrincipal) -> None:
        """Attach the certificate to its thing; AWS IoT refuses that while it is attached to another one.

        Raises as StepRunner.apply; Unavailable while it is being detached from a thing of jitr's.
        """
        try:
            steps.apply(step)
        except Rejected as refusal:
            if refusal.reason is not Reason.REQUEST_REFUSED:
                raise
            self._leave_other_things(attempt, steps, step.thing_name)
            raise

    def leave_traces(
        self, applicant: Applicant, record: Record, steps: StepRunner, error: Exception, *, now: datetime
    ) -> None:
        """After a failed attempt: let the next one begin at once, and store the thing name that this one used."""
        certificate_id, policy, name = applicant.device.certificate_id, applicant.policy, steps.tried
        with suppress(Unavailable):
            if steps.has_begun and self._registry.hand_back_intent(certificate_id, run=steps.run, tried=name):
                return
            if name is None or (name == record.tried_name and record.tried_is_open):
                return
            if isinstance(error, CertificateUnknown):
                # An id that AWS IoT does not know gets no item of its own; but the thing must be deleted.
                self._registry.note_withdrawals(marks(certificate_id, {name}, policy, now))
                return
            if self._registry.note_tried(certificate_id, name, record):
                return
            # Another attempt has taken over, perhaps with another thing name.
            winner = self._registry.recall([certificate_id])[certificate_id]
            if name not in winner.tried_names | {winner.previous_name}:
                self._registry.note_withdrawals(marks(certificate_id, {name}, policy, now))

    def _leave_other_things(self, attempt: RegistrationAttempt, steps: StepRunner, thing_name: str) -> None:
        """Detach the certificate from all things but this one, and write marks for those that attempts used.

        This is done under the lock, so that an attempt with another name and an older record fails at its claim.

        Raises Rejected(REQUEST_REFUSED) for a thing that jitr did not make; Unavailable if something had to be
        detached; Overtaken, CertificateUnknown.
        """
        steps.refuse_late()
        device, record = attempt.device, attempt.record
        tried = record.tried_names - {thing_name}
        others = set(self._iot.things_of(device)) - {thing_name}
        for other in sorted(others - tried):
            if not self._iot.things.is_made_by_jitr(other):
                raise Rejected(
                    Reason.REQUEST_REFUSED,
                    f"the certificate is attached to thing {other}, which jitr did not make: detach it there",
                )
        if tried | others:
            intent = attempt.decision(Outcome.HELD, device.status, at=steps.now()).with_claim_of(record.intent)
            steps.has_begun = True  # even if no answer comes
            self._registry.intend(
                intent,
                record,
                run=steps.run,
                takes_back=marks(intent.certificate_id, tried | others, attempt.policy, intent.decided_at),
                tries=thing_name,
            )
        for other in sorted(others):
            steps.apply(DetachThingPrincipal(thing_name=other, certificate_arn=device.arn))
        if others:
            raise Unavailable(f"the certificate is being detached from thing {', '.join(sorted(others))}")


def _must_be_noted(attempt: RegistrationAttempt, thing_name: str) -> bool:
    """Whether something would stay attached for good if this attempt died: its record does not name the thing yet."""
    record = attempt.record
    is_noted = record.tried_name == thing_name
    if attempt.examined.named_by_hook and not is_noted:
        return True
    may_repeat = record.decision is not None and record.decision.reason in DETACHED_FOR
    return may_repeat and not (is_noted and record.tried_is_open)
