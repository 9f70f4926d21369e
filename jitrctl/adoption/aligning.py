"""Aligns one device with the rules: type, groups, attributes and policy; all other policies are detached afterwards.

Everything that can be known is checked before the first change, also before the adoption of the same line.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from jitr.admission.issuers import with_recorded_ca
from jitr.errors import Reason
from jitr.frozen import value
from jitr.iot_models import Status
from jitr.provisioning import DetachPolicy
from jitrctl.adoption.refusals import refuse_another_name, refuse_several_things, refuse_taken_away
from jitrctl.audit.record import audited
from jitrctl.device.adopt import foreign_policies, refuse_another_fleets
from jitrctl.device.reconcile import ReconcileChange, Reconciliation, apply, compare, refuse_another_verdict
from jitrctl.errors import OperatingError

if TYPE_CHECKING:
    from jitrctl.adoption.left_attached import AttachedPolicies
    from jitrctl.adoption.plan_file import PlanLine
    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls

# How long certificates live is asked of new ones: those of a fleet that is there already keep theirs.
_OF_NEW = frozenset({Reason.EXPIRES_TOO_SOON, Reason.LIVES_TOO_LONG})
MOST_POLICIES = 10  # that can be attached to a certificate (AWS IoT quotas)


@value
class Alignment:
    """What is to be done with one device, made by `prepare`."""

    stage: Stage
    calls: PatientCalls
    attached: AttachedPolicies
    certificate_id: str
    certificate_arn: str
    compared: Reconciliation
    changes: tuple[ReconcileChange, ...]  # in this order: the rules' policy is attached before another is detached

    @classmethod
    def prepare(cls, stage: Stage, line: PlanLine, calls: PatientCalls, attached: AttachedPolicies) -> Self:
        """Compare a device with the rules.

        Raises OperatingError when it cannot be aligned; as `PatientCalls.make`.
        """
        one = line.certificate_id
        calls.take_turn("DescribeCertificate")
        device = calls.repeat("DescribeCertificate", lambda: stage.aws_iot.describe(one))
        if device.status is not Status.ACTIVE:
            raise OperatingError(f"the certificate is {device.status} now: survey again")
        record = calls.repeat("BatchGetItem", lambda: stage.registry.recall([one])[one])
        refuse_another_name(stage, line, with_recorded_ca(device, record))
        refuse_taken_away(record)
        refuse_several_things(stage, calls, line, device.arn)

        def compare_now() -> Reconciliation | None:
            calls.take_turn("DescribeCertificate")
            return compare(stage, one)

        compared = calls.repeat("the comparison", compare_now)
        if compared is None:
            raise OperatingError("the certificate is no longer ACTIVE: survey again")
        if compared.thing_name != line.thing_name:
            raise OperatingError(f"the rules make thing {compared.thing_name} of it: correct them, or adopt it only")
        if refusals := [f"{one.reason}: {one.detail}" for one in compared.refusals if one.reason not in _OF_NEW]:
            raise OperatingError(f"the rules would refuse it: {'; '.join(refusals)}; correct that, or adopt it only")
        policies = attached.of_certificate(device.arn)
        refuse_another_fleets(policies, stage.fleet.name)
        if (policy := compared.policy) not in policies and len(policies) >= MOST_POLICIES:
            raise OperatingError(
                f"its certificate has {len(policies)} policies, as many as AWS IoT allows, so that {policy} cannot be "
                f"attached beside them: detach one of {', '.join(policies)}, or adopt it only"
            )
        others = tuple(
            ReconcileChange(text=f"detach policy {name}", step=DetachPolicy(policy=name, certificate_arn=device.arn))
            for name in foreign_policies(policies, stage.fleet.name)
        )
        return cls(
            stage=stage,
            calls=calls,
            attached=attached,
            certificate_id=one,
            certificate_arn=device.arn,
            compared=compared,
            changes=(*compared.changes, *others),
        )

    def carry_out(self, order: str, note: str) -> bool:
        """Make the changes; whether there were any.

        Raises OvertakenByColleague; as `PatientCalls.make`.
        """
        steps = [change.text for change in self.changes]
        with ExitStack() as kept:
            self.calls.repeat(
                "PutItem",
                lambda: kept.enter_context(audited(self.stage, order, self.certificate_id, steps, note)),
            )
            is_checked = False
            for change in self.changes:
                if isinstance(change.step, DetachPolicy) and not is_checked:
                    self._refuse_without_policy()
                    is_checked = True
                self.calls.repeat(change.text, lambda: self._change(change))  # noqa: B023 -- called at once
        return bool(self.changes)

    def _refuse_without_policy(self) -> None:
        """Refuse to detach anything while the rules' policy is not attached: a colleague may have detached it.

        Raises OperatingError; as `PatientCalls.make`.
        """
        if self.compared.policy not in self.attached.of_certificate(self.certificate_arn):
            raise OperatingError(
                f"policy {self.compared.policy} was detached meanwhile, so its other policies stay: run the same "
                "command again"
            )

    def _change(self, change: ReconcileChange) -> None:
        refuse_another_verdict(self.stage, self.certificate_id, self.compared)
        apply(self.stage, change)
