"""Keeps the files in the local AWS's directory: the accounts' addresses, and AWS profiles for other programs.

They do not say what is alive: that is read from the running processes.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.localaws.account import LocalAccount
from jitrctl.localaws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNTS, CONFIG, CREDENTIALS = "accounts.json", "aws-config", "aws-credentials"
SOURCE = "source.json"  # which fleet file runs; own_fleet.py writes it
EXTRACTED = "jitr-local-extracted"  # the functions' files, unpacked once for all processes
_REMOVED = ".removed-"  # what is about to be removed


def save(directory: Path, accounts: Sequence[LocalAccount]) -> None:
    """Write accounts.json and the two AWS files (0600), each replaced in one step."""
    entries = [{**asdict(account), "log": str(account.log)} for account in accounts]
    config = credentials = ""
    for account in accounts:
        section = account.profile if account.profile == "default" else f"profile {account.profile}"
        config += f"[{section}]\nregion = {account.region}\nendpoint_url = {account.endpoint_url}\n\n"
        credentials += f"[{account.profile}]\naws_access_key_id = {account.id}\naws_secret_access_key = test\n\n"
    _replace(directory / ACCOUNTS, json.dumps(entries, indent=2) + "\n")
    _replace(directory / CONFIG, config)
    _replace(directory / CREDENTIALS, credentials)


def load(directory: Path) -> tuple[LocalAccount, ...]:
    """The accounts in accounts.json, alive or not; none if there is no such file.

    Raises:
        LocalAwsError: jitrctl did not write that file.
    """
    path = directory / ACCOUNTS
    try:
        entries = json.loads(path.read_text())
        return tuple(LocalAccount(**{**entry, "log": Path(entry["log"])}) for entry in entries)
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, KeyError) as error:
        raise LocalAwsError(f"{path} cannot be read ({error}): stop the local AWS and start it again") from error


def forget(directory: Path) -> None:
    """Remove everything that a run left in the directory, except its logs.

    A thousand files take seconds on some file systems. So they are moved out of the way, and a process of its own
    removes them, and ends.
    """
    for path in (directory / ACCOUNTS, directory / CONFIG, directory / CREDENTIALS, directory / SOURCE):
        path.unlink(missing_ok=True)
    for authority in directory.glob("*.broker-ca.pem"):
        authority.unlink()
    doomed = [path for path in (*directory.glob("jitr-local-*"), directory / "cdk") if path.exists()]
    if doomed:
        aside = Path(tempfile.mkdtemp(prefix=_REMOVED, dir=directory))
        for path in doomed:
            path.rename(aside / path.name)
    # Those of earlier runs too, whose process was perhaps killed.
    if leftovers := list(directory.glob(f"{_REMOVED}*")):
        _remove_in_background(leftovers)


def _remove_in_background(directories: Sequence[Path]) -> None:
    # posix_spawn and not Popen: it outlives this interpreter, and a dropped Popen complains.
    os.posix_spawnp(
        "rm",
        ["rm", "-rf", "--", *map(str, directories)],
        os.environ,
        setpgroup=0,  # Ctrl-C in the terminal does not reach it
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)],
    )


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
