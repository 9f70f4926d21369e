"""Asks the brake on a CA's rules before a device is rejected: the rejection is carried out, or the device is held.

Called for every refusal, and before anything is done about it. Only final reasons that rest on the CA's rules count.
"""

from datetime import datetime

from jitr.brake import Brake
from jitr.decisions import Outcome
from jitr.errors import Basis, NotPermitted, Rejected, Unavailable
from jitr.registration.attempt import RegistrationAttempt, StepRunner
from jitr.rules import CaRules, OnReject
from jitr.store.brakes import Brakes
from jitr.telemetry import PUT_OFF, RULES_REFUSE_MANY, Announcer

# Stands for the number of acceptances: the brake could not be read, and the refusal was not counted.
UNCOUNTED = -1


class RuleBrake:
    """The brake on each CA's rules in one account and Region."""

    def __init__(self, *, brakes: Brakes, announcer: Announcer) -> None:
        self._brakes = brakes
        self._announcer = announcer

    def find_hold(self, attempt: RegistrationAttempt, steps: StepRunner, refusal: Rejected) -> int | None:
        """Count the refusal; if the brake holds it, return the number of acceptances that the brake knows, else None.

        A brake that cannot be read holds, as UNCOUNTED.

        Raises Overtaken while another attempt may be about to count it, Unavailable when the deadline is near.
        """
        rules = attempt.rules
        if rules is None or rules.brake is None or not refusal.reason.final:
            return None
        if refusal.reason.rests_on is not Basis.RULES:
            return None
        steps.refuse_late()
        try:
            brake = self._count(attempt, steps, rules)
        except Unavailable as error:
            self._report("the brake cannot be read, so the device is held", error, attempt)
            return UNCOUNTED
        now = steps.now()
        if not brake.holds(rules.digest, rules.brake, now):
            return None
        if not brake.is_engaged(rules.digest):
            try:
                self._engage(rules, brake, refusal, now)
            except Unavailable as error:
                self._report("the brake is not engaged yet, and the device is held", error, attempt)
        self._announcer.count(RULES_REFUSE_MANY, ca=rules.name)
        return brake.acceptances

    def _engage(self, rules: CaRules, brake: Brake, refusal: Rejected, now: datetime) -> None:
        """Engage the brake, and announce it unless another environment did so first.

        If the function ends in between, the sweep announces it.

        Raises Unavailable.
        """
        engaged = brake.engagement(rules.digest, now, reason=refusal.reason.name, example=refusal.detail)
        if self._brakes.engage(rules, engaged, acceptances=brake.acceptances):
            self._announcer.announce_brake(rules, engaged)
            self._brakes.note_announced(rules.certificate_id, engaged)

    def _count(self, attempt: RegistrationAttempt, steps: StepRunner, rules: CaRules) -> Brake:
        """Count this refusal, and return the CA's brake.

        A device that the brake held under the same rules was counted then. It is not counted again while nothing has
        changed.

        Raises Unavailable, Overtaken.
        """
        earlier, uncounted_at = attempt.record.decision, None
        if earlier and earlier.is_braked and earlier.rules_digest == attempt.rules_digest:
            if earlier.brake == UNCOUNTED:
                uncounted_at = earlier.decided_at
            else:
                brake = self._brakes.read([rules.certificate_id])[rules.certificate_id]
                if brake.is_engaged(rules.digest) or brake.is_accepted(rules.digest, steps.now()):
                    return brake
        intent, device = attempt.record.intent, attempt.device
        has_begun = intent is not None and intent.outcome is Outcome.REJECTED and intent.is_for(device.created_at)
        return self._brakes.count_refusal(
            rules,
            device.certificate_id,
            # A device that is left pending is recorded without an intent. If it goes uncounted, no one is locked out.
            has_begun=has_begun or rules.on_reject is OnReject.LEAVE,
            uncounted_at=uncounted_at,
        )

    def _report(self, message: str, error: Unavailable, attempt: RegistrationAttempt) -> None:
        certificate_id = attempt.device.certificate_id
        if isinstance(error, NotPermitted):
            self._announcer.log_not_permitted(message, certificate_id=certificate_id, action=error.action)
        else:
            self._announcer.warn(message, PUT_OFF, certificate_id=certificate_id, why=str(error))
