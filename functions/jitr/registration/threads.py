"""Runs several messages of a batch at once, each in a thread.

No lock is held during a call of AWS. What threads share is safe by itself: boto3's clients, counters with a lock, and
caches that answer with the older value while one thread reads the newer one.
"""

import threading
from collections.abc import Callable
from typing import Protocol


class Beside(Protocol):
    """Runs actions concurrently."""

    def start(self, action: Callable[[], None]) -> None:
        """Start the action beside those that run already."""

    def join(self) -> None:
        """Wait until all actions have ended.

        Raises the first error of an action.
        """


class Threads:
    """Runs each action in a thread of its own."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, action: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 -- raised again where the threads are joined
            self._errors.append(error)


class OneByOne:
    """Runs each action to its end before the next one, for tests that fix the order."""

    def start(self, action: Callable[[], None]) -> None:
        action()

    def join(self) -> None: ...
