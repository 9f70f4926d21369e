"""`jitrctl device import`: registers the certificates of lists and makers' manifests, in all accounts."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.import_order import ImportOrder
from jitrctl.audit.record import audited
from jitrctl.commands.list_reading import Files, SignerFiles, list_name, read_lists, write_refused_again
from jitrctl.device.certificate_rows import read_certificates
from jitrctl.device.import_plan import ImportPlan, plan_import
from jitrctl.device.imports import Imported, StageImport
from jitrctl.errors import Interrupted, Unusable
from jitrctl.run import completion
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import known_ca
from jitrctl.terminal import Exit, err, out, rough

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jitr_fleet.model import Ca
    from jitrctl.run.parallel import Done
    from jitrctl.session.stage import Stage

_SHOWN = 20  # certificates that are not imported; --json has all


class _StoppedEarly(Exception):
    """An import left certificates that it did not begin."""


@over_stages
def import_(
    scope: Scope,
    files: Files,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The source in the fleet file; needed where an account has several."),
    ] = None,
    with_ca: Annotated[
        str | None,
        typer.Option(
            metavar="CA",
            help="Register them under this CA of the fleet file, which has signed them; instead of without a CA.",
            autocompletion=completion.cas,
        ),
    ] = None,
    note: Note = "",
    signer: SignerFiles = None,
    refused: Annotated[
        Path | None,
        typer.Option(
            "--refused",
            metavar="FILE",
            help="Write rows that cannot be used or that an account refuses into this file, with the reason.",
        ),
    ] = None,
    *,
    may_follow: Annotated[
        bool,
        typer.Option(
            "--may-follow", help="They may take over thing names from any certificate that was issued earlier."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and show what would be done.")] = False,
    yes: Yes = False,
) -> None:
    """Register certificates before they connect: without a CA (Multi-Account Registration), or under one (--with-ca).

    In every account that has the source, or the CA. Each passes the checks of its source or CA, gets its thing, groups
    and policy, and is set ACTIVE last, so that its first connection is accepted. What is imported already is left as it
    is: run it again after an interruption, or for one more account. A certificate that is registered in another way is
    reported and never changed. Takes the lists and manifests of `enrollment import`, as far as they hold certificates.

    Example: jitrctl device import manifest.json --signer microchip.crt --account prod
    """
    if source is not None and with_ca is not None:
        raise Unusable("say one of --source and --with-ca")
    scope = _narrow(scope, source) if with_ca is None else _narrow_to_ca(scope, known_ca(scope.fleet, with_ca))
    found = read_lists(files, signer or (), refused, read_certificates)
    stages, not_opened = scope.open_stages()
    planned = _plan(scope, stages, found.certificates, with_ca or source)
    plans = {done.stage: done.value for done in planned.done}
    if any(plan.todo for plan in plans.values()) and not dry_run:
        scope.confirm(_describe(list_name(files), plans, found.unverified, may_follow=may_follow), yes=yes)

    def make_order(stage: Stage, at: datetime) -> ImportOrder:
        named = plans[stage].source.certificate_id
        return ImportOrder(source=named, by=stage.caller, at=at, note=note, may_follow=may_follow)

    results = _import(scope, plans, found.certificates, make_order, note=note, may_follow=may_follow, dry_run=dry_run)
    refused_rows = found.refused
    if refused is not None and (not_imported := _why_not_imported(results.done)):
        read = partial(read_certificates, not_imported=not_imported)
        refused_rows = write_refused_again(files, signer or (), refused, read) or refused_rows

    def show_results() -> None:
        for done in results.done:
            out.print(f"{done.stage}: {_in_words(done.value, dry_run=dry_run)}", markup=False, soft_wrap=True)
            for line in _problems(done.value):
                out.print(f"  {line}", markup=False, soft_wrap=True)

    try:
        scope.report(
            results,
            show=show_results,
            fields=lambda one: _document(one, dry_run=dry_run),
            failed=(*not_opened, *planned.failed),
            ok=not found.refused and all(done.value.is_complete for done in results.done),
            certificates=len(found.certificates),
            refused_rows=refused_rows,
            refused_file=str(refused) if refused_rows else None,
        )
    except typer.Exit:
        not_begun = any(isinstance(one.cause, Interrupted) for one in results.failed)
        if not_begun or any(done.value.is_interrupted for done in results.done):
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


def _plan(scope: Scope, stages: Sequence[Stage], certificates: Mapping[str, bytes], source: str | None) -> Any:
    """The plans of all stages, with the progress of all; Results[ImportPlan]."""
    checked = dict.fromkeys(stages, 0)
    most = len(certificates) * len(stages)

    def work(stage: Stage) -> ImportPlan:
        def tell(number: int) -> None:
            checked[stage] = number

        return plan_import(stage, certificates, source, tell=tell)

    return scope.across(
        work, doing=lambda: f"checking certificates: {sum(checked.values()):,} of {most:,}", stages=stages
    )


def _describe(lists: str, plans: Mapping[Stage, ImportPlan], unverified: int, *, may_follow: bool) -> list[str]:
    """What is asked about before anything is registered."""
    under = {"without a CA" if one.source.is_source else f"under CA {one.source.name}" for one in plans.values()}
    lines = [
        f"Certificates of {lists} are registered {', '.join(under)}. Those that pass the checks become ACTIVE devices."
    ]
    if may_follow:
        lines.append("They may take over thing names from any certificate that was issued earlier (--may-follow).")
    if unverified:
        lines.append(f"The signatures of {unverified:,} rows were not verified (--signer).")
    return lines + [f"  {stage} as {stage.caller}  {_plan_in_words(plan)}" for stage, plan in plans.items()]


def _why_not_imported(done: Sequence[Done[Imported]]) -> dict[str, str]:
    """By certificate id: which stages refuse it, and why; not what was held, which comes in by itself."""
    found: dict[str, str] = {}
    for one in done:
        for certificate_id, why in {**one.value.plan.refused, **one.value.refused}.items():
            said = f"{one.stage}: {why}"
            found[certificate_id] = f"{found[certificate_id]}; {said}" if certificate_id in found else said
    return found


def _narrow(scope: Scope, source: str | None) -> Scope:
    """The scope without the accounts that have no source, or not this one.

    Raises Unusable when the fleet has no such source, or none of the accounts has it.
    """
    known = [one.name for one in scope.fleet.sources]
    if source is not None and source not in known:
        raise Unusable(f"the fleet has no source {source}: it has {', '.join(known) or 'none'}")
    wanted = known if source is None else [source]
    stages = tuple(stage for stage in scope.stages if any(one.name in wanted for one in stage.account.sources))
    what = f"source {source}" if source else "source"
    if not stages:
        name = source or "NAME"
        raise Unusable(
            f"none of the chosen accounts has a {what}: add registered.{name} = {{}} to the account in the fleet file, "
            "and deploy"
        )
    if left_out := dict.fromkeys(stage.account.name for stage in scope.stages if stage not in stages):
        err.print(f"left out, without a {what}: {', '.join(left_out)}", style="dim", markup=False, soft_wrap=True)
    return replace(scope, stages=stages)


def _narrow_to_ca(scope: Scope, ca: Ca) -> Scope:
    """The scope without the accounts that do not have this CA.

    Raises Unusable when none of the accounts has it.
    """
    stages = tuple(stage for stage in scope.stages if any(one.ca == ca for one in stage.account.cas))
    if not stages:
        raise Unusable(f"none of the chosen accounts has the CA {ca.name}: correct --account or --with-ca")
    if left_out := dict.fromkeys(stage.account.name for stage in scope.stages if stage not in stages):
        err.print(f"left out, without CA {ca.name}: {', '.join(left_out)}", style="dim", markup=False, soft_wrap=True)
    return replace(scope, stages=stages)


def _import(
    scope: Scope,
    plans: Mapping[Stage, ImportPlan],
    certificates: Mapping[str, bytes],
    make_order: Any,
    *,
    note: str,
    may_follow: bool,
    dry_run: bool,
) -> Any:
    """Carry out the plans in all stages at once, with the progress of all; Results[Imported]."""
    interrupted = threading.Event()
    finished = dict.fromkeys(plans, 0)
    most = sum(len(plan.todo) for plan in plans.values())

    def work(stage: Stage) -> Imported:
        plan = plans[stage]
        if dry_run or not plan.todo:
            return Imported(plan=plan)

        def tell(number: int) -> None:
            finished[stage] = number

        step = f"register {_count(len(plan.todo))} {'without' if plan.source.is_source else 'under'} a CA"
        step += "; they may follow any certificate that was issued earlier" if may_follow else ""
        # The order in a certificate's record ends with the decision; this one stays.
        running = StageImport(
            stage, plan, certificates, lambda at: make_order(stage, at), interrupted=interrupted, tell=tell
        )
        with suppress(_StoppedEarly), audited(stage, "device import", plan.source.certificate_id, [step], note):
            running.run()
            if running.result.stopped:
                raise _StoppedEarly  # the order is announced as broken off, and what is done is reported
        if running.result.stopped:
            stage.warnings.append(running.result.stopped)
        return running.result

    def progress() -> str:
        return f"importing: {sum(finished.values()):,} of {most:,}"

    return scope.across(work, doing=progress, stages=list(plans), interrupted=interrupted)


def _count(number: int) -> str:
    return f"{number:,} {'certificate' if number == 1 else 'certificates'}"


def _plan_in_words(plan: ImportPlan) -> str:
    """A plan: source microchip: 12 to register, about 1 min, longer while new devices connect; 3 ACTIVE already."""
    parts = []
    if plan.todo:
        parts.append(f"{len(plan.todo):,} to register, about {rough(plan.takes)}, longer while new devices connect")
    if plan.done:
        parts.append(f"{plan.done:,} ACTIVE already")
    if plan.refused:
        parts.append(f"{len(plan.refused):,} refused")
    return f"{_origin_in_words(plan)}: {'; '.join(parts)}"


def _origin_in_words(plan: ImportPlan) -> str:
    return f"{'source' if plan.source.is_source else 'CA'} {plan.source.name}"


def _in_words(one: Imported, *, dry_run: bool) -> str:
    if dry_run or not one.plan.todo:
        return _plan_in_words(one.plan)
    parts = [f"{one.activated:,} became ACTIVE"]
    for number, what in (
        (one.plan.done, "ACTIVE already"),
        (len(one.held), "held, INACTIVE"),
        (one.waiting, "registered, and left to the functions and the sweep"),
        (len(one.plan.refused) + len(one.refused), "refused"),
        (one.not_begun, "not begun"),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    return f"{_origin_in_words(one.plan)}: {'; '.join(parts)}"


def _problems(one: Imported) -> list[str]:
    refused = [f"refused: {one_id} {why}" for one_id, why in {**one.plan.refused, **one.refused}.items()]
    every = [*refused, *(f"held, INACTIVE: {one_id} {why}" for one_id, why in one.held.items())]
    more = len(every) - _SHOWN
    return [*every[:_SHOWN], *([f"and {more:,} more, which --json has"] if more > 0 else [])]


def _document(one: Imported, *, dry_run: bool) -> dict[str, Any]:
    """A stage's part of the JSON document."""
    plan = one.plan
    refused = {**plan.refused, **one.refused}
    return {
        "source": plan.source.name,
        "planned": len(plan.todo),
        "done": plan.done,
        "activated": one.activated,
        "waiting": one.waiting,
        "not_begun": one.not_begun,
        "held": [{"certificate_id": one_id, "why": why} for one_id, why in one.held.items()],
        "refused": [{"certificate_id": one_id, "why": why} for one_id, why in refused.items()],
        "seconds": round(plan.takes.total_seconds()),
        "dry_run": dry_run,
    }
