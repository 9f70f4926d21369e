"""`jitrctl ca revoke`: takes a lost CA out of every account at once, and keeps it out until that is lifted."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.verdicts import OperatorAction
from jitrctl.audit.record import audited
from jitrctl.ca.revocation import RevocationStep, RevokedCa, carry_out, inspect_revocation
from jitrctl.commands.device.take_away_many import (
    describe_left_out,
    plan_in_words,
    taken_in_words,
    write_orders,
)
from jitrctl.device.bulk_take_away import TakenAway, document, plan_take_away
from jitrctl.device.many_targets import find_by_ca
from jitrctl.errors import Declined, Unusable
from jitrctl.run import completion
from jitrctl.run.parallel import Done, Results
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import choose, known_ca
from jitrctl.terminal import out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr_fleet.model import Ca
    from jitrctl.run.parallel import Failed
    from jitrctl.session.stage import Stage


class Devices(StrEnum):
    """What becomes of the CA's devices."""

    REVOKE = "revoke"
    DEACTIVATE = "deactivate"

    @property
    def action(self) -> OperatorAction:
        return OperatorAction.REVOKED if self is Devices.REVOKE else OperatorAction.DEACTIVATED


@over_stages
def revoke_ca(
    scope: Scope,
    ca: Annotated[
        str,
        typer.Argument(
            metavar="CA", help="The CA's name in the fleet file.", show_default=False, autocompletion=completion.cas
        ),
    ],
    note: Note = "",
    devices: Annotated[
        Devices | None,
        typer.Option(help="Then take every device of the CA away: REVOKED for good, or INACTIVE."),
    ] = None,
    devices_in: Annotated[
        list[str] | None,
        typer.Option(
            "--devices-in",
            metavar="ACCOUNT",
            help="With --devices: take them away in this account only, the CA in all; may be repeated.",
            autocompletion=completion.accounts,
        ),
    ] = None,
    *,
    lift: Annotated[
        bool, typer.Option("--lift", help="Take the revocation back: the CA registers and admits devices again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done, and how long it takes; change nothing.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Revoke a CA in every account, as when its key leaked: no device of it is registered or activated any more.

    It is set INACTIVE without auto-registration, its topic rule is disabled, and the functions hold its devices. That
    stays so, also against `ca apply` and deployments, until --lift. If an account cannot be reached, the exit code is
    1, and the same command does the rest.

    With --devices, its devices are counted next, and ordered away: the functions do that at each account's rate, and
    end their sessions. A device that has gone over to the successor keeps its new certificate. Without it, ACTIVE
    devices stay ACTIVE. `ca rotate` moves the good ones to the successor.

    Example: jitrctl ca revoke factory --devices deactivate --note "key leaked, incident 4711"
    """
    lost = known_ca(scope.fleet, ca)
    if devices_in and devices is None:
        raise Unusable("--devices-in can only be said with --devices")
    if lift and devices is not None:
        raise Unusable("--lift takes back what the CA may not do; its devices are taken back with `device release`")
    chosen = {stage.account.name for stage in choose(scope.fleet, devices_in or (), ())}
    stages, failed = scope.open_stages()
    seen = scope.across(lambda stage: inspect_revocation(stage, lost), doing="asking AWS IoT", stages=stages)
    found = {done.stage: done.value for done in seen.done}
    if not lift:
        _warn_of_undeployed(found, ca)
    plans = {stage: one.steps_to_lift if lift else one.steps_to_revoke for stage, one in found.items()}
    to_do = [f"{stage}  {ca}: {'; '.join(steps)}" for stage, steps in plans.items() if steps]
    if to_do and not dry_run:
        scope.confirm(to_do, yes=yes)
    order = "ca revoke --lift" if lift else "ca revoke"

    def run(stage: Stage) -> tuple[RevocationStep, ...]:
        if not dry_run:
            with audited(stage, order, lost.certificate_id, plans[stage], note, urgent=True):
                carry_out(stage, lost, plans[stage], note)
        return plans[stage]

    results = scope.across(run, doing="lifting" if lift else "revoking", stages=list(plans))
    taken: dict[Stage, TakenAway] = {}
    if devices is not None:
        here = [stage for stage in stages if stage.account.name in chosen]
        taken, others = _take_devices(scope, lost, devices.action, here, note=note, dry_run=dry_run, yes=yes)
        failed = (*failed, *others)
    scope.report(
        Results(
            done=tuple(Done(stage=done.stage, value=(done.stage, done.value)) for done in results.done),
            failed=results.failed,
        ),
        rows=lambda stage, one: [
            {"CA": ca, "to do" if dry_run else "done": "; ".join(one[1]) or _nothing_to_do(found[stage])}
            | ({"devices": taken_in_words(taken[stage], dry_run=dry_run)} if stage in taken else {})
        ],
        fields=lambda one: {
            "ca": ca,
            "steps": list(one[1]),
            "dry_run": dry_run,
            "devices": document(taken[one[0]], dry_run=dry_run) if one[0] in taken else None,
        },
        failed=(*failed, *seen.failed),
        ok=not any(one.overtaken for one in taken.values()),
    )
    if not scope.as_json and results.done and not lift:
        out.print(_afterwards(scope, lost), markup=False)


def _take_devices(
    scope: Scope, ca: Ca, action: OperatorAction, stages: Sequence[Stage], *, note: str, dry_run: bool, yes: bool
) -> tuple[dict[Stage, TakenAway], tuple[Failed, ...]]:
    """Count the CA's devices in these stages, ask, and order them away there; the results, and the stages that failed.

    An account gets orders on the certificates that it has: the CA is revoked in all, so others are refused.
    """
    found = scope.across(lambda stage: find_by_ca(stage, ca), doing="reading certificates", stages=stages)
    for done in found.done:  # a warning of a stage counts: the order is not complete there
        done.stage.warnings.extend(describe_left_out(done.value))
    here = {done.stage: done.value.certificates for done in found.done}
    planned = scope.across(
        lambda stage: plan_take_away(stage, here[stage], action), doing="reading records", stages=list(here)
    )
    plans = {done.stage: done.value for done in planned.done}
    if any(plan.orders for plan in plans.values()) and not dry_run:
        lines = [f"The devices of {ca.name} are {action}, in"]
        lines += [f"  {stage}  {plan_in_words(plan)}" for stage, plan in plans.items()]
        if action is OperatorAction.REVOKED:
            lines.append("REVOKED is final in AWS IoT; for a hold, say --devices deactivate.")
        try:
            scope.confirm(lines, yes=yes)
        except Declined as no:
            raise Declined(f"{ca.name} is revoked, and no device was ordered away: the same command asks again") from no
    results = write_orders(scope, plans, note, dry_run=dry_run)
    return {done.stage: done.value for done in results.done}, (*found.failed, *planned.failed, *results.failed)


def _warn_of_undeployed(found: Mapping[Stage, RevokedCa], ca: str) -> None:
    for stage, one in found.items():
        if one.is_given and not one.has_table:
            stage.warnings.append(
                f"not deployed yet, so nothing here keeps that {ca} is revoked: deploy, then run the same command "
                "again before `ca apply`"
            )


def _nothing_to_do(one: RevokedCa) -> str:
    if one.revocation:
        return f"nothing to do: {one.revocation.description}"
    return "nothing to do" if one.found or one.is_given else "not registered"


def _afterwards(scope: Scope, ca: Ca) -> str:
    """What to do with the CA's devices."""
    successor = next((one.name for one in scope.fleet.cas if one.succeeds == ca.certificate_id), None)
    good = (
        f"Good devices go over to {successor}: `jitrctl ca rotate --ca {ca.name}` shows how many are left"
        if successor
        else f'Good devices need another CA: describe it in the fleet file, with succeeds = "{ca.name}", then '
        f"`jitrctl ca rotate --ca {ca.name}`"
    )
    return f"{good}. A device that has gone over keeps its new certificate and its session."
