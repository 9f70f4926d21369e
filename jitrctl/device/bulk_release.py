"""Releases many of jitr's own rejections at once, in one stage: finds them, evaluates them again, orders the release.

The index of outcomes lists the rejections. Each certificate is evaluated again under the deployed rules. An order is
one write into the certificate's record, conditional on what was read; the sweep and `register` do the rest
(jitr/sweep/due_evaluations.py, jitr/record.py). Rejections that are ordered already, or were decided on meanwhile, are
skipped: the same command again completes one that was interrupted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.admission.identity import Identity
from jitr.admission.issuers import with_recorded_ca
from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown
from jitr.record import is_as_rejected
from jitr.store.outcomes import may_be_released
from jitr.store.sweep_state import ACCOUNT
from jitr.sweep.budget import PART_OF_LOOKS
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.audit.record import audited
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.rules.deployed import read_deployed_rules
from jitrctl.rules.trial import ADMITTED, judge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from jitr.aws.iot import AwsIot
    from jitr.errors import Reason
    from jitr.record import Record
    from jitr.rules import Rules
    from jitr_fleet.model import Origin
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most
ORDERED = "ordered already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rejections are to be released."""

    reasons: Collection[Reason]
    cas: Sequence[str]  # names of CAs and sources; empty: all
    since: datetime
    only_admitted: bool


@dataclass(slots=True, kw_only=True)
class Plan:
    """The rejections found in a stage, and the releases to order there."""

    found: int = 0  # rejections for these reasons
    judged: Counter[str] = field(default_factory=Counter)  # by "admitted", or the reason of the new refusal
    left: Counter[str] = field(default_factory=Counter)  # by why no order is given
    orders: list[Record] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)  # CAs whose earlier decisions may be missing in the index
    rate: float = 1.0  # devices a second
    first_after: timedelta = timedelta()  # until the next sweep, at most

    @property
    def takes(self) -> timedelta:
        """The longest time until the last one is evaluated, as long as new devices leave room."""
        return self.first_after + timedelta(seconds=len(self.orders) / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOrdered:
    """The outcome of the orders in a stage."""

    plan: Plan
    ordered: int = 0
    overtaken: int = 0  # records that had changed since they were read


def find_rejections(stage: Stage, origins: Sequence[Origin], wanted: Wanted) -> tuple[Plan, list[Record]]:
    """Find the rejections for the wanted reasons, without calling AWS IoT: the plan so far, and the candidates.

    Raises Refused when there is no index; Unavailable, botocore's errors.
    """
    plan = Plan(
        rate=stage.account.activations_per_second * PART_OF_LOOKS,
        first_after=timedelta(seconds=stage.rules.every),
    )
    candidates = []
    for origin in origins:
        if not stage.journal.last_pass(ACCOUNT).lists:
            plan.unlisted.append(origin.name)
        for record in _list_rejected(stage, origin.certificate_id, wanted.since):
            decision = record.decision
            if decision is None or decision.outcome is not Outcome.REJECTED or decision.reason not in wanted.reasons:
                continue  # decided otherwise since the index was read, or for another reason
            plan.found += 1
            if record.is_release_ordered:
                plan.left[ORDERED] += 1
            elif not may_be_released(record):
                plan.left[_why_not(record)] += 1
            else:
                candidates.append(record)
    return plan, candidates


def judge_again(stage: Stage, plan: Plan, candidates: Sequence[Record], wanted: Wanted) -> Plan:
    """Evaluate the candidates again, each with one DescribeCertificate; returns the plan with the orders to give.

    Raises NotReadable, Unavailable, botocore's errors.
    """
    if not candidates:
        return plan
    rules = read_deployed_rules(stage)
    for record in candidates:
        _judge_one(stage.paced_iot, rules, plan, record, wanted)
    return plan


def order_releases(stage: Stage, plan: Plan, reasons: Collection[Reason], note: str) -> BulkOrdered:
    """Write the orders, each on condition that the record is still the one that was read.

    Raises Unavailable, botocore's errors.
    """
    by_ca: dict[str, list[Record]] = defaultdict(list)
    for record in plan.orders:
        assert record.decision is not None  # noqa: S101 -- it was rejected
        by_ca[record.decision.ca_certificate_id or ""].append(record)
    ordered = 0
    names = ", ".join(sorted(reason.name for reason in reasons))
    for ca_certificate_id, records in by_ca.items():
        step = f"take back {len(records)} rejections for {names}"
        with audited(stage, "device release", ca_certificate_id, [step], note):
            ordered += sum(_order_one(stage, record, note) for record in records)
    return BulkOrdered(plan=plan, ordered=ordered, overtaken=len(plan.orders) - ordered)


def _list_rejected(stage: Stage, ca_certificate_id: str, since: datetime) -> Iterator[Record]:
    """The records of the CA's certificates that the index lists as rejected since a time."""
    try:
        ids = list(stage.outcomes.list_decided(Outcome.REJECTED, ca_certificate_id, since=since))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        raise Refused("the registry has no index of outcomes yet: deploy this version's stack first") from error
    for start in range(0, len(ids), _BATCH):
        yield from stage.registry.recall(ids[start : start + _BATCH]).values()


def _why_not(record: Record) -> str:
    """Why a rejection cannot be released."""
    if record.begun_at is not None:
        return "being decided on just now"
    if record.is_denied:
        return "an operator's verdict stands against it"
    if record.was_revoked_or_deactivated:
        return "revoked or taken away; REVOKED is final"
    return "not set INACTIVE by the rejection"


def _judge_one(iot: AwsIot, rules: Rules, plan: Plan, record: Record, wanted: Wanted) -> None:
    decision = record.decision
    assert decision is not None  # noqa: S101 -- it was rejected
    try:
        device = with_recorded_ca(iot.describe(decision.certificate_id), record)
    except CertificateUnknown:
        plan.left["deleted from AWS IoT"] += 1
        return
    if not is_as_rejected(device, decision.registered_at, decision.decided_at):
        plan.left["its status was set by somebody else since"] += 1
        return
    answer = judge(device, rules, now())
    said = ADMITTED if isinstance(answer, Identity) else answer.reason.name
    plan.judged[said] += 1
    if said != ADMITTED and wanted.only_admitted:
        plan.left[f"would be refused again: {said}"] += 1
    else:
        plan.orders.append(record)


def _order_one(stage: Stage, record: Record, note: str) -> bool:
    assert record.decision is not None  # noqa: S101 -- it was rejected
    verdict = OperatorVerdict(action=OperatorAction.RELEASED, by=stage.caller, at=now(), note=note)
    return stage.outcomes.order_release(record.decision.certificate_id, verdict, seen=record) is not None
