"""Runs ministack on the loopback interface alone, with the additions that are installed below.

It ends with the process that started it, unless that asked otherwise. A script for `python -I`, not for import.

BIND_HOST moves ministack's HTTP port only: its MQTT listener always binds 0.0.0.0 (1.5.33, `_mtls_start_locked`), and
would offer a broker full of test certificates to the whole network. So `socket.bind` is replaced in this process: a
wildcard address becomes the loopback address, and no other address can be bound.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

LOOPBACK = {
    socket.AF_INET: ("127.0.0.1", ("", "0.0.0.0", "localhost", "127.0.0.1")),  # noqa: S104 - what is refused
    socket.AF_INET6: ("::1", ("", "::", "localhost", "::1")),
}
_bind = socket.socket.bind


def bind_to_loopback(self: socket.socket, address: Any, /) -> None:
    """Bind to the loopback address in place of a wildcard.

    Raises:
        PermissionError: the address is neither.
    """
    if self.family in LOOPBACK:
        loopback, accepted = LOOPBACK[self.family]
        host, *rest = address
        if host not in accepted:
            raise PermissionError(f"the local AWS listens on {loopback} only, not on {host}")
        address = (loopback, *rest)
    _bind(self, address)


def add(name: str) -> None:
    """Load a file beside this one by its path, and install it: an isolated process cannot import jitrctl."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.install()


def end_with_starter() -> None:
    """End this process and its Lambda workers when standard input ends, which is when the starter ends.

    With KILL: a worker may ignore another signal, and no process would be left to send a second one.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-starter").start()


if __name__ == "__main__":
    if "JITR_LOCAL_ENDS_WITH_STARTER" in os.environ:
        end_with_starter()
    socket.socket.bind = bind_to_loopback  # type: ignore[method-assign,assignment]
    os.chdir(os.environ["HOME"])  # its own, so that it keeps no other directory in use
    add("client_connections")
    add("status_dates")
    add("extracted_once")
    add("drift_reverted")
    add("registration_codes")
    add("started_singly")
    del sys.argv[1:]  # the marker, which `jitrctl.localaws.processes` reads; ministack does not know it
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
