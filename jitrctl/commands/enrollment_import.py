"""`jitrctl enrollment import`: writes the devices of lists and makers' manifests into the enrollment lists."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from jitr.admission.enrollment import EntryRule
from jitrctl.commands.enrollment_orders import write_entries
from jitrctl.commands.list_reading import Files, RefusedPath, SignerFiles, list_name, read_lists
from jitrctl.device.enrollment_rows import EntryList, read_entries
from jitrctl.run.scope import Scope, Yes, over_stages


@over_stages
def import_(
    scope: Scope,
    files: Files,
    note: Annotated[str, typer.Option(help="Why, for rows without a note.", metavar="TEXT")] = "",
    signer: SignerFiles = None,
    refused: RefusedPath = None,
    *,
    names: Annotated[
        bool, typer.Option("--names", help="Entries for the makers' device names, not for the certificates.")
    ] = False,
    lift_denials: Annotated[
        bool, typer.Option("--lift-denials", help="Also allow denied devices; else they stay denied.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Import whole lists; equal entries are not written again, so it can be repeated.

    Takes jitr's own CSV, certificate ids, PEM bundles, and the manifests of Microchip, Espressif and Nordic, each known
    by its content. A device of a manifest gets an entry for its certificate, by its id; with --names, for its name.
    Every row is checked before anything is written. Denied devices that are ACTIVE are reported.

    Example: jitrctl enrollment import manifest.json --signer microchip.crt --note "batch 7" --yes
    """
    read = partial(read_entries, fleet=scope.fleet, by_name=names, note=note)
    found = read_lists(files, signer or (), refused, read)
    write_entries(
        scope,
        found.entries,
        _describe(found, list_name(files)),
        yes=yes,
        lift_denials=lift_denials,
        ok=not found.refused,
        refused=found.refused,
        refused_file=str(refused) if found.refused else None,
    )


def _describe(found: EntryList, name: str) -> str:
    """What is written: 120 entries of list.csv, 20 of which deny."""
    denying = sum(one.rule is EntryRule.DENY for one in found.entries)
    number = f"{len(found.entries):,} {'entry' if len(found.entries) == 1 else 'entries'}"
    denials = f", {denying:,} of which {'denies' if denying == 1 else 'deny'}" if denying else ""
    return f"write {number} of {name}{denials}"
