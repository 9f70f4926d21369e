"""`jitrctl ca accept-rejections`: ends a brake by confirming the rules: the devices that it holds are rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.brake import Acceptance, Engagement
from jitrctl.audit.record import audited
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.run import completion
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.session.stage import known_ca
from jitrctl.status.brake import describe_brake

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

ACCEPT = "ca accept-rejections"


@over_stages
def accept_rejections(
    scope: Scope,
    name: Annotated[
        str, typer.Argument(metavar="CA", help="The CA, as the fleet file calls it.", autocompletion=completion.cas)
    ],
    note: Annotated[str, typer.Option("--note", help="Why its rules are right; kept with the order.", metavar="TEXT")],
    *,
    yes: Yes = False,
) -> None:
    """Confirm a CA's rules: reject the devices that its brake holds, and keep the brake off for a day.

    The functions set the certificates as the CA's `on_reject` says, within some sweeps. If the rules are wrong, deploy
    corrected ones instead: that ends the brake too, and the devices are evaluated again by themselves.
    Exit code 1 when the brake has changed since it was shown.

    Example: jitrctl ca accept-rejections factory --note "badger-* is another company's batch"
    """
    ca = known_ca(scope.fleet, name)
    stages, failed = scope.open_stages()
    found = scope.across(lambda stage: _engaged(stage, ca.certificate_id), doing="asking DynamoDB", stages=stages)
    engaged = {done.stage: done.value for done in found.done if done.value}
    if engaged:
        scope.confirm(
            [
                f"What the rules of CA {name} refuse is rejected, and the brake is off for a day, in",
                *(f"  {stage}  {describe_brake(one)}" for stage, one in engaged.items()),
            ],
            yes=yes,
        )

    def accept(stage: Stage) -> str:
        one = engaged.get(stage)
        if one is None:
            return "off already"
        with audited(stage, ACCEPT, ca.certificate_id, [f"reject what the brake holds: {describe_brake(one)}"], note):
            acceptance = Acceptance(rules=one.rules, by=stage.caller, at=now(), note=note)
            if not stage.brakes.accept(ca.certificate_id, one, acceptance):
                raise Refused("the brake has changed since it was shown: look again with `jitrctl fleet status`")
        return "off; what it held is rejected by the next sweeps"

    results = scope.across(accept, doing="accepting", stages=[done.stage for done in found.done])
    scope.report(
        results,
        rows=lambda _, brake: [{"CA": name, "brake": brake}],
        fields=lambda brake: {"ca": name, "brake": brake},
        failed=(*failed, *found.failed),
    )


def document(engaged: Engagement | None) -> dict[str, Any] | None:
    """An engaged brake for --json."""
    if engaged is None:
        return None
    return {
        "at": engaged.at.isoformat(),
        "refused": engaged.refused,
        "decisions": engaged.decisions,
        "usual_share": engaged.usual_share,
        "reason": engaged.reason,
        "example": engaged.example,
    }


def _engaged(stage: Stage, ca_certificate_id: str) -> Engagement | None:
    if ca_certificate_id not in {one.ca.certificate_id for one in stage.account.cas}:
        return None
    return stage.brakes.read([ca_certificate_id])[ca_certificate_id].engaged
