"""`jitrctl fleet survey`: what certificates, things, policies and handlers there are."""

from __future__ import annotations

import shlex
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError

from jitr.errors import NotPermitted
from jitrctl.commands.fleet.survey_view import show_findings, to_document
from jitrctl.errors import Refused
from jitrctl.run.parallel import Results, describe_error
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.pace import turns_in
from jitrctl.session.stage import choose
from jitrctl.survey.calls import PatientCalls
from jitrctl.survey.file import SurveyFile
from jitrctl.survey.steps import StageSurvey
from jitrctl.survey.summary import summarize
from jitrctl.terminal import Exit, err, print_error, rough

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jitrctl.session.stage import Stage
    from jitrctl.survey.summary import Findings

    _Found = tuple[Findings, dict[str, int]]  # with the calls that were made


@over_stages
def survey(
    scope: Scope,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The survey's file, which keeps its place.")],
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the survey in FILE.")] = False,
) -> None:
    """Survey certificates, things, policies and handlers in all accounts; changes nothing, and needs no stack.

    How each certificate came to be registered is inferred, and the evidence is named. The lists are made first; then it
    says how many calls the rest takes, and how long, at four fifths of AWS's default quotas. `jitrctl fleet adopt plan`
    makes a plan of what it found.

    Example: jitrctl fleet survey dev.survey --account dev
    """
    fleet = scope.fleet.name
    kept = SurveyFile.existing(file, fleet) if resume else SurveyFile.create(file, fleet)
    run = _Run(scope, kept, _describe_again(scope, file))
    err.print(
        "Listing takes one call for each 250 certificates, things and policies, one for each 250 certificates of a CA, "
        "and one for each CA, provisioning template and rule on registrations.",
        style="dim",
    )
    listed = scope.across(run.begin, doing=lambda: run.progress("listing"), interrupted=run.interrupted)
    for done in listed.done:
        err.print(f"{done.stage}: {run.announce(done.stage)}.", markup=False, soft_wrap=True)
    results = run.finish([done.stage for done in listed.done])
    is_interrupted = run.interrupted.is_set() and len(results.done) < len(scope.stages)
    if is_interrupted and not (listed.failed or results.failed):
        err.print(f"Listed, and not surveyed: {run.again}.", markup=False, soft_wrap=True)

    def show() -> None:
        for done in results.done:
            show_findings(done.stage, done.value[0])

    try:
        scope.report(
            results,
            show=show,
            fields=lambda value: to_document(*value),
            failed=listed.failed,
            ok=not is_interrupted,
            file=str(file),
        )
    except typer.Exit:
        if is_interrupted:
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


class _Run:
    """The surveys of all stages of a command."""

    def __init__(self, scope: Scope, file: SurveyFile, again: str) -> None:
        self._scope, self._file, self.again = scope, file, again
        self.interrupted = threading.Event()
        self._surveys: dict[Stage, StageSurvey] = {}
        self._in_all = 0  # calls, once they are known

    def begin(self, stage: Stage) -> None:
        """Make the lists of a stage."""

        def report(text: str) -> None:
            print_error(f"{stage}: {text}.")

        turns = partial(turns_in(stage).wait, "DescribeCertificate")
        calls = PatientCalls(turns, again=self.again, interrupted=self.interrupted, report=report)
        self._surveys[stage] = StageSurvey(stage, self._file, calls)
        self._carry_out(self._surveys[stage].list_all)

    def announce(self, stage: Stage) -> str:
        """What is still to be called in a stage, and how long that takes."""
        one = self._surveys[stage]
        calls = one.count_calls()
        self._in_all += one.calls_in_all + sum(calls.values())
        return _in_words(calls, one.seconds(calls))

    def finish(self, stages: Sequence[Stage]) -> Results[_Found]:
        """Ask about each thing, policy and certificate in these stages, unless Ctrl-C was hit."""
        if self.interrupted.is_set():
            return Results(done=(), failed=())

        def finish(stage: Stage) -> _Found:
            self._carry_out(self._surveys[stage].ask_each)
            return summarize(stage, self._file), self._surveys[stage].calls_made

        return self._scope.across(
            finish, doing=lambda: self.progress("surveying"), stages=stages, interrupted=self.interrupted
        )

    def progress(self, doing: str) -> str:
        """How many calls were made, and of how many."""
        made = sum(one.calls_in_all for one in list(self._surveys.values()))
        of_all = f" of about {max(self._in_all, made):,}" if self._in_all else ""
        return f"{doing}: {made:,}{of_all} calls"

    def _carry_out(self, steps: Callable[[], None]) -> None:
        """Raises Refused, with how the survey goes on, where AWS refuses a call; Interrupted."""
        try:
            steps()
        except (NotPermitted, ClientError) as error:
            raise Refused(f"{describe_error(error)}; {self.again}") from error


def _in_words(calls: Mapping[str, int], seconds: float) -> str:
    words = {
        "ListTargetsForPolicy": " (one more for each further 250 targets of a policy)",
        "DescribeCertificate": " at most",
    }
    parts = ", ".join(f"{number:,} {name}{words.get(name, '')}" for name, number in calls.items() if number)
    if not parts:
        return "no calls are left to make"
    return (
        f"calls to make: {parts}, and one ListThingsInThingGroup for each 250 things of a group that has a policy; "
        f"about {rough(timedelta(seconds=seconds))}"
    )


def _describe_again(scope: Scope, file: Path) -> str:
    """How an unfinished survey of this scope goes on."""
    words, everywhere = [str(file), "--resume"], choose(scope.fleet, (), ())
    chosen = {str(stage) for stage in scope.stages}
    accounts = dict.fromkeys(stage.account.name for stage in scope.stages)
    if chosen != {str(stage) for stage in everywhere}:
        words += [word for name in accounts for word in ("--account", name)]
    if chosen != {str(stage) for stage in everywhere if stage.account.name in accounts}:
        regions = dict.fromkeys(stage.region for stage in scope.stages)
        words += [word for name in regions for word in ("--region", name)]
    return f"`jitrctl fleet survey {shlex.join(words)}{scope.fleet_option}` goes on from there"
