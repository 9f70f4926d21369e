"""`jitrctl fleet copy-denials`: gives each chosen stage the denials that the fleet's other stages have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.device.denials import Copied, CopyPlan, Denials, copy, plan_copy, read_denials
from jitrctl.errors import Refused
from jitrctl.run import completion
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.run.parallel import Results
    from jitrctl.session.stage import Stage

_SHOWN = 20  # denials of a stage that the plan names; --json has all


@over_stages
def copy_denials(
    scope: Scope,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="ACCOUNT",
            help="Only from this account; may be repeated. Else from every other account and Region of the fleet.",
            autocompletion=completion.accounts,
        ),
    ] = None,
    *,
    yes: Yes = False,
) -> None:
    """Copy to accounts what they lack: denying entries; denied, deactivated and revoked devices; revoked CAs.

    For a new account, before its first CA is registered; `ca apply` does it then. What an account has already stays, so
    it can be repeated; what is allowed or ACTIVE there stays, too, and is reported. Refused while an account that may
    have denials cannot be asked.

    Exit code 1 when an account still lacks one, or a denied device is ACTIVE there.

    Example: jitrctl fleet copy-denials --account new
    """
    stages, failed = scope.open_stages()
    plans = plan_copies(scope, stages, source or ())
    to_do = [line for stage, one in plans.items() for line in plan_lines(stage, one)]
    if to_do:
        scope.confirm(["Copy, with the note who gave each, where and when:", *to_do], yes=yes)
    results = carry_out_copies(scope, plans)
    _report(scope, plans, results, failed)


def plan_copies(scope: Scope, stages: Sequence[Stage], accounts: Sequence[str]) -> dict[Stage, CopyPlan]:
    """What each of these stages lacks of the denials of the others, or only of those of these accounts.

    Raises Refused when a stage that may have denials cannot be asked, or one is to be written that is not deployed.
    """
    opened = {str(stage): stage for stage in scope.stages}
    sources = tuple(opened.get(str(one), one) for one in choose(scope.fleet, accounts, ()))
    everywhere = replace(scope, stages=sources)
    read = everywhere.across(read_denials, doing="reading denials", stages=sources)
    if read.failed:
        one = read.failed[0]
        raise Refused(f"{one.stage} cannot be asked for its denials ({one.error}): nothing was copied")
    found = {str(done.stage): done.value for done in read.done}
    planned = scope.across(lambda stage: _plan(stage, found), doing="comparing denials", stages=stages)
    if planned.failed:
        one = planned.failed[0]
        raise Refused(f"{one.stage}: {one.error}; nothing was copied")
    return {done.stage: done.value for done in planned.done}


def plan_lines(stage: Stage, one: CopyPlan) -> list[str]:
    """What is to be copied to a stage, a denial each."""
    lines = one.lines()
    more = len(lines) - _SHOWN
    return [f"  {stage}  {line}" for line in lines[:_SHOWN]] + ([f"  {stage}  and {more} more"] if more > 0 else [])


def carry_out_copies(scope: Scope, plans: Mapping[Stage, CopyPlan]) -> Results[Copied]:
    """Copy what each stage lacks."""
    return scope.across(lambda stage: copy(stage, plans[stage]), doing="copying denials", stages=list(plans))


def list_left(scope: Scope, plans: Mapping[Stage, CopyPlan], results: Results[Copied]) -> list[tuple[str, str]]:
    """What is left to do, as (stage, text), each with the commands, as Scope.warn takes them."""
    return [
        (str(done.stage), with_fleet_option(line, scope.fleet_option))
        for done in results.done
        for line in _remarks(done.stage, plans[done.stage], done.value)
    ]


def plan_document(plan: CopyPlan) -> dict[str, Any]:
    """A stage's plan for --json."""
    return {"copied": plan.lines(), "unchanged": plan.unchanged, "allowed": list(plan.allowed)}


def copied_document(plan: CopyPlan, done: Copied) -> dict[str, Any]:
    """What was done in a stage, for --json."""
    return {
        "entries": done.entries,
        "verdicts": done.verdicts,
        "cas": done.cas,
        **plan_document(plan),
        "overtaken": list(done.overtaken),
        "still_active": list(done.still_active),
    }


def _remarks(stage: Stage, plan: CopyPlan, done: Copied) -> list[str]:
    place = f"--account {stage.account.name} --region {stage.region}"
    return [
        *(f"not copied, decide yourself: {one}" for one in plan.allowed),
        *(f"not copied, changed meanwhile: {one}; give the order again" for one in done.overtaken),
        *(
            f"denied, and still ACTIVE: look whether it belongs here, `jitrctl device show {one} {place}`; if not, "
            f"`jitrctl device revoke {one} {place}`"
            for one in done.still_active
        ),
    ]


def _plan(stage: Stage, found: dict[str, Denials]) -> CopyPlan:
    others = {name: denials for name, denials in found.items() if name != str(stage) and denials}
    if not others:
        return CopyPlan()
    try:
        return plan_copy(stage, others)
    except stage.dynamodb.exceptions.ResourceNotFoundException as error:
        raise Refused("it has no registry and no enrollment list yet: deploy its stack first") from error


def _report(scope: Scope, plans: dict[Stage, CopyPlan], results: Results[Copied], failed: Sequence[Any]) -> None:
    left = list_left(scope, plans, results)
    scope.warn(left)
    by_plan = {id(done.value): plans[done.stage] for done in results.done}
    scope.report(
        results,
        rows=lambda stage, done: [
            {
                "entries": str(done.entries),
                "verdicts": str(done.verdicts),
                "CAs": str(done.cas),
                "had already": str(plans[stage].unchanged),
                "left": str(len(_remarks(stage, plans[stage], done))),
            }
        ],
        fields=lambda done: copied_document(by_plan[id(done)], done),
        failed=failed,
        ok=not left,
    )
