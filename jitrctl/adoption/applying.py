"""Carries out a plan in one stage: each thing is adopted by `jitrctl.device.adopt`, and aligned if the plan says so.

Owners and records are read a hundred at a time, so what is adopted already costs no call of AWS IoT, and a second run
finishes what the first one left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import CertificateUnknown, NotPermitted, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.provisioning import DetachPolicy
from jitrctl.adoption.plan_file import PlanVerb
from jitrctl.audit.record import audited
from jitrctl.clock import now
from jitrctl.device.adopt import Adoption, foreign_policies
from jitrctl.device.reconcile import ReconcileChange, apply, compare, refuse_another_verdict
from jitrctl.errors import AccessError, JitrctlError, OperatingError, Refused
from jitrctl.run.parallel import describe_error

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from jitr.record import Record
    from jitrctl.adoption.plan_file import PlanLine
    from jitrctl.device.reconcile import Reconciliation
    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls

_BATCH = 100


@dataclass(slots=True, kw_only=True)
class PlanResult:
    """What became of a plan's lines in one stage."""

    adopted: int = 0
    already: int = 0
    aligned: int = 0
    reviews: int = 0
    skipped: int = 0
    not_begun: int = 0  # after Ctrl-C
    failed: list[tuple[PlanLine, str]] = field(default_factory=list)
    left: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # thing, policies that stay attached


class PlanRun:
    """The run of a plan in one stage."""

    def __init__(self, stage: Stage, calls: PatientCalls, note: str, *, told: Callable[[int], None]) -> None:
        """`told` is called with the number of lines that are done."""
        self._stage, self._calls, self._note, self._told = stage, calls, note, told
        self.result = PlanResult()

    def run(self, lines: Sequence[PlanLine], interrupted: threading.Event) -> PlanResult:
        """Carry out the lines; one that fails does not stop the others.

        Raises Refused after two hours of throttles; NotPermitted, botocore's errors.
        """
        result, done = self.result, 0
        result.reviews = sum(line.verb is PlanVerb.REVIEW for line in lines)
        result.skipped = sum(line.verb is PlanVerb.SKIP for line in lines)
        todo = [line for line in lines if line.verb in (PlanVerb.ADOPT, PlanVerb.ALIGN)]
        for some in (todo[first : first + _BATCH] for first in range(0, len(todo), _BATCH)):
            if interrupted.is_set():
                break
            known = self._calls.repeat("BatchGetItem", lambda: self._read(some))  # noqa: B023 -- called at once
            for line in some:
                if interrupted.is_set():
                    break
                self._carry_out(line, *known[line.certificate_id])
                done += 1
                self._told(done)
        result.not_begun = len(todo) - done
        return result

    def _read(self, lines: Sequence[PlanLine]) -> dict[str, tuple[str | None, Record]]:
        """Of each certificate the owner of its thing's name, and its record."""
        owners = self._stage.registry.owners(line.thing_name for line in lines)
        records = self._stage.registry.recall(line.certificate_id for line in lines)
        owner_ids = {name: owner.certificate_id for name, owner in owners.items()}
        return {line.certificate_id: (owner_ids.get(line.thing_name), records[line.certificate_id]) for line in lines}

    def _carry_out(self, line: PlanLine, owner: str | None, record: Record) -> None:
        try:
            if owner == line.certificate_id and record.decision is not None:
                self.result.already += 1
            else:
                self._adopt(line)
                self.result.adopted += 1
            if line.verb is PlanVerb.ALIGN:
                self.result.aligned += self._align(line)
        except (NotPermitted, AccessError, BotoCoreError):
            raise  # as it would for every other line
        except CertificateUnknown:
            self.result.failed.append((line, "the certificate is no longer registered here: survey again"))
        except ClientError as error:
            self.result.failed.append((line, describe_error(error)))
        except (Rejected, JitrctlError) as error:
            if isinstance(error, Refused) and isinstance(error.__cause__, Unavailable):
                raise
            self.result.failed.append((line, describe_error(error)))

    def _adopt(self, line: PlanLine) -> None:
        adoption = Adoption(
            line.thing_name,
            client=self._stage.iot,
            iot=self._stage.aws_iot,
            registry=self._stage.registry,
            certificate_id=line.certificate_id,
            principals=line.principals,
        )
        step = f"take thing {line.thing_name} into the registry (origin {line.origin})"

        def carry_out() -> str:
            self._calls.take_turn("ListThingPrincipals")
            self._calls.take_turn("DescribeCertificate")
            return adoption.carry_out(self._refuse_unfit)

        with audited(self._stage, "fleet adopt", line.certificate_id, [step], self._note):
            self._calls.repeat("the adoption", carry_out)
        if line.verb is PlanVerb.ADOPT and (
            foreign := foreign_policies(self._policies(adoption.arn), self._stage.fleet.name)
        ):
            self.result.left.append((line.thing_name, foreign))

    def _refuse_unfit(self, status: Status, ends_at: Any) -> None:
        """Refuse what changed since the survey, or what it did not tell: a status, or an end that has passed."""
        if status is not Status.ACTIVE:
            raise OperatingError(f"the certificate is {status} now: survey again")
        if ends_at <= now():
            raise OperatingError(
                f"the certificate ended on {ends_at:%F}, so no device connects with it: give the device a new one, and "
                "`jitrctl device adopt` the thing if that one is to follow it"
            )

    def _align(self, line: PlanLine) -> int:
        """Align one device; 1 if there was something to do."""
        stage, one = self._stage, line.certificate_id

        def compare_now() -> Reconciliation | None:
            for _ in range(2):  # compare describes it, and the caller again
                self._calls.take_turn("DescribeCertificate")
            return compare(stage, one)

        compared = self._calls.repeat("the comparison", compare_now)
        if compared is None:
            raise OperatingError("the certificate is no longer ACTIVE: survey again")
        if compared.thing_name != line.thing_name:
            raise OperatingError(f"the rules make thing {compared.thing_name} of it: correct them, or adopt it only")
        arn = self._calls.repeat("DescribeCertificate", lambda: stage.aws_iot.describe(one).arn)
        # After the attachment of the rules' policy, which is among the changes: never without a policy.
        others = [
            ReconcileChange(text=f"detach policy {name}", step=DetachPolicy(policy=name, certificate_arn=arn))
            for name in foreign_policies(self._policies(arn), stage.fleet.name)
        ]
        changes = (*compared.changes, *others)
        with audited(stage, "fleet adopt", one, [change.text for change in changes], self._note):
            for change in changes:
                self._calls.repeat(change.text, lambda: self._change(one, compared, change))  # noqa: B023 -- at once
        return int(bool(changes))

    def _change(self, certificate_id: str, compared: Reconciliation, change: ReconcileChange) -> None:
        refuse_another_verdict(self._stage, certificate_id, compared)
        apply(self._stage, change)

    def _policies(self, arn: str) -> list[str]:
        answer = self._calls.make("ListAttachedPolicies", self._stage.iot.list_attached_policies, target=arn)
        return [one["policyName"] for one in answer["policies"]]
