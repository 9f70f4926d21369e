"""`jitrctl prove`: what AWS really does, asked in the user's own accounts."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError

from jitrctl.errors import Interrupted, Refused
from jitrctl.prove import journal as journals
from jitrctl.prove import opening, report, runner
from jitrctl.prove.journal import Journal
from jitrctl.prove.probes import PROBES
from jitrctl.prove.run import Run
from jitrctl.prove.surroundings import refuse_production
from jitrctl.run.scope import Scope, Yes, over_unproven_stages
from jitrctl.session.aws_errors import DENIED, explain
from jitrctl.session.stage import Stage
from jitrctl.terminal import Exit, err, out, print_error, print_json, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.prove.journal import JournalEntry
    from jitrctl.prove.place import ProvePlace
    from jitrctl.prove.probe import NotAnswered
    from jitrctl.prove.runner import ProbeOutcome


@over_unproven_stages
def prove(
    scope: Scope,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PROBE", help="Only this probe; may be repeated.")
    ] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="Say what each probe asks, and do nothing.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave what was made; --clean, or the next run, deletes it.")
    ] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Delete what earlier runs left, and do nothing else.")] = False,
    bursts: Annotated[bool, typer.Option("--bursts", help="Also the probe that calls until AWS throttles.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="These accounts are for trying things, whatever is in them.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Find out in one or two accounts of your own what AWS does where its documentation does not say.

    Makes CAs, devices, things and policies that live for minutes, connects real MQTT devices, and deletes everything.
    An account that holds a jitr stack, a rule on registration events or an ACTIVE CA is refused without --sandbox. The
    plan, its cost and its time are shown first. A journal below .prove, beside the fleet file, names each thing before
    it is made; nothing else is changed or deleted.

    Exit code 1 when a probe failed, or AWS refuses to delete something; an answer other than assumed is no failure.

    Example: jitrctl prove --account dev --account prod --json > docs/measured/2026-12-01.json
    """
    if listed:
        _list(scope)
        return
    folder = scope.fleet.path.parent / journals.FOLDER
    with journals.lock_folder(folder), _terminated_as_interrupted():
        try:
            if clean:
                _clean_earlier(scope, folder)
                return
            _prove(
                scope,
                opening.choose_region(scope.stages),
                folder,
                only=only or (),
                keep=keep,
                bursts=bursts,
                sandbox=sandbox,
                yes=yes,
            )
        except ClientError as error:
            if error.response["Error"].get("Code") in DENIED:
                raise Refused(f"{explain(error)}; policies/operators/prove.json has all that is needed") from error
            raise
        except KeyboardInterrupt:  # where nothing is made, or once more while cleaning was about to begin
            left = sum(len(journal.entries) for journal in journals.read_earlier(folder))
            what = (
                f"the journals name {left} things: `jitrctl prove --clean` deletes them" if left else "nothing is left"
            )
            raise Interrupted(f"interrupted; {what}") from None


def _prove(
    scope: Scope,
    stages: Sequence[Stage],
    folder: Path,
    *,
    only: Sequence[str],
    keep: bool,
    bursts: bool,
    sandbox: bool,
    yes: bool,
) -> None:
    cannot = opening.list_unanswerable(stages[0], PROBES)
    probes, left_out = runner.choose(PROBES, only=only, accounts=len(stages), bursts=bursts, cannot=cannot)
    earlier = journals.read_earlier(folder)
    time = opening.RealTime()
    began = time.now()
    with ExitStack() as stack:
        journal = Journal.begin(folder, f"jitr-prove-{secrets.token_hex(4)}", began)
        stack.callback(journal.close)  # only a file without entries goes
        private = stack.enter_context(TemporaryDirectory(prefix=f"{journal.run}-", dir=folder))  # devices' keys
        places = tuple(_open(stage, journal, Path(private), time) for stage in stages)
        if not sandbox:
            left = (entry.ids for one in earlier for entry in one.entries)
            refuse_production(places, frozenset().union(*left))
        for place in places:
            place.devices.check()
        plan = [
            f"Earlier runs left {len(one.entries)} things (run {one.run}); they are deleted first." for one in earlier
        ]
        plan += report.plan(journal.run, [place.label for place in places], probes, left_out)
        scope.confirm(plan, yes=yes)
        outcome = runner.ProbeOutcome()
        _clean_journals(scope, earlier, outcome)
        run = Run(journal=journal, places=places, time=time, other_region=opening.other_region(stages[0]))
        if not outcome.interrupted:
            runner.carry_out(run, probes, outcome, tell=_tell, keep=keep)
        if scope.as_json:
            on_aws = stages[0].access.elsewhere is None
            print_json(report.document(run, outcome, began=began, on_aws=on_aws, left_out=left_out))
        else:
            _show(outcome, left_out)
        _end(outcome, folder, keep=keep)


