"""Starts, recognises and stops the processes of the local AWS.

A process is recognised by its command line, never by its pid alone: pids are reused. The *marker*,
`jitr-local-<hash of the directory>-<account>`, is the last argument of the process, and part of the path of its private
TMPDIR, from which ministack runs its Lambda workers. It follows from the directory, so what an interrupted `up` left
is found again, with or without a state file.

Without `stays`, a process ends with its starter, however that ends: its standard input is a pipe whose other end only
this interpreter holds. The system closes that end, and loopback.py then ends the process's group.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCRIPT = Path(__file__).with_name("loopback.py")
# ministack ends within 0.2 s when idle; hypercorn gives open requests 3 s. Then a process is stuck.
SECONDS_TO_END = 5.0
POLL = 0.02
# In a process's environment: it ends when its standard input does. loopback.py reads it.
ENDS_WITH_STARTER = "JITR_LOCAL_ENDS_WITH_STARTER"

_held: dict[int, int] = {}  # pid → this interpreter's end of its standard input, while it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running process of this user."""

    pid: int
    group: int
    command: str


def marker(directory: Path, name: str) -> str:
    """The marker of one account's process: the same for every `up` in this directory."""
    return f"{_prefix(directory)}{name}"


def start(directory: Path, name: str, *, environ: Mapping[str, str], log: Path, stays: bool) -> int:
    """Start ministack for one account, its output in the log; returns its pid, which is its group's id.

    It ends with this interpreter, unless it `stays`.
    """
    to_log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    standard_input, ours = os.pipe()  # no other child process inherits either end
    # posix_spawn and not Popen: the process outlives this interpreter, and a dropped Popen complains.
    # -I: neither the working directory nor PYTHON* variables decide what the process imports.
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", str(SCRIPT), marker(directory, name)],
        environ if stays else {**environ, ENDS_WITH_STARTER: "1"},
        setpgroup=0,  # Ctrl-C in the terminal does not reach it; its Lambda workers can be stopped with it
        file_actions=[
            (os.POSIX_SPAWN_DUP2, standard_input, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), to_log, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    os.close(standard_input)
    _held[pid] = ours
    # For a moment Linux shows a new process without its command line, and `stop` would not recognise it.
    while pid not in find_alive(directory) and not has_ended(pid):
        time.sleep(POLL)
    return pid


def find_alive(directory: Path) -> frozenset[int]:
    """The pids of the ministack processes that belong to this directory."""
    return frozenset(process.pid for process in _processes() if _is_ours(process, directory))


def stop(directory: Path, *, groups: Iterable[int] = ()) -> None:
    """End every process of this directory and its group: TERM, then KILL.

    `groups` are ids from a state file. Such a group is ended even if its leader has died, provided that a member still
    carries the marker, as Lambda workers do.
    """
    ours = find_alive(directory)
    remembered = ours | frozenset(groups)  # a worker that outlives TERM has lost its leader by then
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in _groups(directory, remembered):
            with suppress(ProcessLookupError):
                os.killpg(group, number)
        deadline = time.monotonic() + SECONDS_TO_END
        while not _is_over(directory, ours, remembered) and time.monotonic() < deadline:
            time.sleep(POLL)


def has_ended(child: int) -> bool:
    """Whether a process that this interpreter started has ended; true for a process that is not its child."""
    try:
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # collected before
        ended = True
    if ended and child in _held:
        os.close(_held.pop(child))
    return ended


def _prefix(directory: Path) -> str:
    digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()
    return f"jitr-local-{digest[:16]}-"


def _is_ours(process: Process, directory: Path) -> bool:
    *_, script, last = ["", "", *process.command.split(" ")]
    return script.endswith(f"/{SCRIPT.name}") and last.startswith(_prefix(directory))


def _is_over(directory: Path, ours: frozenset[int], remembered: frozenset[int]) -> bool:
    # has_ended() collects each, if it was a child of this interpreter; a list, so that none is skipped.
    return all([has_ended(pid) for pid in ours]) and not _groups(directory, remembered)  # noqa: C419


def _groups(directory: Path, remembered: frozenset[int]) -> frozenset[int]:
    """The live process groups of this directory.

    A reader of a log (`tail -f …/jitr-local-…`) carries the marker too, but leads none of these groups.
    """
    prefix = _prefix(directory)
    running = list(_processes())
    leaders = {process.pid for process in running if _is_ours(process, directory)}
    return frozenset(
        process.group
        for process in running
        if process.group in leaders or (process.group in remembered and prefix in process.command)
    )


def _processes() -> Iterator[Process]:
    """The user's processes, without zombies, which have no command line.

    From /proc if it exists (a slim container has no `ps`), else from `ps`.
    """
    return _from_proc() if Path("/proc/self/cmdline").exists() else _from_ps()


def _from_proc() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        # A process may end between the listing and the reading: then it is not running.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                command = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
                number = int(entry.name)
                if command:
                    yield Process(pid=number, group=os.getpgid(number), command=os.fsdecode(command))


def _from_ps() -> Iterator[Process]:
    listing = subprocess.run(["ps", "xww", "-o", "pid=,pgid=,command="], check=True, capture_output=True, text=True)
    for line in listing.stdout.splitlines():
        pid, group, command = line.split(maxsplit=2)
        yield Process(pid=int(pid), group=int(group), command=command.strip())
