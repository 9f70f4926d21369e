"""`jitrctl device list --held`: lists the held devices, why they are held, and when they are evaluated next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.commands.ca.status import Cas
from jitrctl.device.held import MOST, Held, list_held
from jitrctl.errors import Unusable
from jitrctl.run.scope import Scope, over_stages
from jitrctl.terminal import at, err, short

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage


@over_stages
def list_(
    scope: Scope,
    ca: Cas = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only this reason, such as NOT_LISTED: docs/rejections.md.")
    ] = None,
    *,
    held_ones: Annotated[
        bool, typer.Option("--held", help="Held devices: refused until the cause is removed.")
    ] = False,
) -> None:
    """List the held devices of each account: the reason, the thing name, since when, and the next evaluation.

    Example: jitrctl device list --held --account prod
    """
    if not held_ones:
        raise Unusable("say --held: all things are in `aws iot list-things`, one device is `jitrctl device show`")

    def read(stage: Stage) -> list[Held]:
        return [
            one
            for one in list_held(stage)
            if (reason is None or one.reason == reason.upper()) and (not ca or one.ca in ca)
        ]

    results = scope.across(read, doing="reading held devices")
    scope.report(
        results,
        rows=lambda _, devices: [_row(one) for one in devices],
        fields=lambda devices: {"held": [_document(one) for one in devices]},
    )
    if scope.as_json:
        return
    whom = f" of CA {' or '.join(ca)}" if ca else ""
    whom += f" for {reason}" if reason else ""
    for done in results.done:
        if not done.value:
            err.print(f"{done.stage}: no device is held{whom}.", markup=False)
        if len(done.value) >= MOST:
            err.print(f"{done.stage}: only the first {MOST} were read.", markup=False)


def _row(one: Held) -> dict[str, str]:
    return {
        "thing": one.thing_name or "-",
        "certificate": short(one.certificate_id),
        "reason": one.reason,
        "why": one.detail,
        "waits since": at(one.waits_since),
        "next look": at(one.next_look) if one.next_look else "-",
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
