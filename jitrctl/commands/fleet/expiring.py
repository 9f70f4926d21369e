"""`jitrctl fleet expiring`: which devices' certificates end soon, and until when each CA admits devices."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr_fleet.values import SECONDS
from jitrctl.clock import now
from jitrctl.device.expiring import count_by_ca, find_expiring
from jitrctl.errors import Unusable
from jitrctl.run.scope import Scope, over_stages
from jitrctl.terminal import err, out, short, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.device.expiring import Expiring, ExpiringDevice
    from jitrctl.session.stage import Stage

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_MOST_SHOWN = 50  # devices of a stage; --json has them all


@over_stages
def expiring(
    scope: Scope,
    within: Annotated[
        str, typer.Option(metavar="DURATION", help="How far to look ahead: a whole number and a unit, as 90d or 12h.")
    ] = "90d",
) -> None:
    """List the ACTIVE certificates that end soon, and until when each CA can admit devices.

    A certificate counts if no other one has followed it: its device has not rotated. A CA admits no device after its
    own end; with a `minimum_remaining_life`, a device whose certificate ends with its CA is refused earlier. Reads the
    registry of every account, which takes long with many devices.

    Example: jitrctl fleet expiring --within 30d
    """
    ahead = _parse(within)
    present = now()
    results = scope.across(lambda stage: find_expiring(stage, present, ahead), doing="reading the registries")

    def show_results() -> None:
        out.print(table([row for done in results.done for row in _ca_rows(done.stage, done.value)]))
        rows = [_device_row(done.stage, one) for done in results.done for one in done.value.devices[:_MOST_SHOWN]]
        if rows:
            out.print()
            out.print(table(rows, whole=("thing", "certificate")))
        for done in results.done:
            if (more := len(done.value.devices) - _MOST_SHOWN) > 0:
                err.print(f"{done.stage}: {more:,} more, which --json has.", style="dim", markup=False)
            if done.value.unknown:
                err.print(
                    f"{done.stage}: of {done.value.unknown:,} ACTIVE certificates no record says when they end.",
                    style="dim",
                    markup=False,
                )

    scope.report(results, show=show_results, fields=_document, within_seconds=int(ahead.total_seconds()))


def _parse(within: str) -> timedelta:
    """Read a duration as the fleet file writes it.

    Raises Unusable.
    """
    if match := _DURATION.fullmatch(within):
        return timedelta(seconds=int(match[1]) * SECONDS[match[2]])
    raise Unusable(f"--within {within} is no duration: write a whole number and a unit, as 90d or 12h")


def _ca_rows(stage: Stage, found: Expiring) -> list[dict[str, str]]:
    soon = count_by_ca(found.devices)
    ends = [(one.name, f"{one.ends_at:%F}", f"{one.admits_until:%F}") for one in found.cas]
    return [
        {
            "stage": str(stage),
            "CA": name,
            "ends": ends_at,
            "admits until": until,
            "ending soon": f"{soon.get(name, 0):,}",
            "ended": f"{found.ended.get(name, 0):,}",
        }
        for name, ends_at, until in (*ends, *((source, "-", "-") for source in found.sources))
    ]


def _device_row(stage: Stage, one: ExpiringDevice) -> dict[str, str]:
    return {
        "stage": str(stage),
        "ends": f"{one.ends_at:%F}",
        "thing": one.thing_name or "-",
        "certificate": short(one.certificate_id),
        "CA": one.ca or "-",
    }


def _document(found: Expiring) -> Mapping[str, Any]:
    soon = count_by_ca(found.devices)
    return {
        "cas": [
            {
                "ca": one.name,
                "not_after": one.ends_at.isoformat(),
                "admits_until": one.admits_until.isoformat(),
                "expiring": soon.get(one.name, 0),
                "ended": found.ended.get(one.name, 0),
            }
            for one in found.cas
        ],
        "sources": [
            {"source": name, "expiring": soon.get(name, 0), "ended": found.ended.get(name, 0)} for name in found.sources
        ],
        "devices": [
            {
                "certificate_id": one.certificate_id,
                "thing_name": one.thing_name,
                "ca": one.ca,
                "not_after": one.ends_at.isoformat(),
            }
            for one in found.devices
        ],
        "unknown": found.unknown,
    }
