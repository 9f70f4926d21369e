"""Completes the values of options in a shell: names from the fleet file that the command would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer  # noqa: TC002 -- Typer reads the annotations

from jitr_fleet.parse import load
from jitr_fleet.problems import FleetError
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.run.fleet_file import find_fleet_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitr_fleet.model import Fleet


def accounts(context: typer.Context, incomplete: str) -> list[str]:
    """Accounts of the fleet file; none when it cannot be read, since a shell cannot show why."""
    fleet = _fleet(context)
    return _beginning(incomplete, (account.name for account in fleet.accounts)) if fleet else []


def regions(context: typer.Context, incomplete: str) -> list[str]:
    """Regions of the accounts given on the line, or of all."""
    fleet = _fleet(context)
    if fleet is None:
        return []
    named = context.params.get("account") or [account.name for account in fleet.accounts]
    return _beginning(
        incomplete, (one for account in fleet.accounts if account.name in named for one in account.regions)
    )


def cas(context: typer.Context, incomplete: str) -> list[str]:
    """CAs of the fleet file."""
    fleet = _fleet(context)
    return _beginning(incomplete, (ca.name for ca in fleet.cas)) if fleet else []


def origins(context: typer.Context, incomplete: str) -> list[str]:
    """CAs and sources of the fleet file."""
    fleet = _fleet(context)
    return _beginning(incomplete, (one.name for one in fleet.origins)) if fleet else []


def _fleet(context: typer.Context) -> Fleet | None:
    try:
        named = context.params.get("fleet")
        return load(find_fleet_file(Path(named) if named else None, offline=True).path, proven=False)
    except (FleetError, LocalAwsError):
        return None


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
