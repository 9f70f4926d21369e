"""`jitrctl enrollment import`: writes the devices of lists and makers' manifests into the enrollment lists."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.admission.enrollment import EntryRule
from jitr.errors import Rejected
from jitr.x509.pem import decode
from jitrctl.certificate_files import read_file
from jitrctl.commands.enrollment_orders import write_entries
from jitrctl.device.enrollment_rows import BadRows, EntryList, read_entries
from jitrctl.errors import Unusable
from jitrctl.manifests.jws import Signers
from jitrctl.manifests.reading import read_files
from jitrctl.manifests.refused import RefusedFile
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.terminal import err, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SHOWN = 3  # places in a warning
_TELL_EVERY = 0.5  # seconds between two updates of the progress


@over_stages
def import_(
    scope: Scope,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="A list or a maker's manifest, a ZIP or a folder of them: docs/enrollment.md."
        ),
    ],
    note: Annotated[str, typer.Option(help="Why, for rows without a note.", metavar="TEXT")] = "",
    signer: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="The maker's certificate, which a signed manifest is verified with; may be repeated."
        ),
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write rows that cannot be used into this file, with the reason; import the others."
        ),
    ] = None,
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
    name = _name(files)
    signers = _read_signers(signer or ())
    if refused is None:
        found = _read(files, signers, scope, names=names, note=note)
        if found.refused:
            for problem in found.problems:
                warn(problem)
            raise BadRows(name, found.problems, found.refused)
    else:
        if refused.exists():  # it may be a list, or hold rows that were mended since
            raise Unusable(f"--refused {refused} exists already: name a file that does not")
        with RefusedFile(refused, of=files) as file:
            found = _read(files, signers, scope, names=names, note=note, refuse=file.add)
        for problem in found.problems:
            warn(problem)
        if found.refused:
            rows = "row was" if found.refused == 1 else "rows were"
            warn(f"{found.refused} {rows} refused: {refused} has them with the reasons; mend it, and import it")
        if not found.entries:
            raise Unusable(f"{name} has no row that can be used: nothing was imported")
    _warn(found)
    write_entries(
        scope,
        found.entries,
        _describe(found, name),
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


def _read(
    files: Sequence[Path],
    signers: Signers,
    scope: Scope,
    *,
    names: bool,
    note: str,
    refuse: Callable[..., None] = lambda _: None,
) -> EntryList:
    """The entries of all files, with progress on a terminal."""
    with err.status("reading …") if err.is_terminal else nullcontext() as status:
        told = time.monotonic()

        def progress(rows: int) -> None:
            nonlocal told
            if status is not None and (at := time.monotonic()) - told > _TELL_EVERY:
                status.update(f"reading … {rows:,} rows")
                told = at

        return read_entries(
            read_files(files, signers),
            scope.fleet,
            name=_name(files),
            by_name=names,
            note=note,
            refuse=refuse,
            progress=progress,
        )


def _name(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"the {len(files)} lists"


def _read_signers(files: Sequence[Path]) -> Signers:
    """Raises Unusable."""
    certificates = []
    for path in files:
        try:
            certificates += [(path, decode(pem)) for pem in read_file(path).certificates]
            Signers.of([certificates[-1][1]])
        except (Rejected, ValueError) as error:
            raise Unusable(f"--signer {path} is no maker's certificate: {error}") from error
    return Signers.of([der for _, der in certificates])


def _warn(found: EntryList) -> None:
    for why, places in found.skipped.items():
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        warn(f"skipped: {', '.join(places[:_SHOWN])}{more} {why}")
    if found.unverified:
        warn(
            f"the signatures of {found.unverified} rows were not verified: --signer FILE, with the maker's certificate"
        )
