"""`jitrctl crl approve`: lets a CRL be applied that takes out many devices at once, or is refused as older."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitr.crl_progress import REFUSED, WAITS, ApprovedCrl
from jitrctl.audit.record import audited
from jitrctl.ca.crl_publish import read_published
from jitrctl.ca.crl_state import CrlApplied, describe_applied, read_applied
from jitrctl.clock import now
from jitrctl.errors import Refused, Unusable
from jitrctl.run import completion
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.session.stage import known_ca

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.session.stage import Stage

APPROVE = "crl approve"


@over_stages
def approve(
    scope: Scope,
    name: Annotated[
        str, typer.Argument(metavar="CA", help="The CA, as the fleet file calls it.", autocompletion=completion.cas)
    ],
    note: Annotated[str, typer.Option("--note", help="Why; kept with the order.", metavar="TEXT")],
    *,
    yes: Yes = False,
) -> None:
    """Approve a published CRL that waits, or that was refused as older than the last one.

    A CRL waits when it takes out more than 20 devices at once that are more than 5 percent of the CA's. It is refused
    when it is older than the last one. An older CRL that takes out many devices needs a second approval. REVOKED is
    final in AWS IoT. The approval is for exactly the CRL that is published now. Exit code 1 when no CRL waits.

    Example: jitrctl crl approve factory --note "the batch of May was stolen"
    """
    ca = known_ca(scope.fleet, name)
    stages, failed = scope.open_stages()
    with_ca = [stage for stage in stages if stage.rules.ca(ca.certificate_id)]
    if stages and not with_ca:
        raise Unusable(f"none of the chosen accounts has the CA {name}")
    found = scope.across(
        lambda stage: read_applied(stage, ca, read_published(stage, ca)), doing="reading", stages=with_ca
    )
    asked: dict[Stage, CrlApplied] = {done.stage: done.value for done in found.done if done.value.asks_for_approval}
    if not asked and found.done and not (failed or found.failed):
        states = "; ".join(f"{done.stage} {describe_applied(done.value)}" for done in found.done)
        raise Refused(
            f"no CRL of CA {name} waits for an approval, or is refused as older: {states}; nothing was approved"
        )
    if asked:
        scope.confirm(
            [
                *_plan_lines(f"The CRL of CA {name} is applied to ACTIVE devices, in", WAITS, asked),
                *_plan_lines(
                    f"The CRL of CA {name}, which is older than the last one, may follow it. If it takes out many "
                    "devices, it then waits for a second approval. In",
                    REFUSED,
                    asked,
                ),
                "REVOKED is final in AWS IoT.",
            ],
            yes=yes,
        )

    def approve_in(stage: Stage) -> bool:
        one = asked.get(stage)
        if one is None:
            return False
        with audited(stage, APPROVE, ca.certificate_id, [f"apply the CRL: {describe_applied(one)}"], note):
            approved = ApprovedCrl(version=one.version, by=stage.caller, at=now(), note=note, of=one.asks_for)
            if not stage.crl_states.approve(ca.certificate_id, approved):
                raise Refused("the CRL does not wait any more: look again with `jitrctl crl show`")
            stage.crl_queue.ask(ca.certificate_id)
        return True

    results = scope.across(approve_in, doing="approving", stages=[done.stage for done in found.done])
    before = {done.stage: done.value for done in found.done}
    scope.report(
        results,
        rows=lambda stage, changed: [
            {"CA": name, "CRL": _describe_approved(before[stage]) if changed else describe_applied(before[stage])}
        ],
        fields=lambda changed: {"ca": name, "changed": changed},
        failed=(*failed, *found.failed),
    )


def _plan_lines(first: str, asks_for: str, asked: Mapping[Stage, CrlApplied]) -> list[str]:
    """What an approval of this kind does, and the stages where it is given; nothing where there is none."""
    lines = [f"  {stage}  {describe_applied(one)}" for stage, one in asked.items() if one.asks_for == asks_for]
    return [first, *lines] if lines else []


def _describe_approved(one: CrlApplied) -> str:
    """What the approval did: the brake may still stop an older CRL."""
    if one.asks_for == REFUSED:
        return "approved; `jitrctl crl show` says whether it is applied or waits"
    return "approved; it is applied now"
