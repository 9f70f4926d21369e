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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ssl import DER_cert_to_PEM_cert as to_pem
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.queues import MOST_IN_BATCH, EventToSend, send_events
from jitr.decisions import Outcome
from jitr.errors import Unavailable
from jitr.iot_models import Status
from jitrctl.device.certificate_import import CertificateImport
from jitrctl.run.parallel import NOT_BEGUN, describe_error
from jitrctl.session import pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from jitr.import_order import ImportOrder
    from jitrctl.device.import_plan import ImportPlan
    from jitrctl.session.stage import Stage

AHEAD = 200
# So long the functions may need for the next decision; then the rest is left to them and the sweep.
_PATIENCE = 120.0  # seconds
_POLL_EVERY = 1.0  # seconds


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
