"""Waits for a condition of a deployed stage, up to a limit."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0  # seconds to wait for a condition before a test gives up; nothing waits that long when all is well


def wait_until(look: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Poll until `look` answers something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")
