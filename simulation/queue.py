"""An SQS standard queue: visibility, receive counts, redrive, retention; and what a test may do to it.

Messages are received in the order in which they were sent, or became visible again. Real queues guarantee neither that
nor single delivery; a test removes both with `shuffled`, `reorder` and `duplicate`. Short polling's sampling, FIFO
queues and policies are not modelled.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.faults import Params, ServiceError

if TYPE_CHECKING:
    from random import Random

    from simulation.clock import Clock
    from simulation.lineage import Lineage
    from simulation.place import Place

_LONGEST_VISIBILITY = 43_200
_MOST_IN_FLIGHT = 120_000  # of a standard queue; then a long poll answers nothing (SQS developer guide, "Quotas")
_POISONED = 3  # messages received more often do not count for the age of the oldest (SQS developer guide)


_NONE: Params = {}  # one for all messages without attributes: a storm's queue holds millions


@dataclass(slots=True, eq=False)
class SqsMessage:
    """One message; `body` is text, or something that becomes text when it is received."""

    number: int
    body: object
    sent_at: float  # of the first enqueue, also after a redrive
    attributes: Params
    original: int  # the number of the message that this is a copy of, or its own
    visible_at: float = 0.0
    receives: int = 0
    received_at: float = 0.0
    first_received_at: float = 0.0
    gone: bool = False
    is_in_flight: bool = False  # received, and hidden since
    lineage: "Lineage | None" = None  # of the invocation that sent it; a device's or an operator's has none

    @property
    def message_id(self) -> str:
        return f"message-{self.original}"

    @property
    def receipt_handle(self) -> str:
        return f"{self.number}-{self.receives}"


class Queue:
    """One standard queue."""

    def __init__(
        self,
        name: str,
        place: "Place",
        *,
        visibility: float = 30,
        retention: float = 345_600,
        dead_letters: "Queue | None" = None,
        max_receives: int | None = None,
    ) -> None:
        self.name = name
        self.url = f"https://sqs.{place.region}.amazonaws.com/{place.account_id}/{name}"
        self.arn = place.arn("sqs", name)
        self.visibility = visibility
        self.retention = retention
        self.dead_letters = dead_letters
        self.max_receives = max_receives
        self.clock: Clock = place.clock
        self._numbers = place.numbers
        self._all: deque[SqsMessage] = deque()
        self._ready: deque[SqsMessage] = deque()
        self._hidden: list[tuple[float, int, SqsMessage]] = []
        self._received: dict[int, SqsMessage] = {}
        self.shuffled: Random | None = None  # receive at random, instead of the oldest
        self.in_flight_count = 0  # messages that were received, and are hidden
        self.most_in_flight = 0
        self.depth = 0  # messages; an expired one counts until it is found

    def send(
        self,
        body: object,
        *,
        attributes: Params | None = None,
        delay: float = 0,
        lineage: "Lineage | None" = None,
    ) -> SqsMessage:
        """Send a message; `body` is anything whose `str` is the text."""
        now = self.clock.monotonic()
        number = next(self._numbers)
        message = SqsMessage(number, body, now, attributes or _NONE, number, now + delay, lineage=lineage)
        self._put(message)
        return message

    def receive(self, most: int = 10, *, visibility: float | None = None) -> list[SqsMessage]:
        """Receive visible messages, and hide them; one received too often goes to the dead-letter queue."""
        now = self.clock.monotonic()
        self._reveal(now)
        received: list[SqsMessage] = []
        while self._ready and len(received) < min(most, _MOST_IN_FLIGHT - self.in_flight_count + len(received)):
            if self.shuffled:
                chosen = self.shuffled.randrange(len(self._ready))
                self._ready[0], self._ready[chosen] = self._ready[chosen], self._ready[0]
            message = self._ready.popleft()
            if self._is_gone(message, now):
                continue
            if (
                self.max_receives is not None
                and self.dead_letters is not None
                and message.receives >= self.max_receives
            ):
                self._redrive(message, self.dead_letters)
                continue
            message.receives += 1
            message.received_at = now
            message.first_received_at = message.first_received_at or now
            self._received[message.number] = message
            self._hide(message, now + (self.visibility if visibility is None else visibility))
            self._count_in_flight(message)
            received.append(message)
        return received

    def delete(self, receipt_handle: str) -> None:
        """Delete a message; a handle older than the last receive's is ignored without an error (SQS API)."""
        message = self._of_handle(receipt_handle)
        if message and message.receipt_handle == receipt_handle:
            self._drop(message)

    def change_visibility(self, receipt_handle: str, seconds: float) -> None:
        """Hide a message for `seconds` from now, at most twelve hours since it was received (SQS API).

        Raises ServiceError when it is visible, was received again, or would be hidden longer.
        """
        now = self.clock.monotonic()
        message = self._of_handle(receipt_handle)
        if message is None or message.receipt_handle != receipt_handle or message.visible_at <= now:
            raise ServiceError("MessageNotInflight", "The message referred to isn't in flight")
        if not 0 <= seconds <= _LONGEST_VISIBILITY - (now - message.received_at):
            raise ServiceError(
                "InvalidParameterValueException",
                f"Total VisibilityTimeout for the message is beyond the limit [{_LONGEST_VISIBILITY} seconds]",
                status=400,
            )
        self._hide(message, now + seconds)

    def duplicate(self, message: SqsMessage) -> SqsMessage:
        """Deliver a message once more, as a standard queue may: a copy with the same id, independent from now on."""
        copy = SqsMessage(next(self._numbers), message.body, message.sent_at, message.attributes, message.original)
        copy.lineage = message.lineage
        self._put(copy)
        return copy

    def reorder(self, rng: "Random") -> None:
        """Shuffle the messages that are visible now."""
        self._reveal(self.clock.monotonic())
        ready = list(self._ready)
        rng.shuffle(ready)
        self._ready = deque(ready)

    @property
    def messages(self) -> list[SqsMessage]:
        """Everything that is in the queue, visible or not, in the order of sending."""
        now = self.clock.monotonic()
        return [message for message in list(self._all) if not self._is_gone(message, now)]

    @property
    def size(self) -> int:
        return len(self.messages)

    def hidden(self) -> int:
        """How many are in flight, or delayed."""
        now = self.clock.monotonic()
        return sum(message.visible_at > now for message in self.messages)

    def in_flight(self) -> int:
        """How many are received, and hidden."""
        self._reveal(self.clock.monotonic())
        return self.in_flight_count

    def next_visible_in(self) -> float | None:
        """Seconds until a message can be received, 0 when one can be now; None when there is none at all."""
        now = self.clock.monotonic()
        self._reveal(now)
        while self._ready and self._is_gone(self._ready[0], now):
            self._ready.popleft()
        if self._ready:
            return 0.0
        return self._hidden[0][0] - now if self._hidden else None

    def age_of_oldest(self) -> float:
        """ApproximateAgeOfOldestMessage, in seconds; messages received more than 3 times do not count."""
        now = self.clock.monotonic()
        while self._all and self._is_gone(self._all[0], now):
            self._all.popleft()
        oldest = next(
            (
                message
                for message in list(self._all)
                if not self._is_gone(message, now) and message.receives <= _POISONED
            ),
            None,
        )
        return now - oldest.sent_at if oldest else 0.0

    def _put(self, message: SqsMessage) -> None:
        self.depth += 1
        self._all.append(message)
        if message.visible_at > self.clock.monotonic():
            self._hide(message, message.visible_at)
        else:
            self._ready.append(message)

    def _hide(self, message: SqsMessage, until: float) -> None:
        message.visible_at = until
        heapq.heappush(self._hidden, (until, message.number, message))

    def _count_in_flight(self, message: SqsMessage) -> None:
        message.is_in_flight = True
        self.in_flight_count += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight_count)

    def _uncount_in_flight(self, message: SqsMessage) -> None:
        self.in_flight_count -= message.is_in_flight
        message.is_in_flight = False

    def _reveal(self, now: float) -> None:
        """Make visible what is due; drops entries of messages that were deleted or hidden again meanwhile."""
        hidden = self._hidden
        while hidden and (hidden[0][0] <= now or hidden[0][2].gone or hidden[0][2].visible_at != hidden[0][0]):
            until, _, message = heapq.heappop(hidden)
            if not message.gone and message.visible_at == until:
                message.visible_at = 0.0  # so that a second entry for the same moment is overtaken too
                self._uncount_in_flight(message)
                self._ready.append(message)

    def _is_gone(self, message: SqsMessage, now: float) -> bool:
        if not message.gone and message.sent_at + self.retention <= now:
            self._drop(message)
        return message.gone

    def _drop(self, message: SqsMessage) -> None:
        self.depth -= not message.gone
        self._uncount_in_flight(message)
        message.gone = True
        self._received.pop(message.number, None)
        while self._all and self._all[0].gone:
            self._all.popleft()

    def _redrive(self, message: SqsMessage, target: "Queue") -> None:
        self._drop(message)
        moved = SqsMessage(next(self._numbers), message.body, message.sent_at, message.attributes, message.original)
        moved.receives = message.receives
        target._put(moved)  # noqa: SLF001 -- the same class

    def _of_handle(self, receipt_handle: str) -> SqsMessage | None:
        number = receipt_handle.partition("-")[0]
        if not number.isdigit():
            raise ServiceError("ReceiptHandleIsInvalid", f"The receipt handle {receipt_handle!a} is not valid")
        return self._received.get(int(number))
