"""Defines once what every command on the fleet takes and prints: --account, --region, --fleet and --json.

    @over_stages
    def where(scope: Scope, certificate: Certificate) -> None:
        results = scope.across(lambda stage: ..., doing="asking AWS IoT")
        scope.report(results, rows=lambda stage, value: [{"status": value}], fields=lambda value: {"status": value})

`over_stages` replaces the parameter `scope` by these four options for Typer, and loads the fleet file before it calls
the command. Options of several commands, but not of all, are defined here for their signatures: `yes: Yes = False`.
"""

from __future__ import annotations

import functools
import inspect
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from jitr.store.registry_items import from_verdict
from jitr_fleet.parse import load
from jitrctl.errors import Declined, Interrupted, Unusable
from jitrctl.run import completion
from jitrctl.run.fleet_file import ChosenBy, find_fleet_file
from jitrctl.run.parallel import Failed, Results, across, open_all
from jitrctl.session.stage import Stage, choose, known_ca, known_origin, only
from jitrctl.terminal import (
    Exit,
    can_ask,
    confirmed,
    err,
    grouped,
    keep_warning,
    out,
    print_error,
    print_json,
    table,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from jitr_fleet.model import Fleet

T = TypeVar("T")

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; for scripts.")]
LONGEST_NOTE = 1_000  # characters; many orders share one DynamoDB item of 400 KB at most
Note = Annotated[str, typer.Option(help="Why; kept with the order.", metavar="TEXT")]

_Accounts = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        metavar="NAME",
        help="Only this account of the fleet file; may be repeated.",
        autocompletion=completion.accounts,
    ),
]
_Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region", metavar="REGION", help="Only this Region; may be repeated.", autocompletion=completion.regions
    ),
]
_Account = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        metavar="NAME",
        help="This account of the fleet file; one for each run.",
        autocompletion=completion.accounts,
    ),
]
_Region = Annotated[
    list[str] | None,
    typer.Option(
        "--region", metavar="REGION", help="This Region; one for each run.", autocompletion=completion.regions
    ),
]
FLEET_HELP = (
    "The fleet file. Without it: the file that JITR_FLEET names; in a shell of the local AWS, its own; fleet.toml in "
    "this folder, or .local/fleet.toml where only that is and its local AWS runs."
)
FleetOption = Annotated[Path | None, typer.Option("--fleet", metavar="FILE", help=FLEET_HELP)]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
_OPTIONS = [
    inspect.Parameter("account", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Accounts),
    inspect.Parameter("region", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Regions),
    inspect.Parameter("fleet", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=FleetOption),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Json),
]
_OF_ONE_STAGE = [
    inspect.Parameter("account", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Account),
    inspect.Parameter("region", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Region),
]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The stages that a command works on, and the form of its output."""

    fleet: Fleet
    stages: tuple[Stage, ...]
    as_json: bool
    fleet_option: str = ""  # ` --fleet FILE`, for commands to paste, when the file was named by it
    _reported: set[Stage] = field(default_factory=set)  # the stages whose endpoint, not AWS, was reported

    def only_stage(self) -> Stage:
        """The one stage, for commands that work on one only.

        Raises AccessError when several are chosen.
        """
        return only(self.stages)

    def across(
        self,
        work: Callable[[Stage], T],
        *,
        doing: str | Callable[[], str],
        stages: Sequence[Stage] | None = None,
        interrupted: threading.Event | None = None,
    ) -> Results[T]:
        """Do the work in all stages of the scope, or only in `stages`; see `jitrctl.run.parallel.across`."""
        try:
            results = across(self.stages if stages is None else stages, work, doing=doing, interrupted=interrupted)
        except Interrupted:
            self._warn()  # there will be no report
            raise
        self._say_where(results)
        return results

    def open_stages(self) -> tuple[tuple[Stage, ...], tuple[Failed, ...]]:
        """Open every stage before anything is changed; returns those that are open, and those that failed.

        Raises WrongAccount, Unusable.
        """
        results = open_all(self.stages)
        self._say_where(results)
        return tuple(done.stage for done in results.done), results.failed

    def confirm(self, plan: Sequence[str], *, yes: bool) -> None:
        """Show what would be done, one line each, and ask for confirmation; `yes` (--yes) does not ask.

        Raises Declined when the answer is no; Unusable when there is no terminal to ask on.
        """
        for line in plan:
            err.print(line, markup=False, soft_wrap=True)
        if yes:
            return
        if not can_ask():
            raise Unusable("this changes things, and there is nobody to ask: look at the plan above, and say --yes")
        if not confirmed("Do it?"):
            raise Declined("nothing was done: the question was not answered with yes")

    def warn(self, warnings: Sequence[tuple[str, str]]) -> None:
        """Warn of something that the report does not say; each warning is a place, such as a stage, and a text.

        People read it at once on standard error, and --json has it in the document.
        """
        for place, text in warnings:
            keep_warning(f"{place}: {text}")
        for line in () if self.as_json else grouped(warnings):
            print_error(line)

    def report(
        self,
        results: Results[T],
        *,
        rows: Callable[[Stage, T], Sequence[Mapping[str, str]]] | None = None,
        show: Callable[[], None] | None = None,
        fields: Callable[[T], Mapping[str, Any]],
        failed: Sequence[Failed] = (),
        ok: bool = True,
        **top: Any,
    ) -> None:
        """Print the results of all stages, and exit with code 1 when one failed.

        For people: a table with the stage (account/Region) and the columns of `rows`, or what `show` prints; below it
        the stages that failed, with the error, and the warnings. `failed` are stages that failed in an earlier step.
        `ok=False` means exit code 1 although no stage failed. With --json, one document; a stage has "warnings" if
        there are any, and the document's "warnings" have those of all stages, and what `warn` was called with:

            {"ok": true, **top, "stages": [{"account": "dev", "region": "eu-central-1", "ok": true, **fields},
                                           {"account": "prod", "region": "us-east-1", "ok": false, "error": "…"}],
             "warnings": []}

        If a stage failed because of a colleague's verdict, it has that as "verdict".

        Raises typer.Exit (FAILED).
        """
        not_done = (*failed, *results.failed)
        ok = ok and not not_done and not self._warned
        if self.as_json:
            warnings = [f"{place}: {text}" for place, text in self._warned]
            print_json({"ok": ok, **top, "stages": self._documents(results, fields, not_done), "warnings": warnings})
        else:
            if show and results.done:
                show()
            shown = [
                {"stage": str(done.stage), **row}
                for done in results.done
                for row in (rows(done.stage, done.value) if rows else ())
            ]
            if shown:
                out.print(table(shown))
            if (not_done or self._warned) and results.done:
                err.print()
            for line in grouped([(str(one.stage), one.error) for one in not_done]):
                print_error(line)
            self._warn()
        if not ok:
            raise typer.Exit(Exit.FAILED)

    def _documents(
        self, results: Results[T], fields: Callable[[T], Mapping[str, Any]], failed: Sequence[Failed]
    ) -> list[dict[str, Any]]:
        """Each stage's part of the JSON document, in the fleet file's order."""
        documents: dict[Stage, dict[str, Any]] = {
            done.stage: {"ok": True, **fields(done.value)} for done in results.done
        }
        documents |= {
            one.stage: {"ok": False, "error": one.error}
            # of the colleague who was faster
            | ({"verdict": from_verdict(verdict)} if (verdict := getattr(one.cause, "verdict", None)) else {})
            for one in failed
        }
        return [
            {
                "account": stage.account.name,
                "region": stage.region,
                **documents[stage],
                **({"warnings": list(stage.warnings)} if stage.warnings else {}),
            }
            for stage in self.stages
            if stage in documents
        ]

    @property
    def _warned(self) -> list[tuple[str, str]]:
        return [(str(stage), warning) for stage in self.stages for warning in stage.warnings]

    def _warn(self) -> None:
        """Print the stages' warnings, and keep them for the document of a failure."""
        for place, text in self._warned:
            keep_warning(f"{place}: {text}")
        for line in grouped(self._warned):
            print_error(line)

    def _say_where(self, results: Results[Any]) -> None:
        """Report the stages whose calls do not go to AWS, once each."""
        fresh = [done.stage for done in results.done if done.stage.is_open and done.stage not in self._reported]
        self._reported.update(fresh)
        elsewhere = [(str(stage), f"{stage.access.elsewhere}, not AWS") for stage in fresh if stage.access.elsewhere]
        for line in grouped(elsewhere):
            err.print(line, style="dim", markup=False, soft_wrap=True)


