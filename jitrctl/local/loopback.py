"""Run ministack with every listener on the loopback interface: a script for `python -I`, not for import.

BIND_HOST moves ministack's HTTP port only: its MQTT listener binds 0.0.0.0 whatever one says (1.5.33,
`_mtls_start_locked`), and would offer a broker full of test certificates to the whole network. So the rule
stands where nothing gets past it: in this process a wildcard address *is* the loopback address, and any other
address cannot be bound.
"""

from __future__ import annotations

import os
import runpy
import socket
import sys
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


if __name__ == "__main__":
    socket.socket.bind = bind_to_loopback  # type: ignore[method-assign,assignment]
    os.chdir(os.environ["HOME"])  # its own, so that it holds on to nobody's directory
    del sys.argv[1:]  # the marker, for `jitrctl.local.processes`; ministack would not know it
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
