"""SQS standard queues: visibility, receive counts, redrive, retention; and what a test may do to a queue.

Messages come out in the order in which they went in, or became visible again. Real queues promise neither that nor
single delivery: `reorder` and `duplicate` take both away, when a test wants it. Short polling's sampling, FIFO queues
and policies are not modelled.
"""

import hashlib
import heapq
import itertools
import json
import random
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from simulation.clock import Clock
from simulation.faults import Answer, Params, ServiceError
from simulation.place import Place

# SQS API reference: what a body or an attribute's value may hold.
_ALLOWED = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_MOST_IN_BATCH = 10
_LONGEST_VISIBILITY = 43_200
_POISONED = 3  # CloudWatch leaves messages out of the oldest's age that were received more often (SQS developer guide)


@dataclass(slots=True, eq=False)
class Message:
    """One message; `body` is text, or something that becomes text when it is received."""

    number: int
    body: object
    sent_at: float  # of the first enqueue, also after a redrive
    attributes: Params = field(default_factory=dict)
    message_id: str = ""
    visible_at: float = 0.0
    receives: int = 0
    first_received_at: float = 0.0
    gone: bool = False

    @property
    def receipt_handle(self) -> str:
        return f"{self.number}-{self.receives}"


class Queue:
    """One standard queue."""

    def __init__(
        self,
        name: str,
        place: Place,
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
        self._numbers = itertools.count(1)
        self._all: deque[Message] = deque()
        self._ready: deque[Message] = deque()
        self._hidden: list[tuple[float, int, Message]] = []
        self._received: dict[int, Message] = {}

    def send(self, body: object, *, attributes: Params | None = None, delay: float = 0) -> Message:
        """Put a message in; anything whose `str` is the text will do."""
        now = self.clock.monotonic()
        number = next(self._numbers)
        message = Message(number, body, now, attributes or {}, f"{self.name}-{number}", now + delay)
        self._put(message)
        return message

    def receive(self, most: int = 10, *, visibility: float | None = None) -> list[Message]:
        """Take messages that are visible, and hide them; one received too often goes to the dead-letter queue."""
        now = self.clock.monotonic()
        self._reveal(now)
        received: list[Message] = []
        while self._ready and len(received) < most:
            message = self._ready.popleft()
            if self._is_gone(message, now):
                continue
            if self.max_receives is not None and self.dead_letters and message.receives >= self.max_receives:
                self._redrive(message, self.dead_letters)
                continue
            message.receives += 1
            message.first_received_at = message.first_received_at or now
            self._received[message.number] = message
            self._hide(message, now + (self.visibility if visibility is None else visibility))
            received.append(message)
        return received

    def delete(self, receipt_handle: str) -> None:
        """Delete; with an older handle than the last receive's, nothing happens and no error is given (SQS API)."""
        message = self._of_handle(receipt_handle)
        if message and message.receipt_handle == receipt_handle:
            self._drop(message)

    def change_visibility(self, receipt_handle: str, seconds: float) -> None:
        """Hide a message for that long from now.

        Raises ServiceError when it is visible again, or was received again.
        """
        now = self.clock.monotonic()
        message = self._of_handle(receipt_handle)
        if message is None or message.receipt_handle != receipt_handle or message.visible_at <= now:
            raise ServiceError("MessageNotInflight", "The message referred to isn't in flight")
        if not 0 <= seconds <= _LONGEST_VISIBILITY:
            raise ServiceError("InvalidParameterValueException", f"VisibilityTimeout {seconds}", status=400)
        self._hide(message, now + seconds)

    def duplicate(self, message: Message) -> Message:
        """Deliver a message once more, as a standard queue may: the same id, on its own from now on."""
        copy = Message(next(self._numbers), message.body, message.sent_at, message.attributes, message.message_id)
        self._put(copy)
        return copy

    def reorder(self, rng: random.Random) -> None:
        """Shuffle what is visible now."""
        self._reveal(self.clock.monotonic())
        ready = list(self._ready)
        rng.shuffle(ready)
        self._ready = deque(ready)

    @property
    def messages(self) -> list[Message]:
        """Everything that is in the queue, visible or not, in the order of sending."""
        now = self.clock.monotonic()
        return [message for message in self._all if not self._is_gone(message, now)]

    def __len__(self) -> int:
        return len(self.messages)

    def in_flight(self) -> int:
        """How many are received, or delayed, and hidden."""
        now = self.clock.monotonic()
        return sum(message.visible_at > now for message in self.messages)

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
        """ApproximateAgeOfOldestMessage, in seconds: of what is not deleted, without what was received over 3 times."""
        now = self.clock.monotonic()
        while self._all and self._is_gone(self._all[0], now):
            self._all.popleft()
        oldest = next(
            (message for message in self._all if not self._is_gone(message, now) and message.receives <= _POISONED), None
        )
        return now - oldest.sent_at if oldest else 0.0

    def _put(self, message: Message) -> None:
        self._all.append(message)
        if message.visible_at > self.clock.monotonic():
            self._hide(message, message.visible_at)
        else:
            self._ready.append(message)

    def _hide(self, message: Message, until: float) -> None:
        message.visible_at = until
        heapq.heappush(self._hidden, (until, message.number, message))

    def _reveal(self, now: float) -> None:
        """Make visible what is due; an entry that its message's later visibility or deletion overtook is dropped."""
        hidden = self._hidden
        while hidden and (hidden[0][0] <= now or hidden[0][2].gone or hidden[0][2].visible_at != hidden[0][0]):
            until, _, message = heapq.heappop(hidden)
            if not message.gone and message.visible_at == until:
                message.visible_at = 0.0  # so that a second entry for the same moment is overtaken too
                self._ready.append(message)

    def _is_gone(self, message: Message, now: float) -> bool:
        if not message.gone and message.sent_at + self.retention <= now:
            self._drop(message)
        return message.gone

    def _drop(self, message: Message) -> None:
        message.gone = True
        self._received.pop(message.number, None)
        while self._all and self._all[0].gone:
            self._all.popleft()

    def _redrive(self, message: Message, target: "Queue") -> None:
        self._drop(message)
        moved = Message(
            next(target._numbers),  # noqa: SLF001 -- the same class
            message.body,
            message.sent_at,
            message.attributes,
            message.message_id,
        )
        moved.receives = message.receives
        target._put(moved)  # noqa: SLF001

    def _of_handle(self, receipt_handle: str) -> Message | None:
        number = receipt_handle.partition("-")[0]
        if not number.isdigit():
            raise ServiceError("ReceiptHandleIsInvalid", f"The receipt handle {receipt_handle!a} is not valid")
        return self._received.get(int(number))


class Sqs:
    """The queues of one account and Region, and the operations on them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._queues: dict[str, Queue] = {}

    def create(self, name: str, **settings: Any) -> Queue:
        """A new queue; the settings are Queue's."""
        queue = Queue(name, self._place, **settings)
        self._queues[queue.url] = queue
        return queue

    def by_name(self, name: str) -> Queue | None:
        return next((queue for queue in self._queues.values() if queue.name == name), None)

    def at_url(self, url: str) -> Queue:
        """Raises ServiceError when there is none."""
        queue = self._queues.get(url)
        if queue is None:
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    def get_queue_url(self, params: Params) -> Answer:
        queue = self.by_name(params["QueueName"])
        if queue is None:
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return {"QueueUrl": queue.url}

    def get_queue_attributes(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        hidden = queue.in_flight()
        attributes = {
            "ApproximateNumberOfMessages": str(len(queue) - hidden),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "MessageRetentionPeriod": str(int(queue.retention)),
            "QueueArn": queue.arn,
            "VisibilityTimeout": str(int(queue.visibility)),
        }
        if queue.dead_letters:
            redrive = {"deadLetterTargetArn": queue.dead_letters.arn, "maxReceiveCount": queue.max_receives}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        wanted = params.get("AttributeNames", [])
        chosen = attributes if "All" in wanted else {name: attributes[name] for name in wanted if name in attributes}
        return {"Attributes": chosen}

    def send_message(self, params: Params) -> Answer:
        return self._send(self.at_url(params["QueueUrl"]), params)

    def send_message_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        return _batch(params, lambda entry: self._send(queue, entry))

    def receive_message(self, params: Params) -> Answer:
        """Receive; a long poll waits out its time once, and looks again."""
        queue = self.at_url(params["QueueUrl"])
        most, visibility = params.get("MaxNumberOfMessages", 1), params.get("VisibilityTimeout")
        messages = queue.receive(most, visibility=visibility)
        if not messages and params.get("WaitTimeSeconds"):
            self._place.clock.sleep(params["WaitTimeSeconds"])
            messages = queue.receive(most, visibility=visibility)
        # A caller who asks for no attributes gets none; which ones exactly matters to nobody here.
        system = params.get("MessageSystemAttributeNames") or params.get("AttributeNames")
        own = params.get("MessageAttributeNames")
        shown = [self._show(message, system=bool(system), own=bool(own)) for message in messages]
        return {"Messages": shown} if shown else {}

    def delete_message(self, params: Params) -> Answer:
        self.at_url(params["QueueUrl"]).delete(params["ReceiptHandle"])
        return {}

    def delete_message_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        return _batch(params, lambda entry: queue.delete(entry["ReceiptHandle"]) or {})

    def change_message_visibility(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        queue.change_visibility(params["ReceiptHandle"], params["VisibilityTimeout"])
        return {}

    def change_message_visibility_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        return _batch(
            params,
            lambda entry: queue.change_visibility(entry["ReceiptHandle"], entry.get("VisibilityTimeout", 30)) or {},
        )

    def sent_timestamp(self, message: Message) -> str:
        """SentTimestamp, in epoch milliseconds."""
        return self._milliseconds(message.sent_at)

    def system_attributes(self, message: Message) -> dict[str, str]:
        return {
            "ApproximateReceiveCount": str(message.receives),
            "ApproximateFirstReceiveTimestamp": self._milliseconds(message.first_received_at),
            "SentTimestamp": self._milliseconds(message.sent_at),
            "SenderId": "AIDASIMULATED",
        }

    def _milliseconds(self, moment: float) -> str:
        clock = self._place.clock
        return str(round((clock.now().timestamp() - clock.monotonic() + moment) * 1000))

    def _send(self, queue: Queue, entry: Params) -> Answer:
        body, attributes = entry["MessageBody"], entry.get("MessageAttributes", {})
        texts = [body, *(value.get("StringValue", "-") for value in attributes.values())]
        if not all(text and _ALLOWED.fullmatch(text) for text in texts):
            raise ServiceError("InvalidMessageContents", "The message contains characters outside the allowed set.")
        message = queue.send(body, attributes=attributes, delay=entry.get("DelaySeconds", 0))
        return {"MessageId": message.message_id, "MD5OfMessageBody": _md5(body)}

    def _show(self, message: Message, *, system: bool, own: bool) -> Params:
        body = str(message.body)
        shown: Params = {
            "MessageId": message.message_id,
            "ReceiptHandle": message.receipt_handle,
            "MD5OfBody": _md5(body),
            "Body": body,
        }
        if system:
            shown["Attributes"] = self.system_attributes(message)
        if own and message.attributes:
            shown["MessageAttributes"] = message.attributes
        return shown


def _batch(params: Params, carry_out: Any) -> Answer:
    """Carry out each entry by itself; what fails is in `Failed`."""
    entries = params["Entries"]
    if not entries:
        raise ServiceError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > _MOST_IN_BATCH:
        raise ServiceError("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise ServiceError("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    successful: list[Params] = []
    failed: list[Params] = []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **carry_out(entry)})
        except ServiceError as error:
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message})
    return {"Successful": successful, "Failed": failed}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
