"""Decides which fleet file a command is about, so that it is never another fleet than the one that is meant.

    1  --fleet FILE
    2  the file that JITR_FLEET names
    3  the local AWS's file, in a shell that is for it: AWS_ENDPOINT_URL is the address of one of its accounts
    4  fleet.toml in the current folder
    5  .local/fleet.toml, where there is no fleet.toml and the local AWS of this folder is running

With fleet.toml here and a local AWS running here, and nothing that says which of the two is meant, a command that calls
AWS refuses to choose: an order could go to real devices, or be taken for given and go to the local ones. A local AWS
that is not running is never chosen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.errors import Unusable
from jitrctl.localaws.folder import FLEET_FILE, LOCAL
from jitrctl.session.endpoints import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jitrctl.localaws.account import LocalAccount

VARIABLE = "JITR_FLEET"
DEFAULT = Path(FLEET_FILE)
_CHECKOUT = Path(__file__).parents[2]  # whose local AWS `jitrctl local` runs
_ENDPOINT, _CONFIG = "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"


class ChosenBy(StrEnum):
    """Why a fleet file was chosen."""

    OPTION = "--fleet"
    VARIABLE = "JITR_FLEET"
    LOCAL_AWS = "the local AWS"
    FOLDER = ""  # the current one


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFile:
    """The fleet file of a command."""

    path: Path
    chosen_by: ChosenBy

    def describe(self, fleet: str) -> str:
        """What is said where no option named the file: fleet acme, .local/fleet.toml (the local AWS)."""
        return f"fleet {fleet}, {self.path}" + (f" ({self.chosen_by})" if self.chosen_by else "")


def find_fleet_file(
    named: Path | None,
    *,
    offline: bool = False,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
) -> FleetFile:
    """The fleet file of a command; `named` is the value of --fleet.

    With `offline` the command calls nothing, and takes fleet.toml where the others would refuse to choose.

    Raises Unusable when two fleets may be meant; LocalAwsError when the local AWS's state cannot be read.
    """
    if named is not None:
        return FleetFile(path=named, chosen_by=ChosenBy.OPTION)
    if value := environ.get(VARIABLE):
        return FleetFile(path=Path(value), chosen_by=ChosenBy.VARIABLE)
    if local := _of_shell(environ, folder):
        return FleetFile(path=local, chosen_by=ChosenBy.LOCAL_AWS)
    ours, local = folder / DEFAULT, _of_folder(folder)
    if local is None or (offline and ours.exists()):
        return FleetFile(path=ours, chosen_by=ChosenBy.FOLDER)
    if not ours.exists():
        return FleetFile(path=local, chosen_by=ChosenBy.LOCAL_AWS)
    raise Unusable(
        f"two fleets may be meant: {ours}, and {local} of the local AWS that runs here. Say which: --fleet {ours} or "
        f"--fleet {local}; for the whole shell, {VARIABLE}={ours} or {VARIABLE}={local}; or stop the local AWS, "
        "`jitrctl local down`"
    )


def _of_shell(environ: Mapping[str, str], folder: Path) -> Path | None:
    """The fleet file of the local AWS that the shell's endpoint belongs to; None when it belongs to none that runs."""
    url = environ.get(_ENDPOINT, "")
    if not url or not is_loopback(url):
        return None
    for directory in _directories(environ, folder):
        if any(account.endpoint_url == url.rstrip("/") for account in _running(directory)):
            return _from(folder, directory / FLEET_FILE)
    return None


def _from(folder: Path, path: Path) -> Path:
    """A path as one would write it in a folder: from there when it is inside."""
    try:
        return folder / path.resolve().relative_to(folder.resolve())
    except ValueError:
        return path


def _directories(environ: Mapping[str, str], folder: Path) -> Iterator[Path]:
    """Where the shell's local AWS may have its files."""
    yield folder / LOCAL
    if environ.get(_CONFIG):
        yield Path(environ[_CONFIG]).parent
    yield _CHECKOUT / LOCAL


def _of_folder(folder: Path) -> Path | None:
    """The fleet file of the local AWS that runs in a folder; None when none does."""
    directory = folder / LOCAL
    return directory / FLEET_FILE if _running(directory) else None


def _running(directory: Path) -> tuple[LocalAccount, ...]:
    """The accounts of a local AWS with a fleet file that run."""
    if not (directory / FLEET_FILE).exists():
        return ()
    from jitrctl.localaws import accounts  # noqa: PLC0415 -- boto3's weight, for the local AWS alone

    return accounts.find_running(directory)
