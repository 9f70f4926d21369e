"""Has the local AWS start one worker of a function at a time, and none while another is about to be free.

Loaded by loopback.py into ministack's process, never by jitrctl itself. ministack (1.5.33) starts a worker for every
invocation that finds none free. A device that connects four times while the first worker starts has four of them start,
each in four times the time on a machine with two processors. Here an invocation waits until the start before it is
over, and a moment longer for a busy worker; on Lambda none would wait. A function that invoked itself would be delayed
by that wait; none here does.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

_A_MOMENT = 0.2  # seconds; a warm invocation takes less
_LONGEST_START = 30.0  # seconds
_LOOK = 0.01  # seconds

_acquire_worker = lambda_runtime.acquire_worker
_one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def install() -> None:
    """Replace ministack's `acquire_worker`."""
    lambda_svc.acquire_worker = _acquire


def _acquire(func_name: str, config: Any, code_zip: bytes, qualifier: str = "$LATEST", **more: Any) -> Any:
    key = lambda_runtime._worker_key(func_name, config, qualifier)  # noqa: SLF001 -- ministack offers no other way in
    with _one_at_a_time[key]:
        began = time.monotonic()
        while (start := _seconds_worth_waiting(key)) and time.monotonic() - began < start:
            time.sleep(_LOOK)
        return _acquire_worker(func_name, config, code_zip, qualifier=qualifier, **more)


def _seconds_worth_waiting(key: str) -> float:
    """How many seconds an invocation waits at most; 0 if a worker is free, or there is none at all."""
    with lambda_runtime._lock:  # noqa: SLF001 -- as above
        workers = list(lambda_runtime._workers.get(key, ()))  # noqa: SLF001 -- as above
    if not workers or any(not worker.in_use for worker in workers):
        return 0
    return _LONGEST_START if any(worker._cold for worker in workers) else _A_MOMENT  # noqa: SLF001 -- as above
