"""`jitrctl device release`: releases one refused device, or all that were rejected for a reason."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.errors import Reason
from jitr.rules import is_source
from jitr.verdicts import OperatorAction
from jitrctl.commands.device.many import OptionalDevices
from jitrctl.commands.device.order import Ordered, give_order, open_operator
from jitrctl.device.bulk_release import BulkOrdered, Plan, Wanted, find_rejections, judge_again, order_releases
from jitrctl.device.search import DeviceView, SearchKeys
from jitrctl.errors import Unusable
from jitrctl.rules.trial import ADMITTED
from jitrctl.run.origins import Origins
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.pace import in_words
from jitrctl.session.stage import chosen_origins
from jitrctl.terminal import err, out, rough

if TYPE_CHECKING:
    from jitr.record import Record
    from jitrctl.device.operations import OrderContext
    from jitrctl.session.stage import Stage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@over_stages
def release(
    scope: Scope,
    devices: OptionalDevices = None,
    note: Note = "",
    rejected_for: Annotated[
        list[str] | None,
        typer.Option(
            "--rejected-for",
            metavar="REASON",
            help="All devices that were rejected for this reason, instead of named ones; may be repeated.",
        ),
    ] = None,
    origin: Origins = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"],
            help="Only those rejected since this time, in UTC.",
        ),
    ] = None,
    *,
    would_be_admitted: Annotated[
        bool, typer.Option("--would-be-admitted", help="Only those that the deployed rules would admit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show how many they are; change nothing.")] = False,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also if an operator revoked or deactivated it.")] = False,
    yes: Yes = False,
) -> None:
    """Have refused devices evaluated again at their next connect; their registrations are deleted for that.

    Devices that were registered without a CA have to be imported again.

    With --rejected-for: all devices that were rejected for a reason. The functions evaluate them again, after new
    devices, without a new registration or connect. REVOKED devices, and those that somebody has deactivated, are left
    out. If interrupted, the same command completes it.

    Example: jitrctl device release --rejected-for COMMON_NAME_REFUSED --ca factory --would-be-admitted
    """
    many = {"--ca": origin, "--since": since, "--would-be-admitted": would_be_admitted, "--dry-run": dry_run}
    if rejected_for:
        if devices or revoked:
            raise Unusable("--rejected-for finds the devices: leave out those that are named, and --revoked")
        wanted = Wanted(
            reasons=[_reason(name) for name in rejected_for],
            cas=origin or (),
            since=since.replace(tzinfo=UTC) if since else _EPOCH,
            only_admitted=would_be_admitted,
        )
        _release_many(scope, wanted, note, dry_run=dry_run, yes=yes)
        return
    if not devices:
        raise Unusable("say which devices: a certificate, id or thing of each; or all with --rejected-for REASON")
    if given := [name for name, value in many.items() if value]:
        raise Unusable(f"{', '.join(given)} can only be said with --rejected-for")
    carry_out = partial(_release, revoked)
    give_order(scope, devices, "release it: its registration is deleted", carry_out, note=note, yes=yes)


def _release(revoked: bool, stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:  # noqa: FBT001 -- bound by partial
    if not DeviceView.of(stage, SearchKeys(frozenset({certificate_id}))).certificates[certificate_id].is_known:
        return Ordered(text="not known here")
    open_operator(stage).release(certificate_id, order, revoked=revoked, seen=seen)
    again = "once it is imported again" if is_source(seen.ca_certificate_id) else "at its next connect"
    return Ordered(text=f"released, evaluated again {again}", action=OperatorAction.RELEASED)


def _release_many(scope: Scope, wanted: Wanted, note: str, *, dry_run: bool, yes: bool) -> None:
    stages, failed = scope.open_stages()
    found = scope.across(
        lambda stage: find_rejections(stage, chosen_origins(stage, wanted.cas), wanted),
        doing="reading the index",
        stages=stages,
    )
    begun = {done.stage: done.value for done in found.done}
    most = max((len(candidates) for _, candidates in begun.values()), default=0)
    if most:
        err.print(in_words(most, begun), style="dim")
    judged = scope.across(
        lambda stage: judge_again(stage, *begun[stage], wanted), doing="evaluating certificates", stages=list(begun)
    )
    for done in judged.done:
        if done.value.unlisted:
            done.stage.warnings.append(
                f"the index does not hold all earlier decisions on devices of CA {', '.join(done.value.unlisted)} yet: "
                "the sweep adds them; give the order again when `jitrctl fleet status` shows a new count"
            )
    plans = {done.stage: done.value for done in judged.done}
    if any(plan.orders for plan in plans.values()) and not dry_run:
        names = ", ".join(sorted(reason.name for reason in wanted.reasons))
        scope.confirm(
            [
                f"Rejections for {names} are taken back, and the devices evaluated again, in",
                *(f"  {stage}  {_in_words(plan)}" for stage, plan in plans.items()),
            ],
            yes=yes,
        )

    def order_here(stage: Stage) -> BulkOrdered:
        return BulkOrdered(plan=plans[stage]) if dry_run else order_releases(stage, plans[stage], wanted.reasons, note)

    results = scope.across(order_here, doing="ordering", stages=list(plans))

    def show_results() -> None:
        for done in results.done:
            out.print(f"{done.stage}: {_describe(done.value, dry_run=dry_run)}", markup=False, soft_wrap=True)

    scope.report(
        results,
        show=show_results,
        fields=lambda one: _document(one, dry_run=dry_run),
        failed=(*failed, *found.failed, *judged.failed),
    )


def _reason(name: str) -> Reason:
    """Find a final reason by its name.

    Raises Unusable.
    """
    final = {reason.name: reason for reason in Reason if reason.final}
    if (found := final.get(name.upper().replace("-", "_"))) is not None:
        return found
    near = difflib.get_close_matches(name.upper(), final, n=1)
    hint = f"did you mean {near[0]}?" if near else "docs/rejections.md lists them"
    raise Unusable(f"nothing is rejected for {name}: {hint}")


def _in_words(plan: Plan) -> str:
    """A plan: 19 of 20: 18 would be admitted, 1 refused again (KEY_REFUSED); within about 16 min; 1 left: …."""
    if not plan.found:
        return "nothing was rejected for it"
    again = {name: number for name, number in plan.judged.items() if name != ADMITTED}
    counts = [f"{plan.judged[ADMITTED]} would be admitted"]
    if again:
        counts.append(f"{sum(again.values())} refused again ({_counts(again)})")
    parts = [f"{len(plan.orders)} of {plan.found}: {', '.join(counts)}"]
    if plan.orders:
        parts.append(f"within about {rough(plan.takes)}")
    if plan.left:
        parts.append(f"{sum(plan.left.values())} left: {_counts(plan.left)}")
    return "; ".join(parts)


def _describe(one: BulkOrdered, *, dry_run: bool) -> str:
    if dry_run or not one.plan.orders:
        return _in_words(one.plan)
    text = f"{one.ordered} ordered; {_in_words(one.plan)}"
    return text + (f"; {one.overtaken} not ordered, since they changed meanwhile" if one.overtaken else "")


def _document(one: BulkOrdered, *, dry_run: bool) -> dict[str, Any]:
    plan = one.plan
    return {
        "found": plan.found,
        "judged": dict(plan.judged),
        "left": dict(plan.left),
        "planned": len(plan.orders),
        "ordered": one.ordered,
        "overtaken": one.overtaken,
        "seconds": round(plan.takes.total_seconds()) if plan.orders else 0,
        "not_all_listed": list(plan.unlisted),
        "dry_run": dry_run,
    }


def _counts(counted: Any) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))
