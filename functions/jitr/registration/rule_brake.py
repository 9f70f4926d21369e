"""The brake before a refusal: whether it is carried out, or held because the CA's rules refuse too many.

Called with every refusal for a final reason that rests on the CA's rules, before anything is done about it.
"""

from jitr.brake import Brake
from jitr.decisions import Outcome
from jitr.errors import Basis, NotPermitted, Rejected, Unavailable
from jitr.registration.attempt import RegistrationAttempt
from jitr.rules import CaRules, OnReject
from jitr.store.brakes import Brakes
from jitr.telemetry import PUT_OFF, RULES_REFUSE_MANY, Announcer

# In place of how many acceptances there were: the brake could not be read, and the refusal was not counted.
UNCOUNTED = -1


class RuleBrake:
    """The brake of one account and Region."""

    def __init__(self, *, brakes: Brakes, announcer: Announcer) -> None:
        self._brakes = brakes
        self._announcer = announcer

    def held_under(self, case: RegistrationAttempt, refusal: Rejected) -> int | None:
        """How many acceptances the brake knows that holds this refusal; None where it is carried out.

        A brake that cannot be read holds.

        Raises Overtaken while another attempt may be about to count it, Unavailable when the deadline is near.
        """
        rules = case.rules
        if rules is None or rules.brake is None or not refusal.reason.final:
            return None
        if refusal.reason.rests_on is not Basis.RULES:
            return None
        case.refuse_late()
        try:
            brake = self._state(case, rules)
        except Unavailable as error:
            self._tell("the brake cannot be read, so the device is held", error, case)
            return UNCOUNTED
        if not brake.holds(rules.digest, rules.brake, case.clock()):
            return None
        if not brake.is_engaged(rules.digest):
            try:
                self._engage(case, rules, brake, refusal)
            except Unavailable as error:
                self._tell("the brake is not engaged yet, and the device is held", error, case)
        self._announcer.count(RULES_REFUSE_MANY, ca=rules.name)
        return brake.acceptances

    def _engage(self, case: RegistrationAttempt, rules: CaRules, brake: Brake, refusal: Rejected) -> None:
        """Engage the brake, and announce it if no other environment was faster.

        Should the function die in between, the sweep announces it.

        Raises Unavailable.
        """
        engaged = brake.engagement(rules.digest, case.clock(), reason=refusal.reason.name, example=refusal.detail)
        if self._brakes.engage(rules, engaged, acceptances=brake.acceptances):
            self._announcer.announce_brake(rules, engaged)
            self._brakes.note_announced(rules.certificate_id, engaged)

    def _state(self, case: RegistrationAttempt, rules: CaRules) -> Brake:
        """What is known of the CA, with this refusal counted.

        A device that the brake held under the same rules was counted then, and is not again while nothing has changed.

        Raises Unavailable, Overtaken.
        """
        earlier, uncounted_at = case.record.decision, None
        if earlier and earlier.is_braked and earlier.rules_digest == case.rules_digest:
            if earlier.brake == UNCOUNTED:
                uncounted_at = earlier.decided_at
            else:
                brake = self._brakes.read([rules.certificate_id])[rules.certificate_id]
                if brake.is_engaged(rules.digest) or brake.is_accepted(rules.digest, case.clock()):
                    return brake
        begun = case.record.intent
        has_begun = begun is not None and begun.outcome is Outcome.REJECTED and begun.is_for(case.device.created_at)
        return self._brakes.count_refusal(
            rules,
            case.device.certificate_id,
            # What is left pending is recorded without being begun. That one may go uncounted locks no device out.
            has_begun=has_begun or rules.on_reject is OnReject.LEAVE,
            uncounted_at=uncounted_at,
        )

    def _tell(self, happening: str, error: Unavailable, case: RegistrationAttempt) -> None:
        if isinstance(error, NotPermitted):
            self._announcer.log_not_permitted(happening, certificate_id=case.device.certificate_id, action=error.action)
        else:
            self._announcer.warn(happening, PUT_OFF, certificate_id=case.device.certificate_id, why=str(error))
