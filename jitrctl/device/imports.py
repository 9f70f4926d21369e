"""Imports certificates into one stage: registers them, without a CA or under one, and has the functions do all else.

    plan       records are read, 100 in a call, and every certificate is checked under the source's rules, offline
    order      for each one: the order into its record, then RegisterCertificateWithoutCA, or under a CA
               RegisterCertificate, with INACTIVE
    send       its event, to the queue of `register`: admission, thing, groups, policy, claim, and ACTIVE last
    wait       until the record has the decision; at most `AHEAD` certificates are registered and not decided

The order is written first (jitr/import_order.py). So an import that is killed is completed by its next run, and what it
had registered by then also by the sweep. A certificate that is registered already without an order is never changed.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ssl import DER_cert_to_PEM_cert as to_pem
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import UNREAD_OFFLINE
from jitr.admission.procedure import examine
from jitr.aws.calls import batches, calling
from jitr.aws.queues import MOST_IN_BATCH, EventToSend, send_events
from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown, Unavailable
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import is_source
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.run.parallel import NOT_BEGUN, describe_error
from jitrctl.session import pace
from jitrctl.verify import as_declared, without_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from jitr.aws.iot import AwsIot
    from jitr.import_order import ImportOrder
    from jitr.record import Record
    from jitr.rules import CaRules
    from jitr.store.registry import Registry
    from jitrctl.session.stage import Stage

# AWS's default quota of RegisterCertificateWithoutCA (L-4671C7C8), and of RegisterCertificate; the functions have calls
# of others.
_MOST_REGISTERED = 10.0  # a second
AHEAD = 200
# So long the functions may need for the next decision; then the rest is left to them and the sweep.
_PATIENCE = 120.0  # seconds
_POLL_EVERY = 1.0  # seconds
_SWEEP_AFTER = timedelta(minutes=5)
_OVERTAKEN = "another import or a decision came first: run the import again"
_RELEASE_FIRST = "`jitrctl device release` first, with --revoked if it was revoked or deactivated"
_NOT_CHANGED = "it is not changed: docs/migrate.md says how to take it over"


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


@dataclass(slots=True, kw_only=True)
class Imported:
    """The outcome of an import in a stage."""

    plan: ImportPlan
    activated: int = 0
    held: dict[str, str] = field(default_factory=dict)  # by certificate id: why
    refused: dict[str, str] = field(default_factory=dict)
    waiting: int = 0  # registered, and left to the functions
    not_begun: int = 0
    stopped: str | None = None  # why it was ended early, in words
    is_interrupted: bool = False  # ended by Ctrl-C

    @property
    def is_complete(self) -> bool:
        """Whether every certificate is ACTIVE."""
        return not (self.plan.refused or self.refused or self.held or self.waiting or self.stopped)


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
        return f"is {here} under {f'CA {decision.ca}' if decision.ca else 'no rules of the fleet'}; {_NOT_CHANGED}"
    if decision.status is Status.ACTIVE:
        return None
    why = f": {decision.detail}" if decision.detail else ""
    return f"is {here}{why}; it is not changed: `jitrctl device release`, then import it again"


class CertificateImport:
    """Registers certificates, each under an order, in one account and Region; safe for threads."""

    def __init__(self, client: Any, iot: AwsIot, registry: Registry, *, ca_pem: str | None = None) -> None:
        """`iot` describes those that are registered already; `ca_pem` is the CA that signed all; None: without a CA."""
        self._client = client
        self._ca_pem = ca_pem
        self._iot = iot
        self._registry = registry

    def register(self, certificate_id: str, pem: str, order: ImportOrder, seen: Record) -> str | None:
        """Write the order, then register the certificate INACTIVE; None, or why it is not the import's.

        The order of an earlier run keeps its time if that run has registered the certificate.

        Raises Unavailable, botocore's errors; the next run goes on from the order.
        """
        kept = seen.import_order
        given = replace(order, at=kept.at) if kept and self._is_begun(certificate_id, seen) else order
        if given != kept and not self._registry.order_import(
            certificate_id, given, seen=seen, look_at=order.at + _SWEEP_AFTER
        ):
            return _OVERTAKEN
        try:
            self._register(pem)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return self._why_not_ours(certificate_id, given)
        except ClientError as error:
            self._registry.end_import(certificate_id, given)
            return f"AWS IoT refuses it: {error.response['Error'].get('Message') or error.response['Error']['Code']}"
        return None

    def _register(self, pem: str) -> None:
        """Raises Unavailable, ClientError."""
        if self._ca_pem is None:
            with calling("RegisterCertificateWithoutCA"):
                self._client.register_certificate_without_ca(certificatePem=pem, status=Status.INACTIVE.value)
        else:
            with calling("RegisterCertificate"):
                self._client.register_certificate(
                    certificatePem=pem, caCertificatePem=self._ca_pem, status=Status.INACTIVE.value
                )

    def _is_begun(self, certificate_id: str, seen: Record) -> bool:
        """Whether an earlier run has registered a certificate under the order that was seen."""
        try:
            return seen.is_import_unfinished(self._iot.describe(certificate_id))
        except CertificateUnknown:
            return False

    def _why_not_ours(self, certificate_id: str, order: ImportOrder) -> str | None:
        """Why a certificate that is registered already is not the import's; None if it is: an earlier run made it."""
        try:
            device = self._iot.describe(certificate_id)
        except CertificateUnknown:
            return "was just deleted: run the import again"
        if order.is_unfinished_on(device):
            return None
        record = self._registry.recall([certificate_id])[certificate_id]
        if record.import_order is None and record.ca_certificate_id == order.source:
            return None  # another run, or the sweep, has completed it
        self._registry.end_import(certificate_id, order)
        if device.status is Status.PENDING_ACTIVATION:
            return "has connected before, and the rules of its CA decide on it"
        return f"is registered here already, {device.status} since {device.created_at:%Y-%m-%d}; {_NOT_CHANGED}"


