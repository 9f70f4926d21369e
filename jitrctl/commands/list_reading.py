"""Reads the files of an import: its options, progress on a terminal, and what becomes of rows that cannot be used."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from jitr.errors import Rejected
from jitr.x509.pem import decode
from jitrctl.certificate_files import read_file
from jitrctl.device.list_rows import BadRows, RowList
from jitrctl.errors import Unusable
from jitrctl.manifests.jws import Signers
from jitrctl.manifests.reading import read_files
from jitrctl.manifests.refused import RefusedFile
from jitrctl.terminal import err, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jitrctl.manifests.rows import Item, Refusal
_SHOWN = 3  # places in a warning
_TELL_EVERY = 0.5  # seconds between two updates of the progress
T = TypeVar("T", bound=RowList)
T_co = TypeVar("T_co", bound=RowList, covariant=True)


class Read(Protocol[T_co]):
    """Makes a RowList of items."""

    def __call__(
        self,
        items: Iterable[Item],
        *,
        name: str,
        refuse: Callable[[Refusal], None],
        progress: Callable[[int], None],
    ) -> T_co: ...


Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="A list or a maker's manifest, a ZIP or a folder of them: docs/enrollment.md."),
]
SignerFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--signer",
        metavar="FILE",
        help="The maker's certificate, which a signed manifest is verified with; may be repeated.",
    ),
]
RefusedPath = Annotated[
    Path | None,
    typer.Option(
        "--refused",
        metavar="FILE",
        help="Write rows that cannot be used into this file, with the reason; import the others.",
    ),
]


def read_lists(files: Sequence[Path], signer: Sequence[Path], refused: Path | None, read: Read[T]) -> T:
    """What `read` makes of all files; warns of what was left out.

    Raises Unusable, BadRows when a row cannot be used and there is no file for the refused ones.
    """
    name = list_name(files)
    signers = _read_signers(signer)
    if refused is None:
        found = _read(files, signers, read, lambda _: None)
        for problem in found.problems:
            warn(problem)
        if found.refused:
            raise BadRows(name, found.problems, found.refused)
    else:
        if refused.exists():  # it may be a list, or hold rows that were mended since
            raise Unusable(f"--refused {refused} exists already: name a file that does not")
        with RefusedFile(refused, of=files) as file:
            found = _read(files, signers, read, file.add)
        for problem in found.problems:
            warn(problem)
        if found.refused:
            _warn_of_refused(found.refused, refused)
        if not found.used:
            raise Unusable(f"{name} has no row that can be used: nothing was imported")
    _warn(found)
    return found


def write_refused_again(files: Sequence[Path], signer: Sequence[Path], refused: Path, read: Read[RowList]) -> int:
    """Write the file of refused rows anew, from the lists, with what `read` refuses by now; returns the number of rows.

    The file is replaced in one step. It stays as it is, with a warning, if a list cannot be read again, or the file not
    be written.
    """
    written = refused.with_name(f"{refused.name}.{os.getpid()}")
    if not all(path.is_file() or path.is_dir() for path in files):
        warn(f"{refused} has no row that the accounts refused, since a list came through a pipe: --json names them")
        return 0
    try:
        with RefusedFile(written, of=files) as file:
            _read(files, _read_signers(signer), read, file.add)
        written.replace(refused)
    except (Unusable, OSError) as error:
        warn(f"{refused} has no row that the accounts refused ({error}): --json names them")
        return 0
    _warn_of_refused(file.count, refused)
    return file.count


def _warn_of_refused(number: int, file: Path) -> None:
    rows = "row was" if number == 1 else "rows were"
    warn(f"{number} {rows} refused: {file} has them with the reasons; mend it, and import it")


def list_name(files: Sequence[Path]) -> str:
    """The lists in a message."""
    return str(files[0]) if len(files) == 1 else f"the {len(files)} lists"


def _read(files: Sequence[Path], signers: Signers, read: Read[T], refuse: Callable[[Refusal], None]) -> T:
    with err.status("reading …") if err.is_terminal else nullcontext() as status:
        told = time.monotonic()

        def progress(rows: int) -> None:
            nonlocal told
            if status is not None and (at := time.monotonic()) - told > _TELL_EVERY:
                status.update(f"reading … {rows:,} rows")
                told = at

        return read(read_files(files, signers), name=list_name(files), refuse=refuse, progress=progress)


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


def _warn(found: RowList) -> None:
    for why, places in found.skipped.items():
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        warn(f"skipped: {', '.join(places[:_SHOWN])}{more} {why}")
    if found.unverified:
        warn(
            f"the signatures of {found.unverified} rows were not verified: --signer FILE, with the maker's certificate"
        )
