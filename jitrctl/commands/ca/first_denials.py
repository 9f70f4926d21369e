"""Copies the fleet's denials to a stage before `ca apply` lets the first devices in there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.ca.plan import EnableAutoRegistration, RegisterCa
from jitrctl.commands.fleet.copy_denials import carry_out_copies, copied_document, list_left, plan_copies, plan_lines
from jitrctl.errors import Refused
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.ca.plan import CaPlan
    from jitrctl.device.denials import Copied, CopyPlan
    from jitrctl.run.parallel import Failed, Results
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

WithoutDenials = Annotated[
    bool,
    typer.Option(
        "--without-denials",
        help="Do not copy the denials of the other accounts first to one that admits no device yet.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDenials:
    """What was copied first, and what was left."""

    plans: Mapping[Stage, CopyPlan]
    results: Results[Copied]
    left: Sequence[tuple[str, str]]  # (stage, text), each with the command

    @property
    def failed(self) -> tuple[Failed, ...]:
        """The stages where nothing may be registered now."""
        return self.results.failed

    def document(self, stage: Stage) -> dict[str, Any] | None:
        """A stage's part of --json; None where no denials were to be copied first."""
        done = {one.stage: one.value for one in self.results.done}
        return copied_document(self.plans[stage], done[stage]) if stage in done else None


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
        text = (
            f"the denials of the other accounts are copied before the first CA lets devices in, and {error}: see to "
            "that, or say --without-denials, and `jitrctl fleet copy-denials` afterwards"
        )
        raise Refused(with_fleet_option(text, scope.fleet_option)) from error


def describe_first_denials(copies: Mapping[Stage, CopyPlan]) -> list[str]:
    """The lines of a plan; what is left to the operator, too, who then knows it before devices are let in."""
    lines: list[str] = []
    for stage, one in copies.items():
        if one:
            lines += [f"{stage}  copy denials that other accounts have:", *plan_lines(stage, one)]
        lines += [f"{stage}  do not copy, decide yourself: {allowed}" for allowed in one.allowed]
    return lines


def copy_first_denials(scope: Scope, copies: Mapping[Stage, CopyPlan]) -> FirstDenials:
    """Copy them, and warn of what is left, also where there is nothing to copy."""
    results = carry_out_copies(scope, copies)
    left = list_left(scope, copies, results)
    scope.warn(left)
    return FirstDenials(plans=copies, results=results, left=left)


def _opens(plans: Sequence[CaPlan]) -> bool:
    """Whether a stage admits no device yet, and would by these plans."""
    if any(one.state.found and one.state.found.active and one.state.found.registers_automatically for one in plans):
        return False
    steps = [step for one in plans for step in one.steps]
    return any(isinstance(step, EnableAutoRegistration) or step == RegisterCa(automatically=True) for step in steps)
