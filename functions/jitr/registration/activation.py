"""Steps 4 and 5 for a device that is admitted: plan, apply, ACTIVE last, after the claim."""

from dataclasses import replace
from datetime import timedelta

from jitr.admission.procedure import Admitted
from jitr.admission.rotation import owner_of, previous_owners_of, refuse_twin, refuse_wrong_owner, shares
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Reason, Rejected
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.provisioning import AttachThingPrincipal, Claim, CreateThing, UpdateThing, plan
from jitr.record import Standing
from jitr.registration.attempt import RegistrationAttempt
from jitr.registration.earlier_attempts import EarlierAttempts
from jitr.registration.name_rollback import Restitution
from jitr.rules import CheckMode
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.store.registry_writes import is_being_decided


class Activation:
    """Activates admitted devices in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry, enrollment: EnrollmentTable) -> None:
        self._iot = iot
        self._registry = registry
        self._enrollment = enrollment
        self._restitution = Restitution(iot=iot, registry=registry)
        self._earlier = EarlierAttempts(iot=iot, registry=registry)

    def activate(self, case: RegistrationAttempt) -> Decision:
        """Make the device's thing, attach what belongs to it, and activate its certificate.

        Raises Rejected with the reason why it may not be, Overtaken, CertificateUnknown, Unavailable.
        """
        admitted = case.examination.admit()
        identity, rules = admitted.identity, admitted.rules
        standing = self._registry.recall_standing(identity.thing_name, case.examined.twin_id)
        refuse_twin(standing.twin, case.examined.twin_id)
        owner = self._owner_to_follow(case, admitted, standing)
        begun = case.record.intent
        # An earlier attempt, under other rules or entries, may have claimed another name.
        back = self._restitution.of(begun) if begun and begun.thing_name != identity.thing_name else None
        share = shares(rules, owner)
        replaces = owner.certificate_id if owner and not share else None
        if replaces == case.device.certificate_id:  # by an earlier attempt, which knew whom it follows
            replaces = begun.replaces if begun and begun.claims_name else None
        decision = replace(
            case.decision(Outcome.ACTIVATED, Status.ACTIVE), thing_name=identity.thing_name, replaces=replaces
        )
        is_listed = rules.mode_of("enrollment") is CheckMode.ENFORCE
        difference: UpdateThing | None = None
        self._earlier.make_way(case, identity.thing_name)
        for step in plan(identity, case.device, is_ours=owner is not None, is_shared=share):
            if isinstance(step, CreateThing):
                difference = case.create_thing(step, self._iot)
                continue
            if isinstance(step, AttachThingPrincipal):
                self._earlier.attach(case, step)
                continue
            if not isinstance(step, Claim):
                case.apply(step, self._iot)
                continue
            case.refuse_late()
            case.attempt.has_begun = True  # also when no answer comes
            self._registry.claim(
                decision,
                case.record,
                owner_of(
                    case.device,
                    admitted.certificate,
                    previous_owners_of(case.device.certificate_id, standing.owner, followed=owner),
                ),
                run=case.attempt.run,
                share=share,
                earlier=standing.owner,
                retire_at=decision.decided_at + timedelta(seconds=rules.overlap),
                twin=standing.twin,
                back=back,
                entries=self._enrollment.require_unchanged(case.examined.subjects, case.examined.entries)
                if is_listed
                else (),
            )
            case.attempt.claim = decision
            if difference:
                case.apply(difference, self._iot)
        return replace(decision, decided_at=case.clock())

    def _owner_to_follow(self, case: RegistrationAttempt, admitted: Admitted, standing: Standing) -> Owner | None:
        """Whom the certificate follows, or shares its thing name with; itself, or None for a free name.

        That is the recorded owner. Where that one exists no more, or never came in, it is the newest former owner that
        is ACTIVE, and the same rules apply against that one.

        Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED), Unavailable.
        """
        owner = standing.owner
        try:
            self._refuse_wrong_owner(case, admitted, owner)
        except Rejected as refusal:
            if owner is None or owner.certificate_id == case.examined.twin_id:
                raise
            if not self._is_ownerless(case, owner, refusal):
                raise
        else:
            return owner
        rightful = self._restitution.rightful(owner.previous_owners)
        self._refuse_wrong_owner(case, admitted, rightful)
        return rightful

    def _refuse_wrong_owner(self, case: RegistrationAttempt, admitted: Admitted, owner: Owner | None) -> None:
        """Let the certificate have its thing name, as far as this owner is concerned.

        Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED).
        """
        refuse_wrong_owner(
            admitted.identity.thing_name,
            owner=owner,
            device=case.device,
            certificate=admitted.certificate,
            twin_id=case.examined.twin_id,
            rules=admitted.rules,
            may_follow=admitted.identity.may_follow,
            now=case.clock(),
        )

    def _is_ownerless(self, case: RegistrationAttempt, owner: Owner, refusal: Rejected) -> bool:
        """Whether a thing name's owner was deleted, or claimed the name and never came in.

        Raises Rejected(NOT_A_ROTATION) in place of a final refusal while it may still come in; Unavailable.
        """
        try:
            device = self._iot.describe(owner.certificate_id)
        except CertificateUnknown:
            return True
        if device.status is Status.ACTIVE:
            return False
        record = self._registry.recall([owner.certificate_id])[owner.certificate_id]
        if not record.was_never_active:
            return False
        if device.status is not Status.PENDING_ACTIVATION and not is_being_decided(record, case.clock()):
            return True
        if refusal.reason.final:
            # An owner that was never ACTIVE refuses no device for good.
            raise Rejected(
                Reason.NOT_A_ROTATION, f"{refusal.detail}; that one has claimed the name and is not ACTIVE yet"
            ) from refusal
        return False
