"""`jitrctl ca plan | apply | pause | resume`: makes the CAs what the fleet file says; holds all decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl import intake
from jitrctl.audit.log import BRAKE, PAUSE, RESUME
from jitrctl.audit.record import audited
from jitrctl.ca import registry
from jitrctl.ca.plan import CaPlan, plan, proof_warning
from jitrctl.commands.ca.first_denials import (
    WithoutDenials,
    copy_first_denials,
    describe_first_denials,
    plan_first_denials,
)
from jitrctl.commands.ca.status import Cas
from jitrctl.commands.fleet.copy_denials import plan_document
from jitrctl.errors import Refused
from jitrctl.run.parallel import Done, Results
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import chosen_cas
from jitrctl.terminal import grouped, out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.device.denials import CopyPlan
    from jitrctl.session.stage import Stage


_Anyway = Annotated[bool, typer.Option("--anyway", help="Enable auto-registration also before the stack is deployed.")]


@dataclass(frozen=True, slots=True)
class StagePlans:
    """The plans for the CAs of one stage."""

    stage: Stage
    cas: tuple[CaPlan, ...]


@over_stages
def show_plan(scope: Scope, ca: Cas = None, *, anyway: _Anyway = False) -> None:
    """Show what `ca apply` would do in each account, and the obstacles; changes nothing.

    Exit code 1 when there is an obstacle, unless a deployment of the stack removes it.

    Example: jitrctl ca plan
    """
    results = scope.across(lambda stage: StagePlans(stage, _plans(stage, ca, anyway=anyway)), doing="asking AWS IoT")
    plans = {done.stage: done.value.cas for done in results.done}
    denials: Mapping[Stage, CopyPlan] = {}
    try:
        plans, denials = plan_first_denials(scope, plans, without=False)
    except Refused as error:
        scope.warn([("denials", str(error))])
    to_do = [(stage, one) for stage, of_stage in plans.items() for one in of_stage]
    scope.report(
        Results(
            done=tuple(Done(stage=one.stage, value=StagePlans(one.stage, plans[one.stage])) for one in results.done),
            failed=results.failed,
        ),
        show=lambda: _show_plans(to_do, describe_first_denials(denials)),
        fields=lambda found: {
            "cas": [_plan_document(one) for one in found.cas],
            "denials": plan_document(denials[found.stage]) if found.stage in denials else None,
        },
        ok=not any(one.obstacles for _, one in to_do),
    )


@over_stages
def apply(
    scope: Scope,
    ca: Cas = None,
    note: Note = "",
    *,
    anyway: _Anyway = False,
    without_denials: WithoutDenials = False,
    yes: Yes = False,
) -> None:
    """Make the registered CAs what the fleet file says: register, activate, enable auto-registration.

    Before the first CA of an account lets devices in, the denials of the fleet's other accounts are copied there
    (`fleet copy-denials`). A CA that another account has revoked stays out, unless it has devices here. A wrong mode is
    shown, not changed. Exit code 1 when a CA still differs from the fleet file, a denial was not copied, or a device
    that it denies is ACTIVE.

    Example: jitrctl ca apply --account dev
    """
    stages, failed = scope.open_stages()
    planned = scope.across(lambda stage: _plans(stage, ca, anyway=anyway), doing="asking AWS IoT", stages=stages)
    plans, denials = plan_first_denials(
        scope, {done.stage: done.value for done in planned.done}, without=without_denials
    )
    to_do = [(stage, one) for stage, of_stage in plans.items() for one in of_stage]
    if any(one.steps for _, one in to_do) or any(denials.values()):
        steps = [f"{stage}  {one.state.name}: {step}" for stage, one in to_do for step in one.steps]
        scope.confirm([*describe_first_denials(denials), *steps], yes=yes)
    copied = copy_first_denials(scope, denials)
    plans = {stage: plans[stage] for stage in plans if stage not in {one.stage for one in copied.failed}}

    def apply_steps(stage: Stage) -> StagePlans:
        for one in plans[stage]:
            with audited(stage, "ca apply", one.state.declared.ca.certificate_id, one.steps, note):
                for step in one.steps:
                    registry.apply(stage, one.state.declared, step)
        return StagePlans(stage, plans[stage])

    results = scope.across(apply_steps, doing="applying", stages=list(plans))
    obstacles = [(done.stage, one) for done in results.done for one in done.value.cas if one.undone]
    scope.warn([*_obstacles(obstacles), *_warnings(to_do)])
    scope.report(
        results,
        rows=lambda _, applied: [
            {"CA": one.state.name, "done": "; ".join(map(str, one.steps)) or "nothing to do"} for one in applied.cas
        ],
        fields=lambda applied: {
            "cas": [_plan_document(one) for one in applied.cas],
            "denials": copied.document(applied.stage),
        },
        failed=(*failed, *planned.failed, *copied.failed),
        ok=not obstacles and not copied.left,
    )


@over_stages
def pause(scope: Scope, note: Note = "", *, yes: Yes = False) -> None:
    """Pause decisions: new devices wait in the queue, for up to four days, until `ca resume`; nothing is lost.

    All CAs of an account share the queue, so all of them pause.

    Example: jitrctl ca pause --account prod --note "CRL of factory is being corrected"
    """
    stages, failed = scope.open_stages()
    if stages:
        places = [f"  {stage}" for stage in stages]
        scope.confirm(["Devices that connect for the first time will wait, in", *places], yes=yes)
    _switch(scope, stages, failed, note, on=False)


@over_stages
def resume(scope: Scope, note: Note = "") -> None:
    """Resume decisions, first on the devices that waited.

    Example: jitrctl ca resume --account prod
    """
    stages, failed = scope.open_stages()
    _switch(scope, stages, failed, note, on=True)


def _switch(scope: Scope, stages: Sequence[Stage], failed: Sequence[Any], note: str, *, on: bool) -> None:
    def switch_stage(stage: Stage) -> str:
        found = intake.find_mapping(stage)
        order, step = (RESUME, "enable the mapping") if on else (PAUSE, "disable the mapping")
        steps = [step] if found and found.is_on is not on else []
        with audited(stage, order, BRAKE, steps, note, urgent=True):
            return intake.switch(stage, on=on).state

    results = scope.across(switch_stage, doing="switching", stages=stages)
    scope.report(
        results,
        rows=lambda _, state: [{"devices": "are decided on" if on else "wait in the queue", "mapping": state}],
        fields=lambda state: {"mapping": state},
        failed=failed,
    )


def _plans(stage: Stage, cas: Sequence[str] | None, *, anyway: bool) -> tuple[CaPlan, ...]:
    states = registry.inspect_cas(stage, chosen_cas(stage, cas or ()))
    return tuple(plan(state, anyway=anyway) for state in states)


def _show_plans(plans: Sequence[tuple[Stage, CaPlan]], denials: Sequence[str]) -> None:
    for line in denials:
        out.print(line, markup=False, soft_wrap=True)
    for stage, one in plans:
        for step in one.steps:
            out.print(f"{stage}  {one.state.name}: {step}", markup=False, soft_wrap=True)
    for line in grouped([*_obstacles(plans), *_warnings(plans)]):
        out.print(line, markup=False)
    if not any(one.steps or one.undone for _, one in plans):
        out.print("Nothing to do: every CA is as the fleet file says.")


def _obstacles(plans: Sequence[tuple[Stage, CaPlan]]) -> list[tuple[str, str]]:
    return [(f"{stage} {one.state.name}", obstacle) for stage, one in plans for obstacle in one.undone]


def _warnings(plans: Sequence[tuple[Stage, CaPlan]]) -> list[tuple[str, str]]:
    warnings = [(f"{stage} {one.state.name}", proof_warning(one.state)) for stage, one in plans]
    return [(place, warning) for place, warning in warnings if warning]


def _plan_document(one: CaPlan) -> dict[str, Any]:
    return {
        "ca": one.state.name,
        "steps": [str(step) for step in one.steps],
        "waiting": list(one.waiting),
        "obstacles": list(one.obstacles),
        "warning": proof_warning(one.state),
    }
