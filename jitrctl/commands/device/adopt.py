"""`jitrctl device adopt`: takes a thing made without jitr into the registry of each account that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitr.iot_models import Status
from jitrctl.adoption.refusals import refuse_taken_away
from jitrctl.audit.record import audited
from jitrctl.commands.device.many import report_each, run_each
from jitrctl.device.adopt import UNKNOWN_CA, Adoption, NoSuchThing, foreign_policies, refuse_another_fleets
from jitrctl.device.targets import read_devices
from jitrctl.errors import OperatingError, Refused
from jitrctl.run.scope import Note, Scope, over_stages
from jitrctl.terminal import short

if TYPE_CHECKING:
    from jitr.iot_models import DeviceRegistration
    from jitr.record import Record
    from jitr.x509.certificate import Certificate
    from jitrctl.session.stage import Stage

_KEEPS = (
    "its certificate keeps policies that are not jitr's ({}), beside which the next one has jitr's own: `jitrctl fleet "
    "adopt apply` with the verb align replaces them"
)


@over_stages
def adopt(
    scope: Scope,
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="THING",
            help="A thing that exists, with one certificate attached; several; or - for a list on standard input.",
        ),
    ],
    note: Note = "",
) -> None:
    """Take things made without jitr into the registry, so that their next certificates can be rotations.

    Example: jitrctl device adopt sensor-0001 --account dev --note "made by hand in 2024"
    """
    names = list(read_devices(things))
    without_ca: list[str] = []
    kept: list[tuple[str, str]] = []
    seen = scope.across(lambda stage: {name: _exists(stage, name) for name in names}, doing="reading")
    found = {done.stage: done.value for done in seen.done}
    unknown = [name for name in names if not any(exists[name] for exists in found.values())]
    if unknown and seen.ok:
        raise Refused(
            f"no account has a thing {' or '.join(unknown)}: correct the name, or see `aws iot list-things`"
            + ("; nothing was done with any of them" if len(names) > 1 else "")
        )

    def adopt_here(stage: Stage, name: str) -> str | None:
        if not found[stage][name]:
            return None
        adoption = _adoption(stage, name)
        certificate_id, is_new = adoption.inspect()
        if adoption.is_without_ca:
            without_ca.append(f"{stage} {name}" if len(names) > 1 else str(stage))
        steps = [f"take thing {name} into the registry"] if is_new else []
        attached: tuple[str, ...] = ()
        if is_new:
            answer = stage.iot.list_attached_policies(target=adoption.arn)
            attached = tuple(one["policyName"] for one in answer["policies"])
            refuse_another_fleets(attached, stage.fleet.name)
        with audited(stage, "device adopt", certificate_id, steps, note):
            adopted = adoption.carry_out(_refuse_taken_away) if is_new else certificate_id
        if foreign := foreign_policies(attached, stage.fleet.name):
            kept.append((f"{stage} {name}" if len(names) > 1 else str(stage), _KEEPS.format(", ".join(foreign))))
        return adopted

    results = run_each(scope, names, list(found), adopt_here, doing="adopting")
    scope.warn([*((place, UNKNOWN_CA) for place in without_ca), *kept])
    report_each(
        scope,
        results,
        rows=lambda name, certificate_id: [
            {"thing": name, "belongs to": short(certificate_id) if certificate_id else "no such thing here"}
        ],
        fields=lambda _, certificate_id: {"certificate_id": certificate_id},
        failed=seen.failed,
        **({"thing_name": names[0]} if len(names) == 1 else {}),
    )


def _adoption(stage: Stage, name: str) -> Adoption:
    return Adoption(name, client=stage.iot, iot=stage.aws_iot, registry=stage.registry)


def _refuse_taken_away(device: DeviceRegistration, _certificate: Certificate, record: Record) -> None:
    """Raises OperatingError."""
    if device.status is Status.ACTIVE:
        refuse_taken_away(record)


def _exists(stage: Stage, name: str) -> bool:
    try:
        _adoption(stage, name).inspect()
    except NoSuchThing:
        return False
    except OperatingError:
        return True  # and why it cannot be adopted is said where it is tried
    return True
