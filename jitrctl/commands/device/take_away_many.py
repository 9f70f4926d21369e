"""`jitrctl device revoke | deactivate` on many devices: those of a file, of a CA, or of a thing group."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.commands.device.selection import Selection, Targets, chosen_document, find_targets
from jitrctl.device.bulk_take_away import TakeAwayPlan, TakenAway, document, give_orders, plan_take_away
from jitrctl.errors import Interrupted, Refused
from jitrctl.run import completion
from jitrctl.terminal import Exit, err, keep_warning, out, rough

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr.verdicts import OperatorAction
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

_MOST_PROBLEMS = 100  # lines; --json has them all

FromFile = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help=(
            "The devices of a file, one a line: ids, fingerprints, serial numbers (0x42), thing names, certificates' "
            "files and PEM, mixed."
        ),
    ),
]
OfOrigin = Annotated[
    str | None,
    typer.Option(
        "--ca",
        metavar="CA",
        help="All devices of this CA, or source of the fleet file.",
        autocompletion=completion.origins,
    ),
]
IssuedBetween = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--issued-between",
        metavar="TIME TIME",
        help="With --ca: only those whose certificates begin (notBefore) between these times, UTC: 2026-11-01T12:00.",
    ),
]
OfGroup = Annotated[
    str | None,
    typer.Option("--thing-group", metavar="GROUP", help="All devices of this thing group, and of those below it."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With many devices: only show how many they are, and how long it takes.")
]
Despite = Annotated[
    bool,
    typer.Option("--despite-problems", help="With --from: carry it out for the other lines when some name no device."),
]


def take_away_many(
    scope: Scope,
    selection: Selection,
    action: OperatorAction,
    *,
    note: str,
    dry_run: bool,
    despite: bool,
    yes: bool,
    warning: str = "",
) -> None:
    """Order many devices away: find them, count them in each stage, ask, write the orders; the functions do the rest.

    Raises Unusable, Refused, Declined, typer.Exit.
    """
    stages, not_opened = scope.open_stages()
    targets = find_targets(scope, selection, action, stages)
    problems = list(map(str, targets.problems))
    _show_problems(scope, problems)
    if problems and not (despite or dry_run):
        for line in problems if scope.as_json else ():
            keep_warning(line)  # the document of a failure has them
        raise Refused(
            f"nothing was done: {_count(len(problems), 'line names', 'lines name')} no device; correct them, or say "
            "--despite-problems for the others"
        )
    planned = scope.across(
        lambda stage: plan_take_away(stage, targets.certificates, action), doing="reading records", stages=stages
    )
    plans = {done.stage: done.value for done in planned.done}
    if any(plan.orders for plan in plans.values()) and not dry_run:
        lines = _describe_order(targets, action)
        lines += [f"  {stage}  {plan_in_words(plan)}" for stage, plan in plans.items()]
        scope.confirm([*lines, *([warning] if warning else [])], yes=yes)
    results = write_orders(scope, plans, note, dry_run=dry_run)
    failed = (*not_opened, *targets.failed, *planned.failed)
    failed = tuple({one.stage: one for one in failed}.values())

    def show_results() -> None:
        if dry_run:
            out.print("\n".join(_describe_order(targets, action)), markup=False, soft_wrap=True)
        for done in results.done:
            out.print(f"{done.stage}: {taken_in_words(done.value, dry_run=dry_run)}", markup=False, soft_wrap=True)

    try:
        scope.report(
            results,
            show=show_results,
            fields=lambda one: document(one, dry_run=dry_run),
            failed=failed,
            ok=not problems and not any(done.value.overtaken for done in results.done),
            certificates=len(targets.certificates),
            chosen=chosen_document(selection, targets),
            problems=[{"line": one.line, "text": one.text, "why": one.why} for one in targets.problems],
        )
    except typer.Exit:
        if any(isinstance(one.cause, Interrupted) for one in results.failed):
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


def write_orders(scope: Scope, plans: Mapping[Stage, TakeAwayPlan], note: str, *, dry_run: bool) -> Any:
    """Write the planned orders in all these stages at once, with the progress of all; Results[TakenAway]."""
    interrupted = threading.Event()
    written = dict.fromkeys(plans, 0)
    most = sum(len(plan.orders) for plan in plans.values())

    def give(stage: Stage) -> TakenAway:
        if dry_run or not plans[stage].orders:
            return TakenAway(plan=plans[stage])

        def tell(number: int) -> None:
            written[stage] = number

        return give_orders(stage, plans[stage], note, interrupted=interrupted, tell=tell)

    def progress() -> str:
        return f"writing orders: {sum(written.values()):,} of {most:,}"

    return scope.across(give, doing=progress, stages=list(plans), interrupted=interrupted)


def _show_problems(scope: Scope, problems: Sequence[str]) -> None:
    if scope.as_json:
        return
    for line in problems[:_MOST_PROBLEMS]:
        err.print(line, markup=False, soft_wrap=True)
    if (more := len(problems) - _MOST_PROBLEMS) > 0:
        err.print(f"and {more:,} more, which --json has", markup=False)


def plan_in_words(plan: TakeAwayPlan) -> str:
    """A plan: 120 to do: 100 ACTIVE, 20 not known here, denied; about 1 min, …; 3 ordered already, and not yet done."""
    parts = []
    if plan.orders:
        counts = [
            text
            for number, text in (
                (plan.active, f"{plan.active:,} ACTIVE"),
                (plan.other, f"{plan.other:,} with another status"),
                (plan.unrecorded, f"{plan.unrecorded:,} not known here, denied"),
            )
            if number
        ]
        takes = f"about {rough(plan.takes)}, longer while new devices connect"
        parts.append(f"{len(plan.orders):,} to do: {', '.join(counts)}; {takes}")
    if plan.ordered:
        parts.append(f"{plan.ordered:,} ordered already, and not yet done")
    if plan.done:
        parts.append(f"{plan.done:,} done already")
    return "; ".join(parts) or "nothing to do"


def taken_in_words(one: TakenAway, *, dry_run: bool) -> str:
    if dry_run or not one.plan.orders:
        return plan_in_words(one.plan)
    text = f"{one.ordered:,} ordered; {plan_in_words(one.plan)}"
    return text + (f"; {one.overtaken:,} not ordered, since another verdict came first" if one.overtaken else "")


def _describe_order(targets: Targets, action: OperatorAction) -> list[str]:
    number = _count(len(targets.certificates), "certificate is", "certificates are")
    return [targets.chosen, f"{number} {action}, each in every account:"]


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
