"""Virtual time: every part of the simulation, and everything driven by it, takes its time from one Clock.

Code uses it in two ways:

- Alone. `sleep` moves time forward and runs, in order, everything that is due until then. A test that calls a handler
  directly needs no more.
- As tasks. `spawn` starts a function that runs at the same (virtual) time as others: while it sleeps, the others run.
  Only one task runs at a time, until it sleeps, so nothing needs a lock and every run is the same. A task is a thread,
  because boto3 and the handlers are blocking code; each sleep costs some 20 µs.

A test that schedules tasks itself makes a `task`, which calls `park`, and resumes it with `go_on`.

Nothing here sleeps in real time, or reads the real clock.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


class DeadlinePassed(BaseException):
    """Code slept past its deadline; a BaseException, since no `except Exception` stops Lambda's timeout either."""


class Closed(BaseException):
    """The clock was closed while the task slept."""


class Clock:
    """One virtual time."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running: Task | None = None
        self._asleep: set[Task] = set()
        self._parked: set[Task] = set()
        self._joining: set[Task] = set()  # tasks that wait in `join`
        self._deadlines: list[float] = []  # of code that runs alone; a task has its own

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` that many seconds from now."""
        heapq.heappush(self._due, (self._elapsed + seconds, next(self._order), action))

    def sleep(self, seconds: float) -> None:
        """Wait, while other tasks run.

        Raises DeadlinePassed, at the deadline, if one is within the wait.
        """
        deadlines = self._running.deadlines if self._running else self._deadlines
        if deadlines and self._elapsed + seconds > deadlines[-1]:
            self._wait(max(deadlines[-1] - self._elapsed, 0))
            raise DeadlinePassed
        self._wait(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, and run everything that is due; for tests, where a handler would `sleep`."""
        self.sleep(seconds)

    def spawn(self, action: Callable[[], None]) -> None:
        """Start a task; it runs when time next passes.

        Its uncaught error is raised where time was made to pass.
        """
        task = Task(action)
        self.call_later(0, lambda: self._resume(task))

    def start(self, action: Callable[[], None]) -> "Task":
        """Start a task beside the running one, with the same deadline; what it raises is raised in `join`."""
        task = Task(action)
        task.is_joined = True
        task.parent = self._running
        task.deadlines = list(self._running.deadlines if self._running else self._deadlines)
        self.call_later(0, lambda: self._resume(task))
        return task

    def join(self, tasks: Sequence["Task"]) -> None:
        """Let time pass until these tasks have ended, or one of them has failed.

        Raises what a task raised.
        """
        waiter = self._running
        while not any(task.error for task in tasks) and not all(task.has_ended for task in tasks):
            if waiter is None:
                self._wait(max(self._due[0][0] - self._elapsed, 0))
                continue
            for task in tasks:
                task.waiter = waiter
            self._asleep.add(waiter)
            self._joining.add(waiter)
            waiter.pause()
        for task in tasks:
            if task.error:
                raise task.error

    def kill(self, tasks: Sequence["Task"]) -> None:
        """Stop these tasks for good; they do not learn of what they wait for."""
        for task in tasks:
            task.closing = True

    def task(self, action: Callable[[], None]) -> "Task":
        """A task that starts with its first `go_on`, not by itself."""
        task = Task(action)
        self._parked.add(task)
        return task

    def park(self) -> None:
        """Suspend the running task until `go_on` is called for it; others run meanwhile.

        Raises DeadlinePassed if its deadline has passed by then.
        """
        task = self._running
        if task is None:
            raise RuntimeError("only a task can be parked")
        self._parked.add(task)
        task.pause()
        if task.deadlines and self._elapsed > task.deadlines[-1]:
            raise DeadlinePassed

    def go_on(self, task: "Task") -> None:
        """Run a parked task until it parks again or ends; time passes while it sleeps.

        Its uncaught error is raised here.
        """
        self._parked.discard(task)
        self._resume(task)
        while task in self._asleep:
            self._wait(max(self._due[0][0] - self._elapsed, 0))

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Raise DeadlinePassed at the first sleep inside that ends more than this many seconds from now."""
        deadlines = self._running.deadlines if self._running else self._deadlines
        deadlines.append(self._elapsed + seconds)
        try:
            yield
        finally:
            deadlines.pop()

    def close(self) -> None:
        """End the tasks that still sleep, or are parked."""
        for task in [*self._asleep, *self._parked]:
            task.closing = True
            self._resume(task)

    def _wait(self, seconds: float) -> None:
        if self._running:
            task = self._running
            self.call_later(seconds, lambda: self._resume(task))
            self._asleep.add(task)
            task.pause()
            return
        until = self._elapsed + seconds
        while self._due and self._due[0][0] <= until:
            when, _, action = heapq.heappop(self._due)
            # An action may itself let time pass, so `until` may be in the past when it returns.
            self._elapsed = max(self._elapsed, when)
            action()
        self._elapsed = max(self._elapsed, until)

    def _resume(self, task: "Task") -> None:
        if task.has_ended:
            return
        self._asleep.discard(task)
        self._parked.discard(task)
        self._running = task
        try:
            task.go_on()
        finally:
            self._running = None
        if task.has_ended and task.waiter:
            waiter, task.waiter = task.waiter, None
            self.call_later(0, lambda: self._end_join(waiter))
        if task.error is None or isinstance(task.error, Closed):
            return
        if not task.is_joined:
            raise task.error
        if not isinstance(task.error, Exception):  # the process is gone, and who started the task with it
            if task.parent is None:
                raise task.error
            task.parent.doom = task.error

    def _end_join(self, waiter: "Task") -> None:
        """Run a task that waits in `join`; only once if several that it waits for ended in the same moment."""
        if waiter in self._joining:
            self._joining.discard(waiter)
            self._resume(waiter)


class Task:
    """A function in a thread that only runs while the clock waits for it."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._mine, self._clocks = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._clocks.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.deadlines: list[float] = []
        self.error: BaseException | None = None
        self.closing = False
        self.has_ended = False
        self.is_joined = False  # what it raises is raised in `join`
        self.waiter: Task | None = None  # the task that joins it
        self.parent: Task | None = None  # the task that started it
        self.doom: BaseException | None = None  # what ended a task that it started

    def go_on(self) -> None:
        """For the clock: run the task, and return when it sleeps or has ended."""
        self._mine.release()
        self._clocks.acquire()

    def pause(self) -> None:
        """For the task: return to the clock, and come back when it is run again."""
        if not self.closing:
            self._clocks.release()
            self._mine.acquire()
        if self.closing:
            raise Closed
        if self.doom:
            raise self.doom

    def _run(self) -> None:
        self._mine.acquire()
        try:
            if not self.closing:
                self._action()
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that makes time pass
            self.error = error
        finally:
            self.has_ended = True
            self._clocks.release()
