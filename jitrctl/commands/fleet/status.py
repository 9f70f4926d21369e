"""`jitrctl fleet status`: says whether the fleet is OK, what needs an operator with its cure, and shows every stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.clock import now
from jitrctl.commands.fleet import status_view
from jitrctl.commands.fleet.status_document import document
from jitrctl.run.scope import Scope, over_stages
from jitrctl.run.stage_options import stage_options
from jitrctl.status import health
from jitrctl.status.diagnosis import Diagnosis, diagnose
from jitrctl.status.enrollment import compare_lists
from jitrctl.terminal import keep_warning

if TYPE_CHECKING:
    from jitrctl.run.parallel import Results
    from jitrctl.session.stage import Stage
    from jitrctl.status.health import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """A stage's health, and what is to be said of it."""

    stage: Stage
    health: Health
    diagnosis: Diagnosis


@over_stages
def status(
    scope: Scope,
    assembly: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The output of `cdk synth`, to compare the stacks with (default: cdk.out)."
        ),
    ] = None,
) -> None:
    """Say whether the fleet is OK, name what needs you with its cure, and show every stage.

    The first line is OK or NOT OK. Then come the problems, the worst first, each with the command that cures it or
    the section of the runbook; then a row for each stage. In the column CAs are those that are as the fleet file says;
    the columns deployed and swept say how long ago.

    Exit code 1 when it is NOT OK: something needs you, or what decides it cannot be read.

    Example: jitrctl fleet status
    """
    compared, not_compared = (assembly, None) if assembly else _assembly(scope)
    read = scope.across(lambda stage: _read(stage, compared), doing="reading")
    results = _with_lists_compared(read)
    found = [done.value.diagnosis for done in results.done]
    not_ok = [one for one in found if one.problems]
    if not scope.as_json:
        in_need = sum(one.needs_operator for one in not_ok)
        status_view.show_verdict(
            len(scope.stages),
            in_need=in_need,
            in_part=len(not_ok) - in_need,
            not_read=len(results.failed),
            without=list(dict.fromkeys(what for one in found for what in one.not_read)),
        )
        problems = [(done.stage, problem) for done in results.done for problem in done.value.diagnosis.problems]
        status_view.show_problems(scope, problems)

    def show_results() -> None:
        status_view.show_table([(done.stage, done.value.health) for done in results.done])
        status_view.show_notes([(done.stage, done.value.health, done.value.diagnosis) for done in results.done])
        status_view.show_templates(not_compared)

    if not_compared:
        keep_warning(f"Templates were not compared: {not_compared}.")
    scope.report(
        results,
        show=show_results,
        fields=lambda one: document(one.health, _for_stage(scope, one)),
        ok=not not_ok,
        templates_compared=bool(results.done) and all(done.value.health.template_compared for done in results.done),
    )


def _for_stage(scope: Scope, one: StageStatus) -> Diagnosis:
    """The stage's diagnosis with commands that can be pasted."""
    options = stage_options([one.stage], scope.fleet) or ""
    problems = tuple(problem.for_stages(options, scope.fleet_option) for problem in one.diagnosis.problems)
    return replace(one.diagnosis, problems=problems)


def _read(stage: Stage, assembly: Path | None) -> StageStatus:
    found = health.read_health(stage, assembly)
    return StageStatus(stage=stage, health=found, diagnosis=diagnose(stage, found, now()))


def _with_lists_compared(results: Results[StageStatus]) -> Results[StageStatus]:
    """The results with the problems that only all stages together show."""
    found = compare_lists({done.stage: done.value.health.enrollment for done in results.done})

    def add(stage: Stage, one: StageStatus) -> StageStatus:
        if stage not in found:
            return one
        problems = sorted((*one.diagnosis.problems, found[stage]), key=lambda problem: problem.severity)
        return replace(one, diagnosis=replace(one.diagnosis, problems=tuple(problems)))

    return replace(results, done=tuple(replace(done, value=add(done.stage, done.value)) for done in results.done))


def _assembly(scope: Scope) -> tuple[Path | None, str | None]:
    """The assembly beside the fleet file, or why it cannot be compared."""
    found = scope.fleet.path.parent / "cdk.out"
    manifest = found / "manifest.json"
    if not manifest.exists():
        return None, "`make synth` makes cdk.out, or name it with --assembly"
    if manifest.stat().st_mtime < scope.fleet.path.stat().st_mtime:
        return None, f"{found} is older than {scope.fleet.path}, so `make synth` first"
    return found, None