class StageImport:
    """Carries out the plan of an import in one stage."""

    def __init__(
        self,
        stage: Stage,
        plan: ImportPlan,
        certificates: Mapping[str, bytes],
        order: Callable[[datetime], ImportOrder],
        *,
        interrupted: Event,
        tell: Callable[[int], None],
    ) -> None:
        """`order` makes the order of its time; `tell` is called with the number of certificates that are done."""
        self._stage = stage
        self._certificates = certificates
        self._order = order
        self._interrupted = interrupted
        self._tell = tell
        self._time = pace.ServiceTime(stage.dynamodb)
        ca_pem = None if plan.source.is_source else plan.source.certificate_pem
        self._import = CertificateImport(stage.iot, stage.paced_iot, stage.registry, ca_pem=ca_pem)
        self._queue_url = stage.sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"]
        self._waiting: dict[str, datetime | None] = {}  # by certificate id: when the decision before was made
        self.result = Imported(plan=plan)

    def run(self) -> None:
        """Register all that is to be done, and wait for the decisions; `result` has the outcome.

        It ends early after Ctrl-C, when the functions decide on nothing, and when a call of AWS fails: `stopped` says
        which of these.
        """
        plan, left = self.result.plan, list(self.result.plan.todo)
        began = changed = time.monotonic()
        begun = 0
        failure: Exception | None = None
        try:
            self._stage.registry.recall(left[:1])  # its answer has AWS's time
            with ThreadPoolExecutor(MOST_IN_BATCH) as pool:
                while left or self._waiting:
                    if self._interrupted.is_set():
                        self.result.is_interrupted = True
                        break
                    if left and len(self._waiting) < AHEAD:
                        some, left = left[:MOST_IN_BATCH], left[MOST_IN_BATCH:]
                        self._register(some, pool)
                        begun += len(some)
                        self._wait_until(began + begun / plan.rate)
                    else:
                        time.sleep(_POLL_EVERY)
                    if self._note_decisions():
                        changed = time.monotonic()
                    elif self._waiting and time.monotonic() - changed > _PATIENCE:
                        break
                    self._tell(begun - len(self._waiting))
        except (Unavailable, BotoCoreError, ClientError) as error:
            failure = error
        self._note_end(len(left), failure)

    def _note_end(self, left: int, failure: Exception | None) -> None:
        """Note what is waited for no longer, and why `left` certificates were not begun."""
        result, waiting = self.result, len(self._waiting)
        result.waiting, result.not_begun = waiting, left
        if failure is not None:
            result.stopped = (
                f"a call of AWS failed: {describe_error(failure)}; {waiting:,} certificates are begun and not decided, "
                f"and {left:,} not begun. The same command again goes on"
            )
        elif result.is_interrupted:
            what = f"{left:,} of {len(result.plan.todo):,} were {NOT_BEGUN}" if left else "interrupted"
            result.stopped = what + (
                f"; {waiting:,} are registered INACTIVE, and the functions go on" if waiting else ""
            )
        elif left:
            result.stopped = (
                f"the functions decided on nothing for {_PATIENCE:.0f} s, so {left:,} certificates were not begun; "
                f"{waiting:,} are registered INACTIVE, and wait. `jitrctl fleet status` says why (paused, failing, "
                "many new devices); then give the same command again"
            )

    def _register(self, some: list[str], pool: ThreadPoolExecutor) -> None:
        seen = self.result.plan.todo
        order = self._order(datetime.fromtimestamp(self._time(), UTC))

        def register(certificate_id: str) -> str | None:
            pem = to_pem(self._certificates[certificate_id])
            return self._import.register(certificate_id, pem, order, seen[certificate_id])

        for certificate_id in some:
            decision = seen[certificate_id].decision
            self._waiting[certificate_id] = decision.decided_at if decision else None
        ours = []
        for certificate_id, why_not in zip(some, pool.map(register, some), strict=True):
            if why_not:
                self.result.refused[certificate_id] = why_not
                del self._waiting[certificate_id]
            else:
                ours.append(certificate_id)
        events = [EventToSend(certificate_id=one, ca_certificate_id=None, registered_at=None) for one in ours]
        account_id = self._stage.account.id
        send_events(self._stage.sqs, self._queue_url, events, account_id=account_id, now=order.at)

    def _note_decisions(self) -> bool:
        """Take those that are decided from the waiting ones; whether there were any."""
        before = len(self._waiting)
        if before:
            for certificate_id, record in self._stage.registry.recall(list(self._waiting)).items():
                decision = record.decision
                if decision is None or decision.decided_at == self._waiting[certificate_id]:
                    continue
                del self._waiting[certificate_id]
                why = f"{decision.reason.name}: {decision.detail}" if decision.reason else f"is {decision.status}"
                if decision.status is Status.ACTIVE:
                    self.result.activated += 1
                elif decision.outcome is Outcome.HELD:
                    self.result.held[certificate_id] = why
                else:
                    self.result.refused[certificate_id] = why
        return len(self._waiting) < before

    def _wait_until(self, moment: float) -> None:
        if (pause := moment - time.monotonic()) > 0:
            time.sleep(pause)
