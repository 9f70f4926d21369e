"""Refuses a line of a plan whose device must not become jitr's as it is; nothing of such a line is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.admission.applicant import Applicant
from jitr.iot_models import Status
from jitrctl.clock import now
from jitrctl.errors import OperatingError

if TYPE_CHECKING:
    from jitr.iot_models import DeviceRegistration
    from jitr.record import Record
    from jitr.x509.certificate import Certificate
    from jitrctl.adoption.plan_file import PlanLine
    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls


def refuse_unfit(
    stage: Stage, line: PlanLine, device: DeviceRegistration, certificate: Certificate, record: Record
) -> None:
    """Refuse what changed since the survey, or what it did not tell.

    Raises OperatingError; Unavailable.
    """
    if device.status is not Status.ACTIVE:
        raise OperatingError(f"the certificate is {device.status} now: survey again")
    if certificate.not_after <= now():
        raise OperatingError(
            f"the certificate ended on {certificate.not_after:%F}, so no device connects with it: give the device a "
            "new one, and `jitrctl device adopt` the thing if that one is to follow it"
        )
    refuse_another_name(stage, line, device)
    refuse_taken_away(record)
    _refuse_owner_of_another_name(stage, line, record)


def refuse_another_name(stage: Stage, line: PlanLine, device: DeviceRegistration) -> None:
    """Refuse a thing whose name the rules do not make of its certificate: the next one would make another thing.

    A CA's hook may give any name, and is not asked here.

    Raises OperatingError.
    """
    applicant = Applicant.of(device, stage.rules)
    if applicant.rules is None or applicant.rules.asks_hook or applicant.thing_name == line.thing_name:
        return
    rules = applicant.rules
    section = rules.certificate_id if rules.is_source else f"ca.{rules.name}"
    made = f"thing {applicant.thing_name}" if applicant.thing_name else "no thing"
    raise OperatingError(
        f"the rules make {made} of its certificate, so its next certificate would not be {line.thing_name}'s: correct "
        f"thing_name of [{section}] so that it makes {line.thing_name} and deploy, or skip it"
    )


def refuse_several_things(stage: Stage, calls: PatientCalls, line: PlanLine, arn: str) -> None:
    """Refuse a certificate that is attached to another thing, too.

    Raises OperatingError; as `PatientCalls.make`.
    """
    answer = calls.make("ListPrincipalThings", stage.iot.list_principal_things, principal=arn)
    if others := [name for name in answer["things"] if name != line.thing_name]:
        raise OperatingError(
            f"the certificate is attached to {', '.join(others)} now, too: detach it from all but one, and survey again"
        )


def refuse_taken_away(record: Record) -> None:
    """Refuse a certificate that was denied, deactivated or revoked, and that somebody set ACTIVE without jitr since.

    Raises OperatingError.
    """
    decision = record.decision
    if record.verdict and record.is_denied:
        was = record.verdict.description
    elif decision and decision.status is Status.REVOKED:
        was = f"REVOKED when jitr saw it, {decision.decided_at:%Y-%m-%d %H:%M}Z"
    else:
        return  # an INACTIVE that was found is what somebody set who may set it ACTIVE again
    raise OperatingError(
        f"the certificate is ACTIVE, but was {was}: `jitrctl device revoke` or `deactivate` takes it away again; if it "
        "may connect, then also `jitrctl device release --revoked`, and its device comes as a new one, or is imported "
        "again"
    )


def _refuse_owner_of_another_name(stage: Stage, line: PlanLine, record: Record) -> None:
    """Refuse a certificate that would own two names.

    Raises OperatingError, Unavailable.
    """
    name = record.decision.thing_name if record.decision else None
    if name is None or name == line.thing_name:
        return
    owner = stage.registry.owner(name)
    if owner and owner.certificate_id == line.certificate_id:
        raise OperatingError(
            f"the certificate is thing {name}'s in jitr's registry, and one certificate is one device: attach it to "
            f"{name} again, detach it from {line.thing_name}, and survey again"
        )
