"""Refuses a device: for a final reason as the CA's rules say, for a curable one without changing its status.

What an earlier attempt may have attached or claimed is taken back, so that the rightful device can have it.
"""

from collections.abc import Collection
from dataclasses import replace

from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import DETACHED_FOR, NAME_LOST, Rejected
from jitr.iot_models import Status
from jitr.provisioning import SetStatus, plan_rejection, plan_withdrawal
from jitr.registration.attempt import RegistrationAttempt, StepRunner
from jitr.registration.name_rollback import NameRollbacks
from jitr.registration.rule_brake import RuleBrake
from jitr.rules import OnReject
from jitr.store.registry import Registry
from jitr.store.withdrawal_marks import marks


class Rejection:
    """Refuses devices in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry, brake: RuleBrake) -> None:
        self._iot = iot
        self._brake = brake
        self._registry = registry
        self._rollbacks = NameRollbacks(iot=iot, registry=registry)

    def refuse(self, attempt: RegistrationAttempt, steps: StepRunner, refusal: Rejected) -> Decision:
        """Reject or hold the device, as the reason and the brake on the CA's rules say.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        return self._refuse(attempt, steps, refusal, may_reject=True)

    def hold(self, attempt: RegistrationAttempt, steps: StepRunner, refusal: Rejected) -> Decision:
        """Hold the device for any reason, also for a final one.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        return self._refuse(attempt, steps, refusal, may_reject=False)

    def _refuse(
        self, attempt: RegistrationAttempt, steps: StepRunner, refusal: Rejected, *, may_reject: bool
    ) -> Decision:
        device, record = attempt.device, attempt.record
        on_reject = attempt.rules.on_reject if attempt.rules else OnReject.LEAVE
        # Under a release order the certificate was refused before: it stays INACTIVE, and is not counted again. Neither
        # is one that an import registered INACTIVE.
        is_pending = device.status is Status.PENDING_ACTIVATION
        brake = self._brake.find_hold(attempt, steps, refusal) if is_pending and may_reject else None
        is_rejected = may_reject and refusal.reason.final and brake is None
        status_steps = plan_rejection(on_reject, device) if is_rejected and is_pending else ()
        decision = replace(
            attempt.decision(
                Outcome.REJECTED if is_rejected else Outcome.HELD,
                status_steps[-1].status if status_steps else device.status,
                at=steps.now(),
            ),
            reason=refusal.reason,
            detail=refusal.detail,
            brake=brake,
        )
        if not is_rejected and not is_pending and record.was_active and record.decision:
            # A suspended device, whose hold was lifted, waits: it keeps its name.
            decision = replace(decision, thing_name=record.decision.thing_name)
        if is_rejected and not is_pending:
            # No status is set, so the decision is as old as the observation: a status that is set later is a newer one.
            decision = replace(decision, decided_at=attempt.observed_at)
        earlier, begun = record.decision, steps.claim or record.intent
        is_repeated = earlier is not None and decision.repeats(earlier)
        # Even if an earlier attempt was refused for the same reason: this one may have attached the certificate before
        # it lost the name, and so may one in between that died.
        is_new = not is_repeated or steps.tried is not None or record.tried_is_open
        may_be_attached = is_new and refusal.reason in DETACHED_FOR
        # A rejected device that the rules leave as it is (`on_reject = "leave"`) may be approved: it stays attached.
        is_out = bool(status_steps) or (is_rejected and not is_pending)
        if is_out or may_be_attached or (begun and begun.claims_name):
            decision = self._carry_out(
                attempt, steps, decision, begun, status_steps, is_out=is_out, may_be_attached=may_be_attached
            )
        if earlier and is_repeated:
            return replace(decision, attempts=earlier.attempts + 1, after=earlier.after)
        return decision

    def _carry_out(
        self,
        attempt: RegistrationAttempt,
        steps: StepRunner,
        decision: Decision,
        begun: Decision | None,
        status_steps: tuple[SetStatus, ...],
        *,
        is_out: bool,
        may_be_attached: bool,
    ) -> Decision:
        """Take back what was attached and claimed, and set the status; return the decision as it turned out.

        All this is done under the lock, which only the record of the decision releases: another attempt may rest on
        the record as it was before, and be about to activate what is taken back here.
        """
        identity = attempt.examination.identity
        own = {identity.thing_name} if identity and may_be_attached else set()
        used = attempt.record.tried_names | ({steps.tried} if steps.tried else set())
        # A device that is held for another reason stays attached for the next attempt, which may use the same name.
        names = own | used if is_out or may_be_attached else set()
        left = marks(decision.certificate_id, names, attempt.policy, decision.decided_at)
        steps.has_begun = True  # even if no answer comes
        # As an intent, a thing name would be a claim.
        intent = replace(decision, thing_name=None).with_claim_of(begun)
        self._registry.intend(intent, attempt.record, run=steps.run, takes_back=left)
        if may_be_attached:
            self._detach(attempt, names)
        if names == own and (decision.reason in NAME_LOST or not used):
            steps.taken_back = left  # nothing is left: the thing is another certificate's, or was never made
        if begun and begun.claims_name:
            steps.tried = steps.tried or begun.thing_name
        self._rollbacks.give_back(begun)
        try:
            for step in status_steps:
                steps.apply(step)
        except Rejected as undone:
            # AWS IoT does not set the status. The reason stays, so that a revoked certificate stays known as such.
            detail = f"{decision.detail}; it stays pending, since {undone.detail}"
            decision = replace(decision, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, detail=detail)
        # Dated after the call: a status that another party sets later is then newer (record.releases).
        return replace(decision, decided_at=steps.now()) if status_steps else decision

    def _detach(self, attempt: RegistrationAttempt, names: Collection[str]) -> None:
        if not names or attempt.rules is None:
            return
        # A hook may have given it another name, in an attempt that left no trace.
        things = self._iot.things_of(attempt.device) if attempt.rules.asks_hook else sorted(names)
        for step in plan_withdrawal(attempt.rules.policy, things, attempt.device):
            self._iot.apply(step)
