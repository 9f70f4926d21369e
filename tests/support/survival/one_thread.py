"""The second thread of an execution environment as an act of its own, and a queue with one batch."""

from collections.abc import Callable
from typing import Any

from simulation.clock import Clock
from simulation.queue import SqsMessage
from simulation.threads import Tasks

# What one of a pair does, from its beginning to its end.
Act = Callable[[], None]


class _Bound:
    """A queue before one mapping, whose poller has received its messages already."""

    def __init__(self, queue: Any, messages: list[SqsMessage]) -> None:
        self._queue = queue
        self._messages = messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def receive(self, _most: int) -> list[SqsMessage]:
        received, self._messages = self._messages, []
        return received


class OneThread(Tasks):
    """The one thread of an environment as an act of its own: the explorer says when either of both goes on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._action: Act | None = None
        self._error: BaseException | None = None
        self._has_ended = False
        self._is_over = False  # there is nothing to start any more

    def start(self, action: Act) -> None:
        assert self._action is None, "a batch of two messages has one thread beside its handler's"
        self._action = action

    def join(self) -> None:
        while self._action and not self._has_ended:
            self._clock.park()
        if self._error:
            raise self._error

    def kill(self) -> None:
        self._is_over = True

    def run(self) -> None:
        """The act."""
        while self._action is None and not self._is_over:
            self._clock.park()
        if self._action is None:
            return
        try:
            self._action()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._has_ended = True
