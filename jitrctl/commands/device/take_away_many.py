"""`jitrctl device revoke | deactivate` on many devices: those of a file, of a CA, or of a thing group."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from jitrctl.device.bulk_take_away import TakeAwayPlan, TakenAway, document, give_orders, plan_take_away
from jitrctl.device.many_targets import FoundHere, find_by_ca, find_by_group, find_named
from jitrctl.device.order_file import FileDevices, LineProblem, read_order_file
from jitrctl.errors import Interrupted, Refused, Unusable
from jitrctl.run import completion
from jitrctl.session.stage import known_ca
from jitrctl.terminal import Exit, err, out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jitr.verdicts import OperatorAction
    from jitrctl.run.parallel import Failed
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
OfCa = Annotated[
    str | None,
    typer.Option("--ca", metavar="CA", help="All devices of this CA.", autocompletion=completion.cas),
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


class Selection(NamedTuple):
    """Which devices are meant: those of one of file, CA and group."""

    file: Path | None = None
    ca: str | None = None
    issued_between: tuple[datetime, datetime] | None = None
    group: str | None = None


def select(
    from_file: str | None, ca: str | None, issued_between: tuple[str, str] | None, group: str | None
) -> Selection | None:
    """What the options choose; None when they are not given.

    Raises Unusable when they do not fit together.
    """
    if "" in (from_file, ca, group):
        raise Unusable("--from, --ca or --thing-group is empty: is a variable of your shell not set?")
    given = [part for part in (from_file, ca, group) if part is not None]
    if not given and issued_between is None:
        return None
    if len(given) != 1:
        raise Unusable("say one of --from FILE, --ca CA and --thing-group GROUP")
    if issued_between is None:
        return Selection(Path(from_file) if from_file is not None else None, ca, None, group)
    if ca is None:
        raise Unusable("--issued-between can only be said with --ca")
    first, last = _read_time(issued_between[0]), _read_time(issued_between[1])
    if "T" not in issued_between[1] and " " not in issued_between[1]:
        last += timedelta(days=1) - timedelta(microseconds=1)  # that day included
    if last < first:
        raise Unusable("--issued-between takes the earlier time first")
    return Selection(None, ca, (first, last), None)


def _read_time(text: str) -> datetime:
    """Raises Unusable."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(f"{text} is no time: write 2026-11-01 or 2026-11-01T12:00") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """The certificates that are meant."""

    certificates: frozenset[str]
    problems: tuple[LineProblem, ...] = ()
    failed: tuple[Failed, ...] = ()  # stages that could not be asked


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
    targets = _find(scope, selection, stages)
    problems = list(map(str, targets.problems))
    _show_problems(scope, problems)
    if problems and not (despite or dry_run):
        raise Refused(
            f"nothing was done: {_count(len(problems), 'line names', 'lines name')} no device; correct them, or say "
            "--despite-problems for the others"
        )
    planned = scope.across(
        lambda stage: plan_take_away(stage, targets.certificates, action), doing="reading records", stages=stages
    )
    plans = {done.stage: done.value for done in planned.done}
    if any(plan.orders for plan in plans.values()) and not dry_run:
        lines = [f"{len(targets.certificates):,} certificates are {action}, in"]
        lines += [f"  {stage}  {plan_in_words(plan)}" for stage, plan in plans.items()]
        scope.confirm([*lines, *([warning] if warning else [])], yes=yes)
    results = write_orders(scope, plans, note, dry_run=dry_run)
    failed = (*not_opened, *targets.failed, *planned.failed)
    failed = tuple({one.stage: one for one in failed}.values())

    def show_results() -> None:
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


def _find(scope: Scope, selection: Selection, stages: Sequence[Stage]) -> _Targets:
    """Find the certificates that are meant, in all stages that can be asked.

    Raises Unusable, Refused.
    """
    if selection.file is not None:
        return _resolve(scope, read_order_file(selection.file), stages)
    if selection.ca is not None:
        ca = known_ca(scope.fleet, selection.ca)
        found = scope.across(
            lambda stage: find_by_ca(stage, ca, selection.issued_between),
            doing="reading certificates",
            stages=stages,
        )
    else:
        group = str(selection.group)
        found = scope.across(lambda stage: find_by_group(stage, group), doing="reading the thing group", stages=stages)
        if found.done and not found.failed and all(done.value.is_missing for done in found.done):
            raise Refused(f"no account has a thing group {group}: correct its name")
    for done in found.done:  # a warning of a stage counts: the order is not complete there
        done.stage.warnings.extend(describe_left_out(done.value))
    return _Targets(
        certificates=frozenset().union(*(done.value.certificates for done in found.done)), failed=found.failed
    )


def describe_left_out(found: FoundHere) -> Iterable[str]:
    if found.unknown:
        yield (
            f"{found.unknown:,} live certificates are listed under no CA, and no record names theirs: they get no order"
        )
    if found.undated:
        yield f"of {found.undated:,} certificates nothing says when they were issued: they get no order"


def _resolve(scope: Scope, given: FileDevices, stages: Sequence[Stage]) -> _Targets:
    """The certificates of a file's lines; a name or serial number that means none, or several, is a problem."""
    problems = list(given.problems)
    certificates = set(given.certificates)
    failed: tuple[Failed, ...] = ()
    if given.things or given.serials:
        asked = scope.across(
            lambda stage: find_named(stage, given.things, given.serials), doing="reading names", stages=stages
        )
        failed = asked.failed
        not_asked = f", and {asked.failed[0].stage} cannot be asked" if asked.failed else ""
        here = [done.value for done in asked.done]
        for name, line in given.things.items():
            ids = frozenset(one for known in here for one in known.things.get(name, ()))
            _take_only(certificates, problems, ids, LineProblem(line=line, text=name, why=not_asked))
        for serial, line in given.serials.items():
            ids = frozenset(one for known in here for one in known.serials.get(serial, ()))
            _take_only(certificates, problems, ids, LineProblem(line=line, text=f"0x{serial}", why=not_asked))
    return _Targets(
        certificates=frozenset(certificates),
        problems=tuple(sorted(problems, key=lambda one: one.line)),
        failed=failed,
    )


def _take_only(certificates: set[str], problems: list[LineProblem], ids: frozenset[str], line: LineProblem) -> None:
    """Take the one certificate that a line means; if there is none, or several, the line is a problem."""
    if len(ids) == 1:
        certificates |= ids
    elif ids:
        why = f"means {len(ids)} certificates, say which: {', '.join(sorted(ids))}"
        problems.append(replace(line, why=why))
    else:
        problems.append(replace(line, why=f"no account knows a certificate of it{line.why}"))


def _show_problems(scope: Scope, problems: Sequence[str]) -> None:
    if scope.as_json:
        return
    for line in problems[:_MOST_PROBLEMS]:
        err.print(line, markup=False, soft_wrap=True)
    if (more := len(problems) - _MOST_PROBLEMS) > 0:
        err.print(f"and {more:,} more, which --json has", markup=False)


def plan_in_words(plan: TakeAwayPlan) -> str:
    """A plan: 120 to do: 100 ACTIVE, 20 not known here, denied; within about 1 min; 3 are ordered, 7 done already."""
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
        parts.append(f"{len(plan.orders):,} to do: {', '.join(counts)}; within about {_duration(plan.takes)}")
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


def _duration(takes: timedelta) -> str:
    minutes = max(1, round(takes.total_seconds() / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 -- two hours


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
