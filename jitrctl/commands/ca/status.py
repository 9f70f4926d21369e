"""`jitrctl ca status`: shows each CA in each account, and how it differs from the fleet file."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.iot_models import Status
from jitrctl import intake
from jitrctl.audit import log
from jitrctl.ca import registry
from jitrctl.ca.device_count import count_now, read_last_count
from jitrctl.ca.explaining_orders import find_cause
from jitrctl.ca.plan import CaState, differences, proof_warning
from jitrctl.run import completion
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.stage import chosen_cas
from jitrctl.terminal import at, grouped, out, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.audit.log import AuditEntry
    from jitrctl.ca.device_count import DeviceCount
    from jitrctl.session.stage import Stage

_NOW = "now"
PAUSED = "paused, devices wait in the queue: `jitrctl ca resume`"

Cas = Annotated[
    list[str] | None,
    typer.Option("--ca", metavar="CA", help="Only this CA; may be repeated.", autocompletion=completion.cas),
]


@over_stages
def status(
    scope: Scope,
    ca: Cas = None,
    *,
    count: Annotated[
        bool, typer.Option("--count", help="Count the devices now, instead of taking the sweep's last full count.")
    ] = False,
) -> None:
    """Show each CA in each account: mode, status, rule, devices, and how it differs from the fleet file.

    Exit code 1 when a CA differs.

    Example: jitrctl ca status
    """
    results = scope.across(lambda stage: _status(stage, ca, count=count), doing="asking AWS IoT")
    differs = any(document["differences"] for done in results.done for document in done.value["cas"])

    def show_results() -> None:
        for one in scope.fleet.cas:
            if not ca or one.name in ca:
                out.print(
                    f"[bold]{one.name}[/bold]  until {one.certificate.not_after:%F}  {one.certificate_id}",
                    soft_wrap=True,
                )
        if scope.fleet.cas:
            out.print()
        found = [(done.stage, one) for done in results.done for one in done.value["cas"]]
        if found:
            out.print(table([_row(stage, one) for stage, one in found]))
            out.print(counted_when([one["devices"] for _, one in found]), style="dim")
        else:
            out.print("The fleet file gives these accounts no CA.")
        paused = [(str(done.stage), PAUSED) for done in results.done if done.value["paused"]]
        differing = [(f"{stage} {one['ca']}", text) for stage, one in found for text in one["differences"]]
        last = [(f"{stage} {one['ca']}", one["last_order"]) for stage, one in found]
        last += [(str(done.stage), done.value["braked"]) for done in results.done]
        ordered = [(place, f"so ordered: {given}") for place, given in last if given]
        warned = [(f"{stage} {one['ca']}", one["warning"]) for stage, one in found if one["warning"]]
        for line in grouped((*paused, *differing, *ordered, *warned)):
            out.print(line, markup=False, soft_wrap=True)

    scope.report(results, show=show_results, fields=_document, ok=not differs)


def _status(stage: Stage, cas: Sequence[str] | None, *, count: bool) -> dict[str, Any]:
    mapping = intake.find_mapping(stage)
    paused = mapping is not None and not mapping.is_on
    return {
        "paused": paused,
        "mapping": mapping.state if mapping else None,
        "braked": _pause(stage) if paused else None,
        "cas": [
            {
                **_state_document(state, count_document(_count(stage, state, count=count))),
                "last_order": _last_order(stage, state),
            }
            for state in registry.inspect_cas(stage, chosen_cas(stage, cas or ()))
        ],
    }


def _pause(stage: Stage) -> AuditEntry | None:
    """The order that paused the account; None when it is not known.

    If the pause could not be kept, the last order is an older one; one that resumed says nothing about the pause.
    """
    given = log.read_last_if_readable(stage, log.BRAKE)
    return given if given and given.order == log.PAUSE else None


def _last_order(stage: Stage, state: CaState) -> AuditEntry | None:
    """The order that explains why a CA differs from the fleet file; None for other CAs, and when none does."""
    if not differences(state):
        return None
    return find_cause(log.read_all_if_readable(stage, state.declared.ca.certificate_id), state)


def _document(found: dict[str, Any]) -> dict[str, Any]:
    """The result of `_status` for --json."""
    cas = [{**one, "last_order": log.document(one["last_order"])} for one in found["cas"]]
    return {**found, "braked": log.document(found["braked"]), "cas": cas}


def _state_document(state: CaState, devices: dict[str, Any] | None) -> dict[str, Any]:
    found = state.found
    return {
        "ca": state.name,
        "certificate_id": state.declared.ca.certificate_id,
        "registered": found is not None,
        "mode": found.mode if found else None,
        "status": ("ACTIVE" if found.active else "INACTIVE") if found else None,
        "auto_registration": found.registers_automatically if found else None,
        "not_after": state.declared.ca.certificate.not_after.isoformat(),
        "rule": state.rule,
        "devices": devices,
        "differences": list(differences(state)),
        "warning": proof_warning(state),
    }


def count_document(counted: DeviceCount | None) -> dict[str, Any] | None:
    """A CA's device count for --json."""
    if counted is None:
        return None
    return {
        "counted_at": counted.counted_at.isoformat() if counted.counted_at else _NOW,
        "counts": dict(counted.by_status),
        "unlisted": counted.unlisted,
    }


def _count(stage: Stage, state: CaState, *, count: bool) -> DeviceCount | None:
    certificate_id = state.declared.ca.certificate_id
    if not count:
        return read_last_count(stage, certificate_id)
    return count_now(stage, certificate_id) if state.found else None


def _row(stage: Stage, one: dict[str, Any]) -> dict[str, str]:
    counts = one["devices"]["counts"] if one["devices"] else None
    return {
        "stage": str(stage),
        "CA": one["ca"],
        "mode": one["mode"] or "-",
        "status": one["status"] or "not registered",
        "rule": str(one["rule"]),
        "active": "?" if counts is None else str(counts.get(Status.ACTIVE, 0)),
        "pending": "?" if counts is None else str(counts.get(Status.PENDING_ACTIVATION, 0)),
    }


def counted_when(devices: Sequence[dict[str, Any] | None]) -> str:
    """When the devices were counted; `devices` are results of `count_document`."""
    times = sorted({one["counted_at"] for one in devices if one})
    if not times:
        return "Devices were not counted yet: the sweep does once a day, and --count does now."
    unlisted = sum(one["unlisted"] for one in devices if one)
    more = (
        f" AWS IoT lists {unlisted} of them under no CA: they are counted from jitr's records, which know only devices "
        "that jitr has decided on."
        if unlisted
        else ""
    )
    if times == [_NOW]:
        return f"Devices counted now.{more}"
    shown = [at(datetime.fromisoformat(text)) for text in times if text != _NOW]
    until = f" to {shown[-1]}" if len(shown) > 1 else ""
    return f"Devices as the sweep counted them, {shown[0]}{until}.{more}"
