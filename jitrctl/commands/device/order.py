"""`jitrctl device approve | deny | deactivate | revoke`, and the path that every order on one certificate takes.

`give_order` is that path: resolve what was given to one certificate, show what the order does in each stage, ask, carry
it out in each stage, publish the verdict there, report. What differs between the orders is a `CarryOut` function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from jitr.verdicts import OperatorAction
from jitrctl.audit.events import publish_own_verdict
from jitrctl.clock import now
from jitrctl.commands.device.show import Device
from jitrctl.device.operations import Operator, OrderContext
from jitrctl.device.search import (
    DeviceView,
    SearchKeys,
    StageCertificate,
    only_certificate,
    parse_device,
    waiting_certificate,
)
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import Stage
from jitrctl.terminal import at, short

if TYPE_CHECKING:
    from jitr.iot_models import Status
    from jitr.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What an order did in one stage."""

    text: str  # for the report: "INACTIVE"
    action: OperatorAction | None = None  # the verdict that was given, to be published; None: none was given
    status: Status | None = None  # the certificate's, for the event; None: not registered, or deleted


# Carry out an order in one stage, on condition that the record is still the one that the operator was shown.
# Raises Refused, Unavailable, botocore's errors.
CarryOut: TypeAlias = Callable[[Stage, str, OrderContext, "Record"], Ordered]
# Find the certificate that is meant, in these stages. Raises Refused.
Resolve: TypeAlias = Callable[[Scope, SearchKeys, Sequence[Stage]], str]


@over_stages
def approve(scope: Scope, device: Device, note: Note = "") -> None:
    """Approve a device that is held for it, or that was not seen yet; takes effect at its next connect or sweep.

    A thing's name means the held device that requests it. An approval replaces only the enrollment entry: all other
    checks still apply.

    Example: jitrctl device approve device.pem --account prod --note "order 4711"
    """
    give_order(scope, device, "approve it", _approve, note=note, yes=True, resolve=waiting_certificate)


@over_stages
def deny(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Deny a device, also in accounts that have never seen it; a registered certificate is set INACTIVE.

    Example: jitrctl device deny device.pem --note "lost in transit"
    """
    give_order(
        scope,
        device,
        "have it denied",
        partial(_take_away, OperatorAction.DENIED),
        note=note,
        yes=yes,
        resolve=partial(only_certificate, held=True),
    )


@over_stages
def deactivate(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate INACTIVE, and prevent its activation until it is released.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    give_order(
        scope, device, "have it deactivated", partial(_take_away, OperatorAction.DEACTIVATED), note=note, yes=yes
    )


@over_stages
def revoke(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate REVOKED; accounts that have never seen it will refuse it.

    Example: jitrctl device revoke device.pem --note "key was on a stolen laptop"
    """
    give_order(scope, device, "have it revoked", partial(_take_away, OperatorAction.REVOKED), note=note, yes=yes)


def give_order(
    scope: Scope,
    device: str,
    what: str,
    carry_out: CarryOut,
    *,
    note: str,
    yes: bool,
    resolve: Resolve = only_certificate,
) -> None:
    """Give an order on one certificate in all stages of the scope: resolve, plan, ask, run in each stage, audit.

    `what` names the order in the plan ("approve it"); `yes` asks nothing.

    Raises Unusable, Refused, typer.Exit.
    """
    # Resolve
    start = parse_device(device)
    stages, not_opened = scope.open_stages()
    certificate_id = resolve(scope, start, stages) if stages else ""

    # Plan
    known = SearchKeys(frozenset({certificate_id}))
    views = scope.across(lambda stage: DeviceView.of(stage, known), doing="reading", stages=stages)
    shown = {done.stage: done.value.certificates[certificate_id] for done in views.done}

    # Ask
    if shown:
        places = [f"  {stage}  {describe(found)}" for stage, found in shown.items()]
        scope.confirm([f"Certificate {certificate_id}: {what}, in", *places], yes=yes)

    # Run in each stage
    def run(stage: Stage) -> Ordered:
        ordered = carry_out(stage, certificate_id, OrderContext(by=stage.caller, note=note), shown[stage].record)
        if ordered.action:  # Audit
            publish_own_verdict(stage, certificate_id, ordered.action, ordered.status)
        return ordered

    results = scope.across(run, doing="carrying it out", stages=list(shown))
    scope.report(
        results,
        rows=lambda _, ordered: [{"certificate": short(certificate_id), "now": ordered.text}],
        fields=lambda ordered: {"status": ordered.text},
        failed=(*not_opened, *views.failed),
        certificate_id=certificate_id,
    )


def open_operator(stage: Stage) -> Operator:
    """The operator's access to devices in a stage."""
    return Operator(client=stage.iot, iot=stage.aws_iot, registry=stage.registry, rules=stage.rules, clock=now)


def describe(found: StageCertificate) -> str:
    """A certificate's state before an order: INACTIVE, sensor-0001, revoked by arn:…/ann 2026-11-26 10:00Z."""
    parts = ["not registered"]
    if found.registered:
        names = ", ".join(found.registered.things) or found.registered.asks_for
        parts = [str(found.registered.status), *([names] if names else [])]
    verdict = found.record.verdict
    return ", ".join([*parts, *([f"{verdict.action} by {verdict.by} {at(verdict.at)}"] if verdict else [])])


def _approve(stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:
    status = open_operator(stage).approve(certificate_id, order, seen=seen)
    text = "approved, judged again at its next connect or sweep" if status else "approved for when it comes"
    return Ordered(text=text, action=OperatorAction.APPROVED, status=status)


def _take_away(action: OperatorAction, stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:
    status = open_operator(stage).take_away(certificate_id, action, order, seen=seen)
    text = str(status) if status else "not registered here; refused when it comes"
    if seen.verdict and action.is_weaker_than(seen.verdict.action):
        text += f"; it stays {seen.verdict.action}"
    return Ordered(text=text, action=action, status=status)
