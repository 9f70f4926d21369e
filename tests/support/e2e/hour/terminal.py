"""Runs commands in a shell on a terminal of its own, as an operator pastes them, and says yes to their questions.

On a terminal jitrctl asks, wraps and shortens; in a pipe it does neither. What an operator can paste has to be whole on
a terminal.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.e2e.hour.printed import as_shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LINES = 50
_QUESTION = b"[y/N] "
_PATIENCE = 300.0  # seconds for one command


@dataclass(frozen=True, slots=True)
class Printed:
    """A command, its exit code, what is then on the screen, and how long it took."""

    command: str
    code: int
    text: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A shell in a folder, with so many columns."""

    folder: Path
    environ: Mapping[str, str]
    columns: int = 80

    def run(self, command: str) -> Printed:
        """Run one command line until it ends.

        Raises TimeoutError when that takes too long. However this ends, nothing that it started is left.
        """
        ours, theirs = pty.openpty()
        began = time.monotonic()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, self.columns, 0, 0))
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env=dict(self.environ),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            try:
                raw = _read(ours, command)
                code = child.wait(_PATIENCE)
            finally:
                _end(child)
        finally:
            os.close(ours)
        return Printed(command, code, as_shown(raw.decode("utf-8", "replace")), time.monotonic() - began)


def _read(ours: int, command: str) -> bytes:
    """All that is printed, and a yes to each question."""
    raw, answered, deadline = b"", 0, time.monotonic() + _PATIENCE
    while True:
        ready, _, _ = select.select([ours], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError(f"not done in {_PATIENCE:.0f} s: {command}")
        try:
            more = os.read(ours, 65536)
        except OSError:  # EIO: the last process has closed the terminal
            more = b""
        if not more:
            return raw
        raw += more
        if raw.count(_QUESTION) > answered:
            answered += 1
            os.write(ours, b"y\n")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command's processes, those that it started too, unless they are in a group of their own."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
