"""Copies the fleet's denials to a stage before `ca apply` lets the first devices in there.

A CA that another stage has revoked is not registered or activated, whichever of the stage's CAs it is: its revocation
is copied, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from jitr.store.revoked_cas import CaRevocations
from jitr_fleet.choices import RegisteredBy
from jitrctl.ca.plan import CaPlan, EnableAutoRegistration, RegisterCa, plan
from jitrctl.ca.revoked_elsewhere import CasToRevoke, find_lacking, read_revocations
from jitrctl.commands.fleet.copy_denials import carry_out_copies, copied_document, list_left, plan_copies, plan_lines
from jitrctl.device.denials import CopyPlan
from jitrctl.errors import Refused
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.device.denials import Copied
    from jitrctl.run.parallel import Failed, Results
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

WithoutDenials = Annotated[
    bool,
    typer.Option(
        "--without-denials",
        help="Do not copy the denials of the other accounts first, and register also CAs that another account has "
        "revoked.",
    ),
]


Plans: TypeAlias = "dict[Stage, tuple[CaPlan, ...]]"


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


def plan_first_denials(scope: Scope, plans: Plans, *, without: bool) -> tuple[Plans, dict[Stage, CopyPlan]]:
    """The plans, without steps on CAs that other stages have revoked, and the denials to be copied first.

    All denials go to the stages that admit no device yet, and would by these plans; the revocations of CAs to every
    stage whose CAs they are.

    Raises Refused when another stage cannot be asked, or a stage cannot keep them yet.
    """
    if without or len(choose(scope.fleet, (), ())) == 1:
        return plans, {}
    revoked, deployed = _find_revoked(scope, plans)
    plans = {stage: tuple(_without_revoked(one, revoked.get(stage)) for one in cas) for stage, cas in plans.items()}
    copies = {
        stage: CopyPlan(cas=one.lacking) for stage, one in revoked.items() if one.lacking and str(stage) in deployed
    }
    first = [stage for stage, of_stage in plans.items() if _opens(of_stage)]
    if not first:
        return plans, copies
    try:
        return plans, copies | plan_copies(scope, first, ())
    except Refused as error:
        raise _refusal(scope, str(error)) from error


def _refusal(scope: Scope, why: str) -> Refused:
    text = (
        f"the denials of the other accounts are copied before the first CA lets devices in, and {why}: see to "
        "that, or say --without-denials, and `jitrctl fleet copy-denials` afterwards"
    )
    return Refused(with_fleet_option(text, scope.fleet_option))


def _find_revoked(scope: Scope, plans: Plans) -> tuple[dict[Stage, CasToRevoke], set[str]]:
    """The CAs of these stages that other stages have revoked, and which stages are deployed; reads an item of each.

    Nothing is read where no step is planned, except for CAs that a stack registers, without any step.

    Raises Refused when a stage that may have revoked a CA cannot be asked.
    """
    asked = [stage for stage, of_stage in plans.items() if any(_may_open(one) for one in of_stage)]
    if not asked:
        return {}, set()
    everywhere = choose(scope.fleet, (), ())
    read = replace(scope, stages=everywhere).across(read_revocations, doing="reading revoked CAs", stages=everywhere)
    if read.failed and any(one.steps for stage in asked for one in plans[stage]):
        one = read.failed[0]
        raise _refusal(scope, f"{one.stage} cannot be asked for its revoked CAs ({one.error})")
    known = {str(done.stage): done.value or CaRevocations() for done in read.done}
    deployed = {str(done.stage) for done in read.done if done.value is not None}
    if not any(one.revoked for one in known.values()):
        return {}, deployed

    def find(stage: Stage) -> CasToRevoke:
        others = {name: one for name, one in known.items() if name != str(stage)}
        return find_lacking(stage, others, is_deployed=str(stage) in deployed)

    found = scope.across(find, doing="comparing revoked CAs", stages=asked)
    if found.failed:
        raise Refused(f"{found.failed[0].stage}: {found.failed[0].error}; nothing was done")
    return {done.stage: done.value for done in found.done if done.value}, deployed


def _may_open(one: CaPlan) -> bool:
    return bool(one.steps) or (one.state.declared.registered_by is RegisteredBy.STACK and not one.state.revocation)


def _without_revoked(one: CaPlan, revoked: CasToRevoke | None) -> CaPlan:
    """The plan for a CA; no steps, and why, if another stage has revoked it."""
    if revoked is None:
        return one
    certificate_id = one.state.declared.ca.certificate_id
    for found in revoked.lacking:
        if found.ca.certificate_id == certificate_id:
            given = replace(found.given, note=found.why)
            return plan(replace(one.state, revocation=given))
    for found in revoked.in_use:
        if found.ca.certificate_id == certificate_id:
            why = (
                f"it was {found.why}; here it has devices, or was admitted again: decide yourself, "
                f"`jitrctl ca revoke {found.ca.name}` takes it out here, too"
            )
            return CaPlan(state=one.state, steps=(), obstacles=(why,))
    return one


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
