"""`jitrctl ca switch-mode`: deletes a CA's registration, and makes it in the other mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.rules import CertificateMode
from jitrctl.audit.record import audited
from jitrctl.ca import registry
from jitrctl.ca.mode_switch import Switch, plan_switches, switch
from jitrctl.commands.ca.status import Cas
from jitrctl.errors import Refused, Unusable
from jitrctl.run.parallel import Done, Failed, Results
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import choose, chosen_cas
from jitrctl.terminal import out

if TYPE_CHECKING:
    from jitrctl.ca.plan import CaState
    from jitrctl.session.stage import Stage

WHAT_HAPPENS = """\
Each registration is deleted and made again. Device certificates stay registered, and ACTIVE ones keep working. They
were registered in the CA's old mode; AWS does not document whether they take on the new one. A device that connects for
the first time in the seconds between is refused, and connects again. In mode SNI_ONLY, devices must send SNI. Deploy
the stack afterwards: while its rules have the old mode, new devices are held; after that they are activated.
"""
NO_WAY_BACK = """\
If the registration in mode SNI_ONLY fails, the one in mode DEFAULT cannot be restored without its verification
certificate: --old-verification FILE.
"""


@over_stages
def switch_mode(
    scope: Scope,
    ca: Cas = None,
    old_verification: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The verification certificate of the DEFAULT registration, to restore it."),
    ] = None,
    note: Note = "",
    *,
    yes: Yes = False,
) -> None:
    """Change the mode of registered CAs to the fleet file's; everything that could be refused is checked first.

    If the new registration fails nevertheless, the old one is restored.

    Example: jitrctl ca switch-mode --account dev --ca factory
    """
    stages, failed = scope.open_stages()
    old_proof = _read(old_verification) if old_verification else None
    wrong = _find_wrong(scope, ca, stages)
    ready = [one for one in wrong if one.obstacle is None]
    if ready:
        scope.confirm([WHAT_HAPPENS, *_without_way_back(ready, old_proof), *map(str, ready)], yes=yes)
    results = _switch_all(scope, ready, old_proof, note)
    obstacles = [(f"{one.stage} {one.state.name}", one.obstacle) for one in wrong if one.obstacle]
    scope.warn(obstacles)
    if not wrong and not failed and not scope.as_json:
        out.print("Nothing to do: every registered CA is in the mode that the fleet file says.")
    scope.report(
        results,
        rows=lambda _, switched: [{"CA": one.state.name, "mode": f"{one.before.mode} to {one.to}"} for one in switched],
        fields=lambda switched: {"switched": [_document(one) for one in switched]},
        failed=failed,
        ok=not obstacles,
        obstacles=[{"where": where, "why": why} for where, why in obstacles],
    )


def _find_wrong(scope: Scope, cas: list[str] | None, stages: tuple[Stage, ...]) -> tuple[Switch, ...]:
    """Find the CAs in the wrong mode; also reads the other accounts in the same Regions.

    Raises Refused when one of those cannot be read: it might hold a CA in mode DEFAULT.
    """
    regions = {stage.region for stage in stages}
    mine = {str(stage) for stage in stages}
    others = [one for one in choose(scope.fleet, (), ()) if one.region in regions and str(one) not in mine]
    looked = scope.across(
        lambda stage: registry.inspect_cas(stage, chosen_cas(stage, cas or ())),
        doing="asking AWS IoT",
        stages=[*stages, *others],
    )
    states: dict[Stage, tuple[CaState, ...]] = {done.stage: done.value for done in looked.done}
    wrong = plan_switches(states, frozenset(stages))
    if looked.failed and any(one.to is CertificateMode.DEFAULT for one in wrong):
        unasked = looked.failed[0]
        raise Refused(
            f"{unasked.stage} may hold the CA in mode DEFAULT, and cannot be asked ({unasked.error}): cure that first"
        )
    return wrong


def _switch_all(scope: Scope, ready: list[Switch], old_proof: str | None, note: str) -> Results[tuple[Switch, ...]]:
    """Switch; an account takes mode DEFAULT only after the others have given it up."""
    giving = _switch_to(scope, [one for one in ready if one.to is CertificateMode.SNI_ONLY], old_proof, note)
    taking = [one for one in ready if one.to is CertificateMode.DEFAULT]
    if giving.failed and taking:
        why = Refused(f"not begun, since {giving.failed[0].stage} was not switched: cure that, then this again")
        kept = {one.stage: Failed(stage=one.stage, error=str(why), cause=why) for one in taking}
        return Results(done=giving.done, failed=(*giving.failed, *kept.values()))
    taken = _switch_to(scope, taking, old_proof, note)
    switched = {done.stage: done.value for done in giving.done}
    switched |= {done.stage: (*switched.get(done.stage, ()), *done.value) for done in taken.done}
    return Results(
        done=tuple(Done(stage=stage, value=value) for stage, value in switched.items()),
        failed=(*giving.failed, *taken.failed),
    )


def _switch_to(scope: Scope, ready: list[Switch], old_proof: str | None, note: str) -> Results[tuple[Switch, ...]]:
    by_stage = {stage: tuple(one for one in ready if one.stage is stage) for stage in {one.stage for one in ready}}

    def work(stage: Stage) -> tuple[Switch, ...]:
        for one in by_stage[stage]:
            step = f"delete it in mode {one.before.mode}, and register it in mode {one.to}"
            with audited(stage, "ca switch-mode", one.state.declared.ca.certificate_id, [step], note):
                switch(one, old_proof=old_proof)
        return by_stage[stage]

    return scope.across(work, doing="switching", stages=[one for one in scope.stages if one in by_stage])


def _without_way_back(ready: list[Switch], old_proof: str | None) -> list[str]:
    if old_proof or not any(one.to is CertificateMode.SNI_ONLY for one in ready):
        return []
    return [NO_WAY_BACK]


def _document(one: Switch) -> dict[str, Any]:
    return {"ca": one.state.name, "from": one.before.mode, "to": one.to}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise Unusable(f"{path} cannot be read: correct the path") from error
