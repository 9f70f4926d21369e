"""`jitrctl fleet adopt plan | apply`: from a survey to a reviewed plan, and to a fleet that jitr runs."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.adoption.applying import PlanRun
from jitrctl.adoption.plan_file import PlanVerb, read_plan, write_plan
from jitrctl.adoption.planning import OWNED, plan_stage
from jitrctl.clock import now
from jitrctl.device.adopt import FOREIGN_CA, INACTIVE_CA, UNKNOWN_CA
from jitrctl.errors import Interrupted, Unusable
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.pace import turns_in
from jitrctl.session.stage import choose
from jitrctl.survey.calls import PatientCalls
from jitrctl.survey.file import SurveyFile
from jitrctl.terminal import Exit, err, out, print_error, rough, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jitrctl.adoption.applying import PlanResult
    from jitrctl.adoption.plan_file import PlanLine
    from jitrctl.run.parallel import Results
    from jitrctl.session.stage import Stage

_MOST_SHOWN = 20
_AFTER_A_THROTTLE = 2.0  # seconds; waits for the turn of a call are shorter (jitrctl.survey.calls)
_File = Annotated[Path, typer.Argument(metavar="FILE", help="The plan.")]


@over_stages
def make_plan(
    scope: Scope,
    file: _File,
    survey: Annotated[Path, typer.Option("--survey", metavar="FILE", help="A finished survey of `fleet survey`.")],
) -> None:
    """Plan from a survey which things jitr takes over; makes no AWS call, and writes FILE for a review.

    A thing is marked `adopt` if it has exactly one principal, an ACTIVE certificate under a CA or source of the fleet
    file. All others that can be adopted are marked `review`: replace it by adopt, align or skip. What cannot be adopted
    is in the file, with its reason and cure. A FILE that exists is refused.

    Example: jitrctl fleet adopt plan dev.plan --survey dev.survey
    """
    kept = SurveyFile.existing(survey, scope.fleet.name)
    for stage in scope.stages:
        if not kept.place(str(stage), "all")[1]:
            raise Unusable(
                f"{survey} has no finished survey of {stage}: `jitrctl fleet survey {survey} --resume`, or choose "
                "others with --account"
            )
    counts: dict[Stage, Counter[str]] = {stage: Counter() for stage in scope.stages}

    def lines() -> Iterator[PlanLine | str]:
        yield f"planned {now():%Y-%m-%d %H:%M}Z from {survey}"
        for stage in scope.stages:
            yield from plan_stage(stage, kept, counts[stage])

    with err.status("planning …") if err.is_terminal else nullcontext():
        write_plan(file, scope.fleet.name, lines())
    results = scope.across(lambda stage: counts[stage], doing="planning")
    names = (PlanVerb.ADOPT, PlanVerb.REVIEW, "cannot", OWNED)
    scope.report(
        results,
        rows=lambda _, found: [{name: f"{found[name]:,}" for name in names}],
        fields=lambda found: {
            "adopt": found[PlanVerb.ADOPT],
            "review": found[PlanVerb.REVIEW],
            "cannot": found["cannot"],
            "already": found[OWNED],
        },
        file=str(file),
    )


@over_stages
def apply_plan(scope: Scope, file: _File, note: Note = "", *, yes: Yes = False) -> None:
    """Carry out a plan: each thing gets its owner and a record in the registry, and is aligned where the plan says so.

    `adopt` changes no status, no session and no policy. `align` does the same, and gives the device type, groups,
    attributes and policy of the fleet file; then it detaches all other policies from its certificate. With `review` and
    `skip` nothing is done. The name of the thing must be what the rules make of its certificate.

    What changed since the survey is refused line by line. Running it again does only what is left. It needs the
    operators' policies `read` and `act`, and the deployed stack.

    Example: jitrctl fleet adopt apply dev.plan --note "factory 1"
    """
    everywhere = [str(stage) for stage in choose(scope.fleet, (), ())]
    plan = read_plan(file, scope.fleet.name, everywhere)
    lines = {stage: [line for line in plan if line.stage == str(stage)] for stage in scope.stages}
    begun, failed = scope.open_stages()
    interrupted, done = threading.Event(), dict.fromkeys(begun, 0)
    again = f"`jitrctl fleet adopt apply {file}{scope.fleet_option}` does the rest"

    def prepare(stage: Stage) -> PlanRun:
        calls = PatientCalls(
            partial(turns_in(stage).wait, "DescribeCertificate"),
            again=again,
            report=lambda text: err.print(f"{stage}: {text}.", markup=False, soft_wrap=True),
            sleep=partial(wait_for_aws, interrupted),
        )
        prepared = PlanRun(stage, lines[stage], calls, note, report_done=partial(done.__setitem__, stage))
        prepared.leave_out_done(interrupted)
        return prepared

    runs = scope.across(prepare, doing="reading the registry", stages=begun, interrupted=interrupted)
    failed = (*failed, *runs.failed)
    prepared = {one.stage: one.value for one in runs.done}
    if not interrupted.is_set():
        _ask(scope, prepared, yes=yes)
    total = sum(sum(one.count_verbs().values()) for one in prepared.values())
    results = scope.across(
        lambda stage: prepared[stage].run(interrupted),
        doing=lambda: f"adopting: {sum(done.values()):,} of {total:,}",
        stages=list(prepared),
        interrupted=interrupted,
    )
    scope.warn(
        [
            (f"{one.stage} {_name_some(things)}", text)
            for one in results.done
            for things, text in (
                (one.value.unknown_cas, UNKNOWN_CA),
                (one.value.foreign_cas, FOREIGN_CA),
                (one.value.inactive_cas, INACTIVE_CA),
            )
            if things
        ]
    )
    is_interrupted = interrupted.is_set()
    try:
        scope.report(
            results,
            show=lambda: _show(results),
            fields=_document,
            failed=failed,
            ok=not is_interrupted and not any(one.value.failed or one.value.ended_by for one in results.done),
        )
    except typer.Exit:
        if is_interrupted:
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


def wait_for_aws(interrupted: threading.Event, seconds: float) -> None:
    """Wait before a call; a wait of seconds follows a throttle, and Ctrl-C ends it, and with it the work.

    Raises Interrupted.
    """
    if interrupted.wait(seconds) and seconds >= _AFTER_A_THROTTLE:
        raise Interrupted("interrupted while AWS throttled; the same command again does the rest")


def _ask(scope: Scope, prepared: Mapping[Stage, PlanRun], *, yes: bool) -> None:
    """Say what would be done, and ask; where nothing is to be done, only say that.

    Raises Declined, Unusable.
    """
    texts, is_anything = [], False
    for stage, run in prepared.items():
        verbs, result = run.count_verbs(), run.result
        is_anything = is_anything or any(verbs.values())
        to_do = "nothing is to be done"
        if any(verbs.values()):
            length = rough(timedelta(seconds=run.seconds()))
            to_do = f"adopt {verbs[PlanVerb.ADOPT]:,}, align {verbs[PlanVerb.ALIGN]:,}, in about {length}"
        texts.append(
            f"{stage}: {to_do}; adopted already {result.already:,}, left for review {result.reviews:,}, skipped "
            f"{result.skipped:,}"
        )
    if is_anything:
        scope.confirm(texts, yes=yes)
        return
    for text in texts:
        err.print(text, markup=False, soft_wrap=True)


def _name_some(things: Sequence[str]) -> str:
    """The first of the things, and how many there are more; --json has all."""
    more = len(things) - _MOST_SHOWN
    return ", ".join(things[:_MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _show(results: Results[PlanResult]) -> None:
    out.print(table([{"stage": str(one.stage), **_row(one.value)} for one in results.done]))
    for one in results.done:
        for line, why in one.value.failed:
            out.print(f"{one.stage} {line.thing_name}: {why}", markup=False, soft_wrap=True)
        for left in one.value.left[:_MOST_SHOWN]:
            out.print(f"{one.stage} {left}", markup=False, soft_wrap=True)
        if (more := len(one.value.left) - _MOST_SHOWN) > 0:
            err.print(f"{one.stage}: {more:,} more keep something, which --json has.", style="dim", markup=False)
        if one.value.ended_by:
            print_error(f"{one.stage}: {one.value.ended_by}")


def _row(found: PlanResult) -> dict[str, str]:
    return {
        "adopted": f"{found.adopted:,}",
        "already": f"{found.already:,}",
        "aligned": f"{found.aligned:,}",
        "for review": f"{found.reviews:,}",
        "failed": f"{len(found.failed):,}",
        "not begun": f"{found.not_begun:,}",
    }


def _document(found: PlanResult) -> Mapping[str, Any]:
    return {
        "ok": not found.ended_by,
        "adopted": found.adopted,
        "already": found.already,
        "aligned": found.aligned,
        "for_review": found.reviews,
        "skipped": found.skipped,
        "not_begun": found.not_begun,
        "failed": [
            {"thing_name": line.thing_name, "certificate_id": line.certificate_id, "error": why}
            for line, why in found.failed
        ],
        "left_attached": [
            {
                "thing_name": left.thing_name,
                "policies": list(left.policies),
                "of_groups": [{"policy": policy, "group": group} for policy, group in left.of_groups],
                "principals": list(left.principals),
            }
            for left in found.left
        ],
        "unknown_cas": found.unknown_cas,
        "foreign_cas": found.foreign_cas,
        "inactive_cas": found.inactive_cas,
        **({"ended_by": found.ended_by} if found.ended_by else {}),
    }
