"""`jitrctl ca revoke`: takes a lost CA out of every account at once, and keeps it out until that is lifted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.verdicts import OperatorAction
from jitrctl.audit.record import audited
from jitrctl.ca.revocation import (
    RevocationStep,
    RevokedCa,
    carry_out,
    has_devices_order,
    inspect_revocation,
    order_devices,
)
from jitrctl.commands.device.selection import describe_left_out
from jitrctl.commands.device.take_away_many import (
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
from jitrctl.terminal import Exit, out

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _DevicesResult:
    """What became of the order on the CA's devices."""

    taken: Mapping[Stage, TakenAway] = field(default_factory=dict)
    failed: tuple[Failed, ...] = ()
    declined: str = ""  # why no device got the order, when the operator did not confirm that


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
        typer.Option(help="Then revoke (for good) or deactivate every device of the CA."),
    ] = None,
    devices_in: Annotated[
        list[str] | None,
        typer.Option(
            "--devices-in",
            metavar="ACCOUNT",
            help="With --devices: give the order in this account only; the CA is revoked in all. May be repeated.",
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

    With --devices, its devices are counted after that, and a second question is asked. Then their certificates get the
    order: the functions carry it out at each account's rate, and end the sessions. A device that has gone over to the
    successor keeps its new certificate. Without it, ACTIVE devices stay ACTIVE. `ca rotate` moves the good ones to the
    successor.

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
    of_devices = _DevicesResult()
    if devices is not None:
        here = {stage: found[stage] for stage in found if stage.account.name in chosen}
        of_devices = _take_devices(scope, lost, devices.action, here, note=note, dry_run=dry_run, yes=yes)
    said = _describe_steps(found, plans, ca, dry_run=dry_run)
    _report(scope, ca, results, of_devices, said, failed=(*failed, *seen.failed), dry_run=dry_run)
    if not scope.as_json and results.done and not lift:
        out.print(_afterwards(scope, lost), markup=False)


def _describe_steps(
    found: Mapping[Stage, RevokedCa], plans: Mapping[Stage, tuple[RevocationStep, ...]], ca: str, *, dry_run: bool
) -> dict[Stage, dict[str, str]]:
    """The first cells of each stage's row."""
    return {
        stage: {"CA": ca, "to do" if dry_run else "done": "; ".join(steps) or _nothing_to_do(found[stage])}
        for stage, steps in plans.items()
    }


def _report(
    scope: Scope,
    ca: str,
    results: Results[tuple[RevocationStep, ...]],
    of_devices: _DevicesResult,
    said: Mapping[Stage, Mapping[str, str]],
    *,
    failed: Sequence[Failed],
    dry_run: bool,
) -> None:
    """Report what was done about the CA, and about its devices, also when the operator did not confirm the latter.

    Raises typer.Exit: FAILED when a stage failed, or the order on devices was not confirmed after the CA was revoked;
    UNUSABLE when that was not confirmed, and nothing else was done.
    """
    taken = of_devices.taken
    if of_devices.declined:
        scope.warn([(ca, of_devices.declined)])
    try:
        scope.report(
            Results(
                done=tuple(Done(stage=done.stage, value=(done.stage, done.value)) for done in results.done),
                failed=results.failed,
            ),
            rows=lambda stage, _: [
                {**said[stage]} | ({"devices": taken_in_words(taken[stage], dry_run=dry_run)} if stage in taken else {})
            ],
            fields=lambda one: {
                "ca": ca,
                "steps": list(one[1]),
                "dry_run": dry_run,
                "devices": document(taken[one[0]], dry_run=dry_run) if one[0] in taken else None,
            },
            failed=(*failed, *of_devices.failed),
            ok=not of_devices.declined and not any(one.overtaken for one in taken.values()),
        )
    except typer.Exit:
        has_failed = failed or results.failed or of_devices.failed or any(stage.warnings for stage in scope.stages)
        is_changed = any(one.value for one in results.done)  # UNUSABLE says that nothing was done
        if of_devices.declined and not has_failed and not is_changed:
            raise typer.Exit(Exit.UNUSABLE) from None
        raise


def _take_devices(
    scope: Scope,
    ca: Ca,
    action: OperatorAction,
    found: Mapping[Stage, RevokedCa],
    *,
    note: str,
    dry_run: bool,
    yes: bool,
) -> _DevicesResult:
    """Count the CA's devices in these stages, ask, and write the orders on them there.

    An account gets orders on the certificates that it has: the CA is revoked in all, so others are refused.
    """
    with_inactive = action is OperatorAction.REVOKED
    read = scope.across(
        lambda stage: find_by_ca(stage, ca, with_inactive=with_inactive),
        doing="reading certificates",
        stages=list(found),
    )
    for done in read.done:  # a warning of a stage counts: the order is not complete there
        done.stage.warnings.extend(describe_left_out(done.value))
    here = {done.stage: done.value.certificates for done in read.done}
    planned = scope.across(
        lambda stage: plan_take_away(stage, here[stage], action), doing="reading records", stages=list(here)
    )
    plans = {done.stage: done.value for done in planned.done}
    failed = (*read.failed, *planned.failed)
    unordered = [stage for stage in plans if found[stage].has_table and not has_devices_order(found[stage], action)]
    if (unordered or any(plan.orders for plan in plans.values())) and not dry_run:
        lines = [f"The devices of {ca.name} are {action}, also those that are just becoming ACTIVE, in"]
        lines += [f"  {stage}  {plan_in_words(plan)}" for stage, plan in plans.items()]
        if action is OperatorAction.REVOKED:
            lines.append("REVOKED is final in AWS IoT; for a hold, say --devices deactivate.")
        try:
            scope.confirm(lines, yes=yes)
        except Unusable as no:  # Declined, or nobody can be asked
            why = "the second question was not answered with yes" if isinstance(no, Declined) else str(no)
            why = f"{ca.name} is revoked, and no device got the order: {why}; the same command asks again"
            return _DevicesResult(failed=failed, declined=why)
        kept = scope.across(
            lambda stage: order_devices(stage, ca, action, note), doing="writing the order", stages=unordered
        )
        for one in kept.failed:  # the orders on the devices that were counted are written all the same
            one.stage.warnings.append(f"the order on devices that become ACTIVE late was not written: {one.error}")
    results = write_orders(scope, plans, note, dry_run=dry_run)
    return _DevicesResult(taken={done.stage: done.value for done in results.done}, failed=(*failed, *results.failed))


def _warn_of_undeployed(found: Mapping[Stage, RevokedCa], ca: str) -> None:
    for stage, one in found.items():
        if one.is_given and not one.has_table:
            stage.warnings.append(
                f"not deployed yet, so nothing here keeps that {ca} is revoked: `ca apply` copies that from the other "
                "accounts after the deployment; where the stack registers the CA, deploy first with registered_by = "
                '"jitrctl", and give `fleet copy-denials`'
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
