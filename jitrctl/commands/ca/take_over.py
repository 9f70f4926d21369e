"""`jitrctl ca adopt --take-over | --undo`: asks, carries out, audits and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.audit.record import audited
from jitrctl.jitp.adoption import inspect_jitp
from jitrctl.jitp.take_over import TakeOverResult, take_over, undo
from jitrctl.jitp.take_over_plan import plan_take_over, plan_undo
from jitrctl.jitp.target import TargetCa
from jitrctl.run.parallel import Results
from jitrctl.terminal import out

if TYPE_CHECKING:
    from datetime import timedelta

    from jitr_fleet.model import Ca
    from jitrctl.jitp.take_over_plan import TakeOver
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

TAKE_OVER, UNDO = "ca adopt --take-over", "ca adopt --undo"


def change_jitp(scope: Scope, stage: Stage, ca: Ca, note: str, *, sample: int, undoes: bool, yes: bool) -> None:
    """Take a CA over in one stage, or undo that.

    Raises Declined, Unusable, typer.Exit (FAILED).
    """
    planned = scope.across(
        lambda stage: plan_undo(stage, ca) if undoes else plan_take_over(stage, ca),
        doing="asking AWS IoT",
        stages=[stage],
    )
    plans = {done.stage: done.value for done in planned.done}
    if any(plan.steps for plan in plans.values()):
        scope.confirm(
            [
                f"{'Put back the template on' if undoes else 'Take over'} CA {ca.name} in {stage}:",
                *(f"  {step}" for step in plans[stage].steps),
                *(() if undoes else _describe_sample(scope, stage, ca, plans[stage], sample)),
            ],
            yes=yes,
        )

    def work(stage: Stage) -> TakeOverResult:
        plan = plans[stage]
        if not plan.steps:
            return TakeOverResult(
                plan=plan, gap=None, without_registration=None, was_without_registration=False, is_sweep_started=False
            )
        with audited(stage, UNDO if undoes else TAKE_OVER, ca.certificate_id, plan.steps, note):
            return undo(stage, plan) if undoes else take_over(stage, plan)

    done = scope.across(work, doing="putting it back" if undoes else "taking it over", stages=list(plans))
    results = Results(done=done.done, failed=(*planned.failed, *done.failed))

    def show() -> None:
        for one in results.done:
            for line in _lines(scope, one.stage, one.value, undoes=undoes):
                out.print(line, markup=False, soft_wrap=True)

    scope.report(results, show=show, fields=lambda one: _document(one, undoes=undoes))


def _describe_sample(scope: Scope, stage: Stage, ca: Ca, plan: TakeOver, sample: int) -> list[str]:
    """How the fleet file's block differs from the template, in numbers; nothing when the template is off already."""
    if not plan.found.has_template or not sample:
        return []
    target = TargetCa(certificate_id=ca.certificate_id, name=ca.name, declared=ca)
    compared = scope.across(
        lambda stage: inspect_jitp(stage, target, is_written=True, sample=sample),
        doing="comparing devices",
        stages=[stage],
    )
    if compared.failed:
        return [f"  No device was compared: {compared.failed[0].error}."]
    found = compared.done[0].value
    others = sum(not one.is_same for one in found.sample)
    if not found.sample:
        return ["  No certificate is listed under the CA, so no device was compared."]
    command = f"jitrctl ca adopt {ca.name} --account {stage.account.name} --region {stage.region}{scope.fleet_option}"
    said = f"  {others} of {len(found.sample)} devices would be made in another way; `{command}` shows how."
    return [f"{said} Devices that are ACTIVE stay as they are."]


def _lines(scope: Scope, stage: Stage, one: TakeOverResult, *, undoes: bool) -> list[str]:
    name = one.plan.ca.name
    key = f"jitp = true in ca.{name} of [account.{stage.account.name}]"
    if not one.plan.steps:
        state = "on CA" if undoes else "off CA"
        lines = [f"{stage}: nothing to do, the template is {state} {name}."]
    elif undoes:
        text = (
            f"the template is on CA {name} again. For {_seconds(one.gap)} neither JITP nor jitr was on: a device that "
            "connected for the first time then stays pending, and jitr holds it."
        )
        lines = [f"{stage}: {text}"]
    else:
        off = "auto-registration stayed on"
        if one.without_registration is not None:
            off = f"auto-registration was off for {_seconds(one.without_registration)} of them"
        elif one.was_without_registration:
            off = "auto-registration was off, for how long is not known"
        text = (
            f"the template is off CA {name}, and jitr decides on its devices. {_seconds(one.gap)} went by between the "
            f"template's end and the rule's beginning; {off}. A device that was refused then comes up at its next "
            "connection, and one that became pending by the sweep."
        )
        lines = [f"{stage}: {text}"]
    if undoes:
        lines.append(f"Keep {key}: jitr holds the CA's devices for it.")
    elif one.plan.is_key_set:
        lines += _next(scope, stage, name, key)
    return lines


def _next(scope: Scope, stage: Stage, name: str, key: str) -> list[str]:
    """What an engineer does after a take-over: the key holds in all Regions of the account, this order in one."""
    others = [region for region in stage.account.regions if region != stage.region]
    take_out = f"take {key} out, and deploy; until then a deployment may disable the rule again."
    if not others:
        return [f"Next: {take_out}"]
    orders = (
        f"  jitrctl ca adopt {name} --account {stage.account.name} --region {region} --take-over{scope.fleet_option}"
        for region in others
    )
    return [
        f"Next: take the CA over in the account's other Regions, too; {key} holds it there, template or not:",
        *orders,
        f"Only then {take_out}",
    ]


def _seconds(gap: timedelta | None) -> str:
    return "an unknown time" if gap is None else f"{gap.total_seconds():.1f} s"


def _document(one: TakeOverResult, *, undoes: bool) -> dict[str, Any]:
    return {
        "ca": one.plan.ca.name,
        "order": UNDO if undoes else TAKE_OVER,
        "certificate_id": one.plan.ca.certificate_id,
        "steps": list(one.plan.steps),
        "gap_seconds": None if one.gap is None else one.gap.total_seconds(),
        "without_registration_seconds": (
            None if one.without_registration is None else one.without_registration.total_seconds()
        ),
        "was_without_registration": one.was_without_registration,
        "sweep_started": one.is_sweep_started,
        "kept": {"config": dict(one.plan.config), "body": one.plan.body},
        "key_is_set": one.plan.is_key_set,
    }