def _open(stage: Stage, journal: Journal, private: Path, time: opening.RealTime) -> ProvePlace:
    """Raises Unusable, AccessError, botocore's errors."""
    own = private / stage.account.name
    own.mkdir(mode=0o700)
    return opening.open_place(stage, journal, opening.open_devices(stage, own), time)


def _clean_earlier(scope: Scope, folder: Path) -> None:
    outcome = runner.ProbeOutcome()
    earlier = journals.read_earlier(folder)
    named = sum(len(journal.entries) for journal in earlier)
    _clean_journals(scope, earlier, outcome)
    if scope.as_json:
        print_json({"ok": outcome.ok and not outcome.left, "named": named, "left": [str(one) for one in outcome.left]})
    else:
        out.print(
            f"The journals named {named} things; {sum(outcome.calls.values())} calls; {len(outcome.left)} things left."
        )
    _end(outcome, folder, keep=False)


def _clean_journals(scope: Scope, earlier: Sequence[Journal], outcome: ProbeOutcome) -> None:
    """Clean what earlier journals name, in whichever accounts of the fleet file that is."""
    time = opening.RealTime()
    for journal in earlier:
        places = []
        for account, region in dict.fromkeys((entry.account, entry.region) for entry in journal.entries):
            stage = _stage_of(scope, account, region)
            if stage is not None:
                places.append(opening.open_place(stage, journal, _NoDevices(), time))
        if not outcome.interrupted:
            runner.clean(places, journal, outcome, time=time)
        for place in places:
            outcome.calls.update(place.guard.calls)
        for entry in journal.entries:
            if not any((entry.account, entry.region) == (place.account, place.region) for place in places):
                journal.keep_refusal(entry, "the fleet file has no such account")
                outcome.refused.append(entry)
        outcome.left += journal.entries
        for keys in journal.path.parent.glob(f"{journal.run}-*/"):  # which a SIGKILL left
            shutil.rmtree(keys, ignore_errors=True)


class _NoDevices:
    """Cleaning connects none."""

    def check(self) -> None: ...

    def connect(self, *_: object, **__: object) -> str:
        raise AssertionError("cleaning connects no device")


def _stage_of(scope: Scope, account: str, region: str) -> Stage | None:
    known = next((one for one in scope.fleet.accounts if one.id == account), None)
    return Stage(fleet=scope.fleet, account=known, region=region) if known else None


def _list(scope: Scope) -> None:
    if scope.as_json:
        print_json({"probes": [{"probe": one.name, "question": one.question, "method": one.method} for one in PROBES]})
        return
    out.print(table([{"probe": one.name, "question": one.question, "how": one.method} for one in PROBES]))


def _show(outcome: ProbeOutcome, left_out: Sequence[NotAnswered]) -> None:
    if outcome.answers:
        if rows := report.rows(outcome):
            out.print(table(rows))
        for line in report.notes(outcome):
            out.print(line, markup=False, soft_wrap=True)
    for one in (*left_out, *(one for one in outcome.not_answered if not one.failed)):
        what = f" ({one.what})" if one.what else ""
        out.print(f"not answered: {one.probe.name}{what}: {one.why}", markup=False, soft_wrap=True)
    for one in outcome.not_answered:
        if one.failed:
            print_error(f"{one.probe.name} failed: {one.why}")
    out.print(f"{report.summary(outcome)}.", markup=False, soft_wrap=True)


def _end(outcome: ProbeOutcome, folder: Path, *, keep: bool) -> None:
    """Say what is left, and end with the exit code.

    Raises Interrupted, typer.Exit.
    """
    for entry in outcome.refused:
        print_error(f"{entry} could not be deleted: {entry.refused}")
    if outcome.left and not keep:
        print_error(f"{_count(outcome.left)} left, in the journals of {folder}: `jitrctl prove --clean` tries again")
    elif outcome.left:
        err.print(f"{_count(outcome.left)} kept: `jitrctl prove --clean` deletes them.", soft_wrap=True)
    if outcome.interrupted:
        raise Interrupted(
            "interrupted: everything that was made is deleted again" if not outcome.left else "interrupted"
        )
    if not outcome.ok:
        raise typer.Exit(Exit.FAILED)


def _count(left: Sequence[JournalEntry]) -> str:
    return "1 thing is" if len(left) == 1 else f"{len(left)} things are"


def _tell(text: str) -> None:
    """Say how far it is; not through rich, which says a line again when Ctrl-C comes within it."""
    sys.stderr.write(f"{text} …\n")
    sys.stderr.flush()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Clean after SIGTERM, and where the terminal is closed, too, as after Ctrl-C."""
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
