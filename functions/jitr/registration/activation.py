"""Activates an admitted device (steps 4 and 5): plans the steps, runs them, claims, and sets ACTIVE last."""

from dataclasses import replace
from datetime import datetime, timedelta

from jitr.admission.applicant import Admitted
from jitr.admission.rotation import owner_of, previous_owners_of, refuse_twin, refuse_wrong_owner, shares
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Reason, Rejected
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.provisioning import AttachThingPrincipal, Claim, CreateThing, IotStep, plan
from jitr.record import Standing
from jitr.registration.attempt import RegistrationAttempt, StepRunner
from jitr.registration.earlier_attempts import EarlierAttempts
from jitr.registration.name_rollback import NameRollbacks
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
        self._rollbacks = NameRollbacks(iot=iot, registry=registry)
        self._earlier = EarlierAttempts(iot=iot, registry=registry)

    def activate(self, attempt: RegistrationAttempt, steps: StepRunner) -> Decision:
        """Make the device's thing, attach the certificate and its policy, and set the certificate ACTIVE.

        Raises Rejected with the reason why it may not be activated, Overtaken, CertificateUnknown, Unavailable.
        """
        admitted = attempt.examination.admit()
        identity, rules, device = admitted.identity, admitted.rules, admitted.device
        twin_id, intent = attempt.examined.twin_id, attempt.record.intent
        # What was read before the checks is old by now, by these checks alone: the claim is conditional on it.
        standing = attempt.examined.standing_of(identity.thing_name)
        if standing is None:
            standing = self._registry.recall_standing(identity.thing_name, twin_id)
        refuse_twin(standing.twin, twin_id)
        order = attempt.record.import_order
        may_follow = order is not None and order.may_follow and order.source == rules.certificate_id
        owner = self._find_owner_to_follow(admitted, standing, twin_id=twin_id, steps=steps, may_follow=may_follow)
        # An earlier attempt, under other rules or entries, may have claimed another name.
        back = self._rollbacks.find(intent) if intent and intent.thing_name != identity.thing_name else None
        share = shares(rules, owner)
        replaces = owner.certificate_id if owner and not share else None
        if replaces == device.certificate_id:  # by an earlier attempt, whose intent says whom it follows
            replaces = intent.replaces if intent and intent.claims_name else None
        decision = replace(
            attempt.decision(Outcome.ACTIVATED, Status.ACTIVE, at=steps.now()),
            thing_name=identity.thing_name,
            replaces=replaces,
        )
        is_listed = rules.mode_of("enrollment") is CheckMode.ENFORCE
        differences: tuple[IotStep, ...] = ()
        self._earlier.make_way(attempt, steps, identity.thing_name)
        for step in plan(identity, device, is_ours=owner is not None, is_shared=share):
            if isinstance(step, CreateThing):
                differences = steps.create_thing(step)
                continue
            if isinstance(step, AttachThingPrincipal):
                self._earlier.attach(attempt, steps, step)
                continue
            if not isinstance(step, Claim):
                steps.apply(step)
                continue
            steps.refuse_late()
            steps.has_begun = True  # even if no answer comes
            self._registry.claim(
                decision,
                attempt.record,
                owner_of(
                    device,
                    admitted.certificate,
                    previous_owners_of(device.certificate_id, standing.owner, followed=owner),
                ),
                run=steps.run,
                share=share,
                earlier=standing.owner,
                retire_at=decision.decided_at + timedelta(seconds=rules.overlap),
                twin=standing.twin,
                back=back,
                entries=(
                    self._enrollment.require_unchanged(attempt.examined.subjects, attempt.examined.entries)
                    if is_listed
                    else ()
                ),
            )
            steps.claim = decision
            for difference in differences:
                steps.apply(difference)
        return replace(decision, decided_at=steps.now())

    def _find_owner_to_follow(
        self, admitted: Admitted, standing: Standing, *, twin_id: str | None, steps: StepRunner, may_follow: bool
    ) -> Owner | None:
        """Find the owner that the certificate follows, or shares its thing name with.

        That is the recorded owner, which may be the certificate itself; None: the name is free. If the recorded owner
        was deleted, or never became ACTIVE, it is the newest previous owner that is ACTIVE, and the rotation rules
        apply against that one. `may_follow`: the order of its import lets it follow any other.

        Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED), Unavailable.
        """
        owner = standing.owner
        try:
            refuse_wrong_owner(admitted, owner=owner, twin_id=twin_id, now=steps.now(), may_follow=may_follow)
        except Rejected as refusal:
            if owner is None or owner.certificate_id == twin_id:
                raise
            if not self._is_ownerless(owner, refusal, now=steps.now()):
                raise
        else:
            return owner
        rightful = self._rollbacks.find_rightful_owner(owner.previous_owners)
        refuse_wrong_owner(admitted, owner=rightful, twin_id=twin_id, now=steps.now(), may_follow=may_follow)
        return rightful

    def _is_ownerless(self, owner: Owner, refusal: Rejected, *, now: datetime) -> bool:
        """Whether a thing name's owner was deleted, or claimed the name and never became ACTIVE.

        Raises Rejected(NOT_A_ROTATION) instead of a final refusal while that owner may still become ACTIVE;
        Unavailable.
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
        may_become_active = device.status is Status.PENDING_ACTIVATION or record.is_import_unfinished(device)
        if not may_become_active and not is_being_decided(record, now):
            return True
        if refusal.reason.final:
            # No device is refused for good because of an owner that was never ACTIVE.
            raise Rejected(
                Reason.NOT_A_ROTATION, f"{refusal.detail}; that one has claimed the name and is not ACTIVE yet"
            ) from refusal
        return False
