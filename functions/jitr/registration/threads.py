"""Several messages of a batch at once: a thread for each.

Nothing here holds a lock while it calls AWS. What threads share is safe in itself: boto3's clients, caches of which the
older answer is good enough while one thread asks for the newer one, counters with a lock of their own.
"""

import threading
from collections.abc import Callable
from typing import Protocol


class Beside(Protocol):
    """Runs actions beside each other."""

    def start(self, action: Callable[[], None]) -> None:
        """Run it now, beside what runs already."""

    def join(self) -> None:
        """Return when all have ended.

        Raises what one of them raised.
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
    """Runs each action to its end before the next one: for tests that script what happens in which order."""

    def start(self, action: Callable[[], None]) -> None:
        action()

    def join(self) -> None: ...
