"""Copies the fleet's denials to a stage before `ca apply` lets the first devices in there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.ca.plan import EnableAutoRegistration, RegisterCa
from jitrctl.commands.fleet.copy_denials import carry_out_copies, plan_copies, plan_lines, remarks
from jitrctl.errors import Refused
from jitrctl.session.stage import choose
from jitrctl.terminal import grouped, print_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.ca.plan import CaPlan
    from jitrctl.device.denials import CopyPlan
    from jitrctl.run.parallel import Failed
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

WithoutDenials = Annotated[
    bool,
    typer.Option(
        "--without-denials",
        help="Do not copy the denials of the other accounts first to one that admits no device yet.",
    ),
]


def plan_first_denials(
    scope: Scope, plans: Mapping[Stage, Sequence[CaPlan]], *, without: bool
) -> dict[Stage, CopyPlan]:
    """What the stages that admit no device yet, and would by these plans, lack of the denials of others.

    Raises Refused when another stage cannot be asked, or a stage cannot keep them yet.
    """
    first = [stage for stage, of_stage in plans.items() if _opens(of_stage)]
    if without or not first or len(choose(scope.fleet, (), ())) == 1:
        return {}
    try:
        return plan_copies(scope, first, ())
    except Refused as error:
        raise Refused(
            f"the denials of the other accounts are copied before the first CA lets devices in, and {error}: see to "
            "that, or say --without-denials, and `jitrctl fleet copy-denials` afterwards"
        ) from error


def describe_first_denials(copies: Mapping[Stage, CopyPlan]) -> list[str]:
    """The lines of a plan."""
    return [
        line
        for stage, one in copies.items()
        if one
        for line in (f"{stage}  copy denials that other accounts have:", *plan_lines(stage, one))
    ]


def copy_first_denials(scope: Scope, copies: Mapping[Stage, CopyPlan]) -> tuple[Failed, ...]:
    """Copy them; the stages that failed, where nothing may be registered then."""
    wanted = {stage: one for stage, one in copies.items() if one}
    if not wanted:
        return ()
    results = carry_out_copies(scope, wanted)
    left = [(str(done.stage), line) for done in results.done for line in remarks(wanted[done.stage], done.value)]
    for line in grouped(left):
        print_error(line)
    return results.failed


def _opens(plans: Sequence[CaPlan]) -> bool:
    """Whether a stage admits no device yet, and would by these plans."""
    if any(one.state.found and one.state.found.active and one.state.found.registers_automatically for one in plans):
        return False
    steps = [step for one in plans for step in one.steps]
    return any(isinstance(step, EnableAutoRegistration) or step == RegisterCa(automatically=True) for step in steps)
