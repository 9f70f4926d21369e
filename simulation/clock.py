"""Virtual time: every part of the simulation, and everything driven by it, takes its time from one Clock.

There are two ways to live in it:

- Alone. `sleep` moves time forward and runs, on the way and in order, everything that was to happen until then. A test
  that calls a handler in the ordinary way needs no more.
- As tasks. `spawn` starts a function that runs at the same (virtual) time as others: its `sleep` lets the others on.
  Only one of them ever runs, and it runs until it sleeps, so nothing needs a lock and every run is the same. A task is
  a thread underneath, because boto3 and our handler are ordinary blocking code; the price is some 20 µs for each sleep.

A test that decides itself who goes on, and until where, makes a `task`, lets it `park` and lets it `go_on`.

Nothing here sleeps really, and nothing reads the real clock.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


class DeadlinePassed(BaseException):
    """What runs under a deadline slept past it; no `except Exception` may stop this, as none stops Lambda."""


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
        self._deadlines: list[float] = []  # of what runs alone; a task has its own

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen that many seconds from now."""
        heapq.heappush(self._due, (self._elapsed + seconds, next(self._order), action))

    def sleep(self, seconds: float) -> None:
        """Wait; others go on meanwhile.

        Raises DeadlinePassed, at the deadline, when one lies within the wait.
        """
        deadlines = self._running.deadlines if self._running else self._deadlines
        if deadlines and self._elapsed + seconds > deadlines[-1]:
            self._wait(max(deadlines[-1] - self._elapsed, 0))
            raise DeadlinePassed
        self._wait(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due; what a test calls, where a handler would `sleep`."""
        self.sleep(seconds)

    def spawn(self, action: Callable[[], None]) -> None:
        """Start a task; its first step is taken when time next passes.

        An error that leaves it is raised where time was made to pass.
        """
        task = Task(action)
        self.call_later(0, lambda: self._resume(task))

    def start(self, action: Callable[[], None]) -> "Task":
        """Start a task beside what runs now, under its deadline; what it raises is told where it is joined."""
        task = Task(action)
        task.is_joined = True
        task.parent = self._running
        task.deadlines = list(self._running.deadlines if self._running else self._deadlines)
        self.call_later(0, lambda: self._resume(task))
        return task

    def join(self, tasks: Sequence["Task"]) -> None:
        """Let time pass until these tasks have ended, or one of them has died.

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
            waiter.pause()
        for task in tasks:
            if task.error:
                raise task.error

    def kill(self, tasks: Sequence["Task"]) -> None:
        """Let none of these tasks take another step; what they wait for happens unheard."""
        for task in tasks:
            task.closing = True

    def task(self, action: Callable[[], None]) -> "Task":
        """A task that takes its first step when it is let go on, not by itself."""
        task = Task(action)
        self._parked.add(task)
        return task

    def park(self) -> None:
        """What runs as a task calls this: others go on, however long, until somebody lets this one `go_on`.

        Raises DeadlinePassed when its deadline lies behind it by then.
        """
        task = self._running
        if task is None:
            raise RuntimeError("only a task can be parked")
        self._parked.add(task)
        task.pause()
        if task.deadlines and self._elapsed > task.deadlines[-1]:
            raise DeadlinePassed

    def go_on(self, task: "Task") -> None:
        """Let a parked task go on until it parks again or ends; time passes while it sleeps.

        An error that leaves it is raised here.
        """
        self._parked.discard(task)
        self._resume(task)
        while task in self._asleep:
            self._wait(max(self._due[0][0] - self._elapsed, 0))

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End what runs inside, at its first sleep that goes beyond this many seconds from now."""
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
            # What happens may itself let time pass, so that `until` can lie in the past when it returns.
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
            self.call_later(0, lambda: self._resume(waiter))
        if task.error is None or isinstance(task.error, Closed):
            return
        if not task.is_joined:
            raise task.error
        if not isinstance(task.error, Exception):  # the process is gone, and who started the task with it
            if task.parent is None:
                raise task.error
            task.parent.doom = task.error


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
        self.is_joined = False  # what it raises is told to who joins it
        self.waiter: Task | None = None  # who joins it
        self.parent: Task | None = None  # who started it
        self.doom: BaseException | None = None  # the death of a task that it started

    def go_on(self) -> None:
        """Called by the clock: give the task its turn, and come back when it sleeps or has ended."""
        self._mine.release()
        self._clocks.acquire()

    def pause(self) -> None:
        """Called by the task: give the turn back, and come back at the next one."""
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
