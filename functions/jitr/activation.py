"""Steps 4 and 5 for a device that is admitted: plan, apply, ACTIVE last, right after the claim."""

from dataclasses import replace
from datetime import timedelta

from jitr.case import Case
from jitr.decisions import Decision, Outcome, Standing
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot import AwsIot
from jitr.provisioning import Claim, plan
from jitr.registrations import Status
from jitr.registry import Registry
from jitr.replacement import formers_of, owner_of, refuse_twin, refuse_wrong_owner
from jitr.restitution import Restitution
from jitr.rules import CheckMode, OnReplacement


class Activation:
    """Activates admitted devices in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry, enrollment: EnrollmentTable) -> None:
        self._iot = iot
        self._registry = registry
        self._enrollment = enrollment
        self._restitution = Restitution(iot=iot, registry=registry)

    def activate(self, case: Case) -> Decision:
        """Make the device's thing, attach what belongs to it, and activate its certificate.

        Raises Rejected with the reason why it may not be, Overtaken, CertificateUnknown, Unavailable.
        """
        identity = case.examination.admit()
        certificate, rules = case.examination.certificate, case.rules
        assert certificate is not None  # noqa: S101 -- admitted: it could be read
        assert rules is not None  # noqa: S101 -- admitted: its CA is known
        standing = self._registry.standing(identity.thing_name, case.examined.twin_id)
        refuse_twin(standing.twin, case.examined.twin_id)
        gone = self._refuse_wrong_owner(case, standing)
        begun = case.record.intent
        # An earlier attempt, under other rules or entries, may have claimed another name.
        back = self._restitution.of(begun) if begun and begun.thing_name != identity.thing_name else None
        share = rules.on_replacement is OnReplacement.SHARE
        owner = standing.owner
        replaces = owner.certificate_id if owner and not share and not gone else None
        if replaces == case.device.certificate_id:  # by an earlier attempt, which knew whom it follows
            replaces = begun.replaces if begun and begun.claims_name else None
        decision = replace(
            case.decision(Outcome.ACTIVATED, Status.ACTIVE), thing_name=identity.thing_name, replaces=replaces
        )
        is_listed = rules.mode_of("enrollment") is CheckMode.ENFORCE
        for step in plan(identity, case.device, is_ours=owner is not None, is_shared=share):
            if not isinstance(step, Claim):
                case.apply(step, self._iot)
                continue
            case.refuse_late()
            case.attempt.has_begun = True  # also when no answer comes
            self._registry.claim(
                decision,
                case.record,
                owner_of(case.device, certificate, formers_of(case.device.certificate_id, owner, gone=gone)),
                run=case.attempt.run,
                share=share,
                gone=gone,
                retire_at=decision.decided_at + timedelta(seconds=rules.overlap),
                twin=standing.twin,
                back=back,
                entries=self._enrollment.unchanged(case.examined.subjects, case.examined.entries) if is_listed else (),
            )
        return replace(decision, decided_at=case.clock())

    def _refuse_wrong_owner(self, case: Case, standing: Standing) -> str | None:
        """Let the certificate have its thing name; the certificate that owned it, if that exists no more.

        Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED), Unavailable.
        """
        identity, certificate, rules = case.examination.admit(), case.examination.certificate, case.rules
        assert certificate is not None  # noqa: S101 -- admitted: it could be read
        assert rules is not None  # noqa: S101 -- admitted: its CA is known
        owner = standing.owner
        try:
            refuse_wrong_owner(
                identity.thing_name,
                owner=owner,
                device=case.device,
                certificate=certificate,
                twin_id=case.examined.twin_id,
                rules=rules,
                may_follow=identity.may_follow,
                now=case.clock(),
            )
        except Rejected:
            if owner is None or owner.certificate_id == case.examined.twin_id or self._exists(owner.certificate_id):
                raise
            return owner.certificate_id  # nobody's name any more
        return None

    def _exists(self, certificate_id: str) -> bool:
        try:
            self._iot.describe(certificate_id)
        except CertificateUnknown:
            return False
        return True
