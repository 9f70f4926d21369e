"""Plans and writes an order to take many certificates away, in one stage; the functions carry it out.

An order is one write for each certificate: the verdict into its record, on condition that the one that was read still
is in force, and beside it that it is due (jitr/store/take_away_orders.py). From then on no claim succeeds. The sweep
and `register` do the rest at the account's rate, without jitrctl. Certificates that have the order already are skipped,
so the same command again completes one that was interrupted. A certificate that is not registered in the stage gets the
verdict too: it is refused when it comes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from jitr.aws.calls import batches
from jitr.iot_models import Status
from jitr.store.registry_writes import Due
from jitr.store.take_away_orders import urgency
from jitr.sweep.budget import PART_OF_LOOKS
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.clock import now
from jitrctl.errors import Interrupted
from jitrctl.run.parallel import NOT_BEGUN
from jitrctl.session.invoke import start_sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from threading import Event

    from jitr.record import Record
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most
_AT_ONCE = 8  # writes; each takes a network's time, and DynamoDB takes thousands a second
_MOST_COUNTED = 100_000


@dataclass(slots=True, kw_only=True)
class TakeAwayPlan:
    """What an order does in a stage."""

    action: OperatorAction
    orders: dict[str, Record] = field(default_factory=dict)  # by certificate id, with the record as it was read
    active: int = 0  # of them, ACTIVE by their record
    other: int = 0  # of them, with another status by their record
    unrecorded: int = 0  # of them, without a decision here: denied, and set should they be registered
    ordered: int = 0  # that have the order, and wait for it to be carried out
    done: int = 0  # that were taken away before, as much or more
    rate: float = 1.0  # certificates a second

    @property
    def takes(self) -> timedelta:
        """How long the functions need, as long as new devices leave the rate."""
        return timedelta(seconds=len(self.orders) / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAway:
    """The outcome of an order in a stage."""

    plan: TakeAwayPlan
    ordered: int = 0
    overtaken: int = 0  # another verdict was given meanwhile: they get none
    is_started: bool = False  # the sweep was asked to begin


def plan_take_away(stage: Stage, certificate_ids: Collection[str], action: OperatorAction) -> TakeAwayPlan:
    """Read the records of these certificates, and plan the orders; AWS IoT is not called.

    Raises Unavailable, botocore's errors.
    """
    plan = TakeAwayPlan(action=action, rate=stage.account.activations_per_second * PART_OF_LOOKS)
    for some in batches(sorted(certificate_ids), _BATCH):
        for certificate_id, record in stage.registry.recall(some).items():
            _plan_one(plan, certificate_id, record)
    return plan


def _plan_one(plan: TakeAwayPlan, certificate_id: str, record: Record) -> None:
    verdict = record.verdict
    if verdict and (verdict.action is plan.action or plan.action.is_weaker_than(verdict.action)):
        if record.is_take_away_ordered:
            plan.ordered += 1
        else:
            plan.done += 1
        return
    plan.orders[certificate_id] = record
    if record.decision is None:
        plan.unrecorded += 1
    elif record.decision.status is Status.ACTIVE:
        plan.active += 1
    else:
        plan.other += 1


def give_orders(
    stage: Stage, plan: TakeAwayPlan, note: str, *, interrupted: Event, tell: Callable[[int], None]
) -> TakenAway:
    """Write the orders, several at once, and ask the sweep to begin; `tell` is called with the number written so far.

    ACTIVE devices come first, and the sweep begins with them while the others are written.

    Raises Interrupted after Ctrl-C, with what was not written; Unavailable, botocore's errors.
    """
    at, by, registry = now(), stage.caller, stage.registry

    def write(one: tuple[str, Record]) -> bool | None:
        if interrupted.is_set():
            return None
        certificate_id, record = one
        verdict = OperatorVerdict(action=plan.action, by=by, at=at, note=note)
        return registry.order_take_away(certificate_id, verdict, seen=record) is not None

    ordered = overtaken = left = 0
    is_started = False
    by_urgency = sorted(plan.orders.items(), key=lambda one: urgency(one[1]))
    with ThreadPoolExecutor(_AT_ONCE) as writers:
        for some in (by_urgency[: plan.active], by_urgency[plan.active :]):
            before = ordered
            try:
                for was_written in writers.map(write, some):
                    ordered += was_written is True
                    overtaken += was_written is False
                    left += was_written is None
                    tell(ordered + overtaken)
            finally:
                if ordered > before:
                    is_started = start_sweep(stage)
    if left:
        raise Interrupted(f"{left:,} of {len(plan.orders):,} were {NOT_BEGUN}; the others are carried out")
    return TakenAway(plan=plan, ordered=ordered, overtaken=overtaken, is_started=is_started)


def count_waiting(stage: Stage) -> int:
    """The number of certificates that are ordered away and not yet done, in the stage; at most _MOST_COUNTED.

    Raises Unavailable, botocore's errors.
    """
    return len(stage.registry.list_due(Due.TAKE_AWAY, now(), most=_MOST_COUNTED))


def document(one: TakenAway, *, dry_run: bool) -> Mapping[str, object]:
    """A stage's part of the JSON document."""
    plan = one.plan
    return {
        "planned": len(plan.orders),
        "active": plan.active,
        "other": plan.other,
        "unrecorded": plan.unrecorded,
        "waiting": plan.ordered,
        "done": plan.done,
        "ordered": one.ordered,
        "overtaken": one.overtaken,
        "seconds": round(plan.takes.total_seconds()),
        "dry_run": dry_run,
    }
