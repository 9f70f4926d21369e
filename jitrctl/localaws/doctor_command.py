"""Points from a local device that is not accepted to `jitrctl doctor`, with the whole command to paste."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.errors import MqttError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.issuing import DeviceFiles


@contextmanager
def pointing_to_doctor(files: DeviceFiles, account: LocalAccount, fleet_file: Path, client_id: str) -> Iterator[None]:
    """Add to a failure to connect the command that finds the cause.

    Raises LocalAwsError in place of MqttError.
    """
    try:
        yield
    except MqttError as error:
        raise LocalAwsError(f"{error}; why: `{doctor_command(files, account, fleet_file, client_id)}`") from error


def doctor_command(files: DeviceFiles, account: LocalAccount, fleet_file: Path, client_id: str) -> str:
    """The command that checks every link of a local device, and connects with its key."""
    words = ["jitrctl", "doctor", _path(files.certificate), "--key", _path(files.key), "--client-id", client_id]
    words += ["--account", account.name, "--region", account.region, "--fleet", _path(fleet_file)]
    return shlex.join(words)


def _path(path: Path) -> str:
    """The path from the working directory, where it is below that."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
