"""`jitrctl ca revoke`: takes a lost CA out of every account at once, and keeps it out until that is lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.audit.record import audited
from jitrctl.ca.revocation import RevocationStep, RevokedCa, carry_out, inspect_revocation
from jitrctl.run import completion
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import known_ca
from jitrctl.terminal import out

if TYPE_CHECKING:
    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage


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
    *,
    lift: Annotated[
        bool, typer.Option("--lift", help="Take the revocation back: the CA registers and admits devices again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done; change nothing.")] = False,
    yes: Yes = False,
) -> None:
    """Revoke a CA in every account, as when its key leaked: no device of it is registered or activated any more.

    It is set INACTIVE without auto-registration, its topic rule is disabled, and the functions hold its devices. That
    stays so, also against `ca apply` and deployments, until --lift. If an account cannot be reached, the exit code is
    1, and the same command does the rest. ACTIVE devices stay ACTIVE: `device revoke` takes them away, and `ca rotate`
    moves the good ones to the successor.

    Example: jitrctl ca revoke factory --note "key leaked, incident 4711"
    """
    lost = known_ca(scope.fleet, ca)
    stages, failed = scope.open_stages()
    seen = scope.across(lambda stage: inspect_revocation(stage, lost), doing="asking AWS IoT", stages=stages)
    found = {done.stage: done.value for done in seen.done}
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
    scope.report(
        results,
        rows=lambda stage, steps: [
            {"CA": ca, "to do" if dry_run else "done": "; ".join(steps) or _nothing_to_do(found[stage])}
        ],
        fields=lambda steps: {"ca": ca, "steps": list(steps), "dry_run": dry_run},
        failed=(*failed, *seen.failed),
    )
    if not scope.as_json and results.done and not lift:
        out.print(_afterwards(scope, lost), markup=False)


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
