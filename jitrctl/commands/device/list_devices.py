"""`jitrctl device list`: lists the devices of each account, or those that are held and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.store.registry_items import from_verdict
from jitrctl.clock import now
from jitrctl.device import held, listing
from jitrctl.device.listing import Listing, list_devices
from jitrctl.errors import Unusable
from jitrctl.run.origins import Origins
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.stage import chosen_origins
from jitrctl.terminal import ago, at, err, out, short, table

if TYPE_CHECKING:
    from jitrctl.device.held import Held
    from jitrctl.device.listing import ListedDevice
    from jitrctl.session.stage import Stage

_MOST_SHOWN = 50


@over_stages
def list_(
    scope: Scope,
    reason: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="With --held: only this reason, such as NOT_LISTED: docs/rejections.md."),
    ] = None,
    origin: Origins = None,
    most: Annotated[
        int, typer.Option(metavar="N", help="At most so many devices of each account.", min=1, max=listing.MOST)
    ] = _MOST_SHOWN,
    *,
    held_ones: Annotated[
        bool, typer.Option("--held", help="Held devices alone, all of them: refused until the cause is removed.")
    ] = False,
) -> None:
    """List the devices of each account, the latest decisions first, and how many others there are.

    The status is the last one that a decision or an order set; `device show` asks AWS IoT. With --held: the reason, the
    thing name, since when, and the next evaluation.

    Reads indexes of the registry, never the whole table: for each CA four queries, the records of what is shown, and up
    to 250 read units to count the others of one kind, which ends at 10,000.

    Example: jitrctl device list --account prod --most 200
    """
    if held_ones:
        _list_held(scope, reason, origin)
        return
    if reason:
        raise Unusable("--reason is for held devices: say --held")
    results = scope.across(
        lambda stage: list_devices(stage, chosen_origins(stage, origin or ()), most=most), doing="reading the index"
    )

    def show_results() -> None:
        rows = [_device_row(done.stage, one) for done in results.done for one in done.value.devices]
        if rows:
            out.print(table(rows, whole=("thing", "certificate")))
        for done in results.done:
            err.print(f"{done.stage}: {_others(done.value, most)}.", markup=False)

    scope.report(results, show=show_results, fields=_listing_document)


def _list_held(scope: Scope, reason: str | None, cas: list[str] | None) -> None:
    def read(stage: Stage) -> list[Held]:
        return [
            one
            for one in held.list_held(stage)
            if (reason is None or one.reason == reason.upper()) and (not cas or one.ca in cas)
        ]

    results = scope.across(read, doing="reading held devices")
    scope.warn(
        [
            (str(done.stage), f"only the first {held.MOST} were read.")
            for done in results.done
            if len(done.value) >= held.MOST
        ]
    )
    scope.report(
        results,
        rows=lambda _, devices: [_row(one) for one in devices],
        fields=lambda devices: {"held": [_document(one) for one in devices]},
    )
    if scope.as_json:
        return
    for done in results.done:
        if not done.value:
            err.print(f"{done.stage}: no device is held{f' for {reason}' if reason else ''}.", markup=False)


def _others(one: Listing, most: int) -> str:
    """How many devices are not shown, and the option that shows them."""
    if not one.more and one.is_all_counted:
        return f"{_devices(len(one.devices))}, all are shown" if one.devices else "nothing was decided on any device"
    more = f"{one.more:,} more" if one.is_all_counted else f"more than {one.more:,} more"
    return f"the latest {_devices(len(one.devices))}, and {more}: --most {min(most * 10, listing.MOST)}"


def _devices(number: int) -> str:
    return f"{number:,} device{'' if number == 1 else 's'}"


def _device_row(stage: Stage, one: ListedDevice) -> dict[str, str]:
    decision, verdict = one.decision, one.record.verdict
    return {
        "stage": str(stage),
        "thing": decision.thing_name or decision.requested_name or "-",
        "certificate": short(decision.certificate_id),
        "status": str(one.status),
        "decision": str(decision.reason or decision.outcome) + (f", {verdict.action}" if verdict else ""),
        "decided": ago(decision.decided_at, now()),
    }


def _listing_document(one: Listing) -> dict[str, Any]:
    return {
        "devices": [_device_document(device) for device in one.devices],
        "more": one.more,
        "all_counted": one.is_all_counted,
    }


def _device_document(one: ListedDevice) -> dict[str, Any]:
    decision = one.decision
    return {
        "certificate_id": decision.certificate_id,
        "ca": decision.ca,
        "thing_name": decision.thing_name or decision.requested_name,
        "status": one.status,
        "outcome": decision.outcome,
        "reason": decision.reason.name if decision.reason else None,
        "detail": decision.detail,
        "registered_at": decision.registered_at.isoformat(),
        "decided_at": decision.decided_at.isoformat(),
        "verdict": from_verdict(one.record.verdict) if one.record.verdict else None,
    }


def _row(one: Held) -> dict[str, str]:
    return {
        "thing": one.thing_name or "-",
        "certificate": short(one.certificate_id),
        "reason": one.reason,
        "why": one.detail,
        "waits since": at(one.waits_since),
        "next evaluation": at(one.next_look) if one.next_look else "-",
    }


def _document(one: Held) -> dict[str, Any]:
    return {
        "certificate_id": one.certificate_id,
        "ca": one.ca,
        "thing_name": one.thing_name,
        "reason": one.reason,
        "detail": one.detail,
        "waits_since": one.waits_since.isoformat(),
        "looked_at": one.looked_at.isoformat(),
        "next_look": one.next_look.isoformat() if one.next_look else None,
    }
