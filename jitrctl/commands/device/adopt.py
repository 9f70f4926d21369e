"""`jitrctl device adopt`: takes a thing made without jitr into the registry of each account that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.audit.record import audited
from jitrctl.device.adopt import Adoption, NoSuchThing
from jitrctl.errors import Refused
from jitrctl.run.scope import Note, Scope, over_stages
from jitrctl.terminal import short

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage


@over_stages
def adopt(
    scope: Scope,
    thing: Annotated[str, typer.Argument(help="The name of a thing that exists, with one certificate attached.")],
    note: Note = "",
) -> None:
    """Take a thing made without jitr into the registry, so that its next certificate can be a rotation.

    Example: jitrctl device adopt sensor-0001 --account dev --note "made by hand in 2024"
    """
    without_ca: list[Stage] = []

    def adopt_here(stage: Stage) -> str | None:
        adoption = Adoption(thing, client=stage.iot, iot=stage.aws_iot, registry=stage.registry)
        try:
            certificate_id, is_new = adoption.inspect()
        except NoSuchThing:
            return None
        if adoption.is_without_ca:
            without_ca.append(stage)
        steps = [f"take thing {thing} into the registry"] if is_new else []
        with audited(stage, "device adopt", certificate_id, steps, note):
            return adoption.carry_out() if is_new else certificate_id

    results = scope.across(adopt_here, doing=f"adopting {thing}")
    if results.ok and not any(done.value for done in results.done):
        raise Refused(f"no account has a thing {thing}: correct the name, or see `aws iot list-things`")
    unknown_ca = "which CA issued its certificate is not known here, so that its next one will be held (NOT_A_ROTATION)"
    scope.warn([(str(stage), unknown_ca) for stage in without_ca])
    scope.report(
        results,
        rows=lambda _, certificate_id: [
            {"thing": thing, "belongs to": short(certificate_id) if certificate_id else "no such thing here"}
        ],
        fields=lambda certificate_id: {"certificate_id": certificate_id},
        thing_name=thing,
    )
