"""What is done about a device that is refused: what the rules say for a final reason, nothing for a curable one.

What an earlier attempt may have attached or claimed is taken back, so that the rightful device can have it.
"""

from collections.abc import Collection
from dataclasses import replace

from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import DETACHED_FOR, NAME_LOST, Rejected
from jitr.iot_models import Status
from jitr.provisioning import SetStatus, plan_rejection, plan_withdrawal
from jitr.registration.attempt import RegistrationAttempt
from jitr.registration.name_rollback import Restitution
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
        self._restitution = Restitution(iot=iot, registry=registry)

    def refuse(self, case: RegistrationAttempt, refusal: Rejected) -> Decision:
        """Reject for good or hold, as the reason's kind says, and the brake on the CA's rules.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        on_reject = case.rules.on_reject if case.rules else OnReject.LEAVE
        # What is judged under a release order was refused before: it stays INACTIVE, and is not counted again.
        brake = self._brake.held_under(case, refusal) if case.release is None else None
        is_rejected = refusal.reason.final and brake is None
        steps = plan_rejection(on_reject, case.device) if is_rejected and case.release is None else ()
        decision = replace(
            case.decision(
                Outcome.REJECTED if is_rejected else Outcome.HELD,
                steps[-1].status if steps else case.device.status,
            ),
            reason=refusal.reason,
            detail=refusal.detail,
            brake=brake,
        )
        if is_rejected and case.release is not None:
            # No status is set, so it is as old as what was seen: who sets the status since is told from it.
            decision = replace(decision, decided_at=case.observed_at)
        earlier, begun = case.record.decision, case.attempt.claim or case.record.intent
        repeated = earlier is not None and decision.repeats(earlier)
        # This very attempt may have attached it before it lost the name, though it lost it before, too; or one in
        # between that died.
        is_new = not repeated or case.attempt.tried is not None or case.record.tried_is_open
        may_be_attached = is_new and refusal.reason in DETACHED_FOR
        # Left as it is (`on_reject = "leave"`), it may be approved, and keeps what is attached.
        is_out = bool(steps) or (is_rejected and case.release is not None)
        if is_out or may_be_attached or (begun and begun.claims_name):
            decision = self._carry_out(case, decision, begun, steps, is_out=is_out, may_be_attached=may_be_attached)
        if earlier and repeated:
            return replace(decision, attempts=earlier.attempts + 1, after=earlier.after)
        return decision

    def _carry_out(
        self,
        case: RegistrationAttempt,
        decision: Decision,
        begun: Decision | None,
        steps: tuple[SetStatus, ...],
        *,
        is_out: bool,
        may_be_attached: bool,
    ) -> Decision:
        """Take back what was attached and claimed, and set the status; the decision as it turned out.

        Under the lock, which only the record of the decision opens: another attempt may be about to activate just
        this, on a view of the record from before what is taken back here.
        """
        attempt, identity = case.attempt, case.examination.identity
        own = {identity.thing_name} if identity and may_be_attached else set()
        used = case.record.tried_names | ({attempt.tried} if attempt.tried else set())
        # What a curable reason keeps waiting stays attached for the next attempt, which may have the same name.
        names = own | used if is_out or may_be_attached else set()
        left = marks(decision.certificate_id, names, case.policy, decision.decided_at)
        attempt.has_begun = True  # also when no answer comes
        self._registry.intend(decision.with_claim_of(begun), case.record, run=attempt.run, takes_back=left)
        if may_be_attached:
            self._withdraw(case, names)
        if names == own and (decision.reason in NAME_LOST or not used):
            attempt.taken_back = left  # nothing is left: the thing is another certificate's, or was never made
        if begun and begun.claims_name:
            attempt.tried = attempt.tried or begun.thing_name
        self._restitution.give_back(begun)
        try:
            for step in steps:
                case.apply(step, self._iot)
        except Rejected as undone:
            # AWS does not take the status. The reason stays, so that what was revoked stays known as such.
            detail = f"{decision.detail}; it stays pending, since {undone.detail}"
            decision = replace(decision, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, detail=detail)
        # Dated after the call, so that who sets the status later is told from it (record.releases).
        return replace(decision, decided_at=case.clock()) if steps else decision

    def _withdraw(self, case: RegistrationAttempt, names: Collection[str]) -> None:
        """Detach what was attached."""
        if not names or case.rules is None:
            return
        # A hook may have given it another name in an attempt that left no trace.
        things = self._iot.things_of(case.device) if case.rules.asks_hook else sorted(names)
        for withdrawal in plan_withdrawal(case.rules.policy, things, case.device):
            self._iot.apply(withdrawal)
