"""Runs an execution environment's threads as tasks of the clock: while one sleeps, the others run."""

from collections.abc import Callable

from simulation.clock import Clock, Task


class Tasks:
    """Runs each action in a task of its own; in place of jitr.registration.threads.Threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[Task] = []

    def start(self, action: Callable[[], None]) -> None:
        self._tasks.append(self._clock.start(action))

    def join(self) -> None:
        self._clock.join(self._tasks)
        self._tasks.clear()

    def kill(self) -> None:
        """Stop all tasks: the process died."""
        self._clock.kill(self._tasks)
