"""Plans an import in one stage: which certificates it registers, and why not the others; AWS IoT is not called."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from ssl import DER_cert_to_PEM_cert as to_pem
from typing import TYPE_CHECKING

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import UNREAD_OFFLINE
from jitr.admission.procedure import examine
from jitr.aws.calls import batches
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import is_source
from jitrctl.clock import now
from jitrctl.device.certificate_import import NOT_CHANGED
from jitrctl.errors import Refused
from jitrctl.verify import as_declared, without_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from jitr.record import Record
    from jitr.rules import CaRules
    from jitrctl.session.stage import Stage

# AWS's default quota of RegisterCertificateWithoutCA (L-4671C7C8), and of RegisterCertificate; the functions have calls
# of others.
_MOST_REGISTERED = 10.0  # a second
_RELEASE_FIRST = "`jitrctl device release` first, with --revoked if it was revoked or deactivated"


@dataclass(slots=True, kw_only=True)
class ImportPlan:
    """What an import does in a stage."""

    source: CaRules  # or the CA's rules that they are registered under
    todo: dict[str, Record] = field(default_factory=dict)  # by certificate id, with the record as it was read
    done: int = 0  # ACTIVE already, of this source
    refused: dict[str, str] = field(default_factory=dict)  # by certificate id: why it is not registered
    rate: float = 1.0  # certificates a second

    @property
    def takes(self) -> timedelta:
        """How long it takes, as long as new devices leave the rate."""
        return timedelta(seconds=len(self.todo) / self.rate)


def plan_import(
    stage: Stage, certificates: Mapping[str, bytes], origin: str | None, *, tell: Callable[[int], None]
) -> ImportPlan:
    """Check all certificates, by id in DER, under the rules of the stage's source or CA; AWS IoT is not called.

    The account has this source or CA, or any source if none is named. `tell` is called with the number of checked ones.

    Raises Refused when none is named and it has several, Unavailable, botocore's errors.
    """
    rules = without_checks(UNREAD_OFFLINE, stage.rules)
    own = _choose_origin(stage, origin)
    rate = min(stage.account.activations_per_second, _MOST_REGISTERED)
    plan = ImportPlan(source=own, rate=rate)
    at, checked = now(), 0
    for some in batches(sorted(certificates)):
        tell(checked)
        checked += len(some)
        for certificate_id, record in stage.registry.recall(some).items():
            why_not = _why_not(record, own)
            if why_not is None and record.decision is not None and record.decision.status is Status.ACTIVE:
                plan.done += 1
                continue
            if why_not is None:
                device = _as_registered(certificate_id, certificates[certificate_id], own, at)
                ca = None if own.is_source else as_declared(own)
                refusal = examine(Applicant.of(device, rules), ca, now=at).refusal
                why_not = f"{refusal.reason.name}: {refusal.detail}" if refusal else None
            if why_not:
                plan.refused[certificate_id] = why_not
            else:
                plan.todo[certificate_id] = record
    return plan


def _choose_origin(stage: Stage, name: str | None) -> CaRules:
    """Raises Refused."""
    found = [one for one in stage.rules.origins if one.name == name or (name is None and one.is_source)]
    if len(found) == 1:
        return found[0]
    has = f"account {stage.account.name} has the sources {', '.join(one.name for one in stage.rules.sources)}"
    raise Refused(f"{has}: say which with --source")


def _as_registered(certificate_id: str, certificate: bytes, source: CaRules, at: datetime) -> DeviceRegistration:
    return DeviceRegistration(
        certificate_id=certificate_id,
        arn="",
        status=Status.INACTIVE,
        pem=to_pem(certificate),
        ca_certificate_id=source.certificate_id,
        created_at=at,
        is_ca_named=False,
    )


def _why_not(record: Record, source: CaRules) -> str | None:
    """Why a certificate with this record is not imported; None if it may be, or was."""
    decision, order, verdict = record.decision, record.import_order, record.verdict
    if verdict is not None and record.is_denied:
        return f"is {verdict.description}: {_RELEASE_FIRST}"
    if order and order.source != source.certificate_id:
        name = order.source.partition(".")[2]
        option = f"--source {name}" if is_source(order.source) else "--with-ca, and the name of that CA"
        return f"an import under [{order.source}] has begun: complete it with {option}"
    if decision is None or order:
        return None
    here = f"{decision.status} here, {decision.outcome} {decision.decided_at:%Y-%m-%d}"
    if decision.ca_certificate_id != source.certificate_id:
        return f"is {here} under {f'CA {decision.ca}' if decision.ca else 'no rules of the fleet'}; {NOT_CHANGED}"
    if decision.status is Status.ACTIVE:
        return None
    why = f": {decision.detail}" if decision.detail else ""
    return f"is {here}{why}; it is not changed: `jitrctl device release`, then import it again"