def over_unproven_stages(command: Callable[..., None]) -> Callable[..., None]:
    """Like `over_stages`, for commands that need no verification certificates."""
    return over_stages(command, proven=False)


def over_stages_offline(command: Callable[..., None]) -> Callable[..., None]:
    """Like `over_stages`, for commands that call nothing."""
    return over_stages(command, offline=True)


def load_fleet(named: Path | None, *, proven: bool = True, offline: bool = False) -> tuple[Fleet, str]:
    """The fleet that a command is about, and the option that names its file, for commands to paste.

    `named` is the value of --fleet. Without it, standard error says whose fleet it is.

    Raises FleetError, Unusable, LocalAwsError.
    """
    found = find_fleet_file(named, offline=offline)
    fleet = load(found.path, proven=proven)
    if found.chosen_by is ChosenBy.OPTION:
        return fleet, f" --fleet {shlex.quote(str(found.path))}"
    err.print(found.describe(fleet.name), style="dim", markup=False, soft_wrap=True)
    return fleet, ""


def over_stages(
    command: Callable[..., None],
    *,
    proven: bool = True,
    offline: bool = False,
    one_stage: bool = False,
    without_file: Callable[[Mapping[str, Any], Mapping[str, Any]], Fleet | None] = lambda _own, _chosen: None,
) -> Callable[..., None]:
    """Decorate a command: Typer sees the four options in place of the parameter `scope`, which is made from them.

    With `proven=False` the fleet file may name verification certificates that do not exist yet; see
    `jitr_fleet.parse.load`. `offline` says that the command calls nothing, `one_stage` that it takes one account and
    Region: the help says so, and the command refuses several itself. `without_file` makes the fleet from the command's
    own options and these four, where there is no fleet file; None: there is one.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "scope"
    ]

    @functools.wraps(command)
    def with_scope(**arguments: Any) -> None:
        if len(note := arguments.get("note") or "") > LONGEST_NOTE:
            raise Unusable(
                f"the note is {len(note):,} characters long, and may have {LONGEST_NOTE:,}: say it shorter, or where "
                "it is written down"
            )
        chosen = {option.name: arguments.pop(option.name) for option in _OPTIONS}
        made = without_file(arguments, chosen)
        fleet, fleet_option = (made, "") if made else load_fleet(chosen["fleet"], proven=proven, offline=offline)
        stages = choose(fleet, chosen["account"] or (), chosen["region"] or ())
        # The option --ca of several commands; checked before any account is opened.
        for name in _as_list(arguments.get("ca")):
            known_ca(fleet, name)
        for name in _as_list(arguments.get("origin")):  # likewise, where sources are meant too
            known_origin(fleet, name)
        command(
            scope=Scope(fleet=fleet, stages=stages, as_json=chosen["as_json"], fleet_option=fleet_option), **arguments
        )

    options = [*_OF_ONE_STAGE, *_OPTIONS[len(_OF_ONE_STAGE) :]] if one_stage else _OPTIONS
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *options]
    with_scope.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
    with_scope.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_scope


def _as_list(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else names or []
