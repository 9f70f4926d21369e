"""Prints `jitrctl fleet status` for people: the verdict, the problems with their cures, the table, the notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from jitrctl.ca.plan import differences
from jitrctl.clock import now
from jitrctl.queues.dead_letters import LetterQueue
from jitrctl.run.stage_options import stage_options
from jitrctl.status.deployment import GOOD_STACK
from jitrctl.status.diagnosis import in_words
from jitrctl.terminal import err, grouped, out, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage
    from jitrctl.status.diagnosis import Diagnosis
    from jitrctl.status.health import Health
    from jitrctl.status.problems import Problem

_MOST_NAMED = 5  # stages in a line; --json has all
_INDENT = "    "
_GAP = 2  # between columns, as `table` has it


def show_verdict(stages: int, *, in_need: int, in_part: int, not_read: int, without: Sequence[str]) -> None:
    """Print the first line: OK, or NOT OK with the numbers of stages that need the operator or were not read.

    `in_part` counts the stages in which nothing is wrong but what could not be read; `without` names what could not be
    read, in any stage, and decides nothing.
    """
    is_ok = not (in_need or in_part or not_read)
    ok = f"OK, except what was not read: {', '.join(without)}" if without else None
    text = (
        ok or f"OK: {_count(stages, stages, 'needs nothing', 'need nothing')}"
        if is_ok
        else "NOT OK: "
        + ", ".join(
            _count(count, stages, *words)
            for count, *words in (
                (in_need, "needs you", "need you"),
                (in_part, "could not be read wholly", "could not be read wholly"),
                (not_read, "could not be read", "could not be read"),
            )
            if count
        )
    )
    style = ("green" if is_ok else "red") if out.is_terminal else ""
    out.print(Text(f"{text}.", style=style), soft_wrap=True)
    out.print()


def _count(some: int, stages: int, singular: str, plural: str) -> str:
    """2 of 3 stages need you; the stage needs nothing."""
    if stages == 1:
        return f"the stage {singular}"
    return f"{some} of {stages} stages {singular if some == 1 else plural}"


def show_problems(scope: Scope, found: Sequence[tuple[Stage, Problem]]) -> None:
    """Print the problems, the worst first; one of several stages is one line, when one command cures it there."""
    stages: dict[Problem, list[Stage]] = {}
    for stage, problem in sorted(found, key=lambda one: one[1].severity):
        stages.setdefault(problem, []).append(stage)
    for problem, concerned in stages.items():
        where = stage_options(concerned, scope.fleet)
        if where is None and problem.depends_on_stage:
            for stage in concerned:
                options = stage_options([stage], scope.fleet) or ""
                _show_problem(problem.for_stages(options, scope.fleet_option), [stage])
        else:
            _show_problem(problem.for_stages(where or "", scope.fleet_option), concerned)
    if found:
        out.print()


def _show_problem(problem: Problem, stages: Sequence[Stage]) -> None:
    named = ", ".join(map(str, stages[:_MOST_NAMED]))
    more = f" and {len(stages) - _MOST_NAMED} more" if len(stages) > _MOST_NAMED else ""
    out.print(f"{named}{more}: {problem.text}.", markup=False, soft_wrap=True)
    for cure in problem.cures:
        out.print(f"{_INDENT}{cure}", markup=False, soft_wrap=True)
    if problem.link:
        out.print(f"{_INDENT}{problem.link}", markup=False, soft_wrap=True)


def show_table(found: Sequence[tuple[Stage, Health]]) -> None:
    """Print a row for each stage."""
    out.print(table(fit_stages([_row(str(stage), one) for stage, one in found], out.width)))


def fit_stages(rows: Sequence[Mapping[str, str]], width: int) -> Sequence[Mapping[str, str]]:
    """The rows, whose stages may break between account and Region when the table is wider than `width` columns."""
    needed = sum(max(len(name), *(len(row[name]) for row in rows)) + _GAP for name in rows[0])
    if needed <= width:
        return rows
    return [{**row, "stage": row["stage"].replace("/", "/ ")} for row in rows]


def _row(stage: str, one: Health) -> dict[str, str]:
    present = now()
    last = one.sweep.last_run
    return {
        "stage": stage,
        "deployed": _deployed(one, present),
        "CAs": f"{sum(not differences(state) for state in one.cas)}/{len(one.cas)}",
        "function": one.function_state,
        "waiting": _number(one.waiting) + (f", {in_words(one.oldest)}" if one.oldest else ""),
        "dead": _number(one.letters.get(LetterQueue.DEAD)),
        "undelivered": _number(one.letters.get(LetterQueue.UNDELIVERED)),
        "swept": in_words(present - last.finished_at) if last else "never",
    }


def _deployed(one: Health, present: datetime) -> str:
    if one.stack not in GOOD_STACK:
        return one.stack or "no"
    return in_words(present - one.deployed_at) if one.deployed_at else "yes"


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def show_notes(found: Sequence[tuple[Stage, Health, Diagnosis]]) -> None:
    """Print the notes that need no action."""
    notes = [(str(stage), note) for stage, _, diagnosis in found for note in diagnosis.notes]
    for line in grouped(notes):
        out.print(line, style="dim", markup=False, soft_wrap=True)
    quiet = [str(stage) for stage, one, _ in found if one.iot_logging is None]
    if quiet:
        out.print(
            f"AWS IoT logs nothing in {', '.join(quiet)}: failed registrations leave no trace there.",
            style="dim",
            soft_wrap=True,
        )


def show_templates(not_compared: str | None) -> None:
    """Print why templates were not compared, if they were not."""
    if not_compared:
        err.print(f"Templates were not compared: {not_compared}.", style="dim", markup=False, soft_wrap=True)
