"""Lambda's SQS event source: receives a batch, invokes the handler, and deletes the messages that did not fail.

With ReportBatchItemFailures the answer's messages stay hidden until their visibility timeout, and all others are
deleted; an exception, a timeout or a malformed answer fails the whole batch (aws-facts §9). The pollers are Lambda's:
their calls are not the account's, and have no quota or fault. A loop is stopped (lineage.py): the function is not
invoked, and the messages are received again until the queue's receive limit dead-letters them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation.clock import Clock, Closed
from simulation.faults import ModelBroken, NotModelled
from simulation.lineage import MOST_HOPS, Lineage, carry_lineage
from simulation.queue import Queue, SqsMessage
from simulation.sqs import Sqs

Handler = Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """The part of Lambda's context that handlers use."""

    clock: Clock
    ends_at: float
    function_name: str = "simulated"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return max(round((self.ends_at - self.clock.monotonic()) * 1000), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One batch's result; `failed` are the ids that are received again, `error` what ended the handler early."""

    messages: tuple[SqsMessage, ...]
    failed: frozenset[str]
    error: BaseException | None = None


class RecursiveInvocation(Exception):
    """Lambda did not invoke the function, since a message has passed it too often (a loop)."""


class EventSourceMapping:
    """One queue, one function.

    `environment` makes a new handler, as a cold start does; the handler is kept until it dies. For a MaximumConcurrency
    above 1, start as many mappings on one queue, each with `work` in a task of its own. A mapping's handler must not
    poll that mapping.
    """

    def __init__(
        self,
        queue: Queue,
        sqs: Sqs,
        environment: Callable[[], Handler],
        *,
        batch_size: int = 10,
        timeout: float = 60,
        loop_stops_whole_batch: bool = True,
    ) -> None:
        self._queue = queue
        self._sqs = sqs
        self._environment = environment
        self._batch_size = batch_size
        self._timeout = timeout
        self._loop_stops_whole_batch = loop_stops_whole_batch
        self._handler: Handler | None = None
        self._clock = queue.clock
        self.invocations = 0
        self.stopped = 0  # messages that were received and not handed to the function, as part of a loop
        self.cold_starts = 0

    def poll(self) -> Invocation | None:
        """Process one batch; None if no message was visible."""
        messages = self._queue.receive(self._batch_size)
        if not messages:
            return None
        looping = [message for message in messages if self._hops(message) >= MOST_HOPS]
        if looping:
            stopped = messages if self._loop_stops_whole_batch else looping
            self.stopped += len(stopped)
            messages = [message for message in messages if message not in stopped]
            if not messages:
                failed = frozenset(message.message_id for message in stopped)
                return Invocation(messages=tuple(stopped), failed=failed, error=RecursiveInvocation())
        if self._handler is None:
            self._handler = self._environment()
            self.cold_starts += 1
        self.invocations += 1
        event = {"Records": [self._record(message) for message in messages]}
        everything = frozenset(message.message_id for message in messages)
        # A message's handle changes when another poller receives it; only what this poller received is deleted.
        received = [(message.message_id, message.receipt_handle) for message in messages]
        try:
            with self._clock.deadline(self._timeout), carry_lineage(self._lineage(messages)):
                answer = self._handler(event, Context(self._clock, self._clock.monotonic() + self._timeout))
            failed = _failures(answer, everything)
        except (KeyboardInterrupt, NotModelled, ModelBroken, Closed):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises fails its batch, and keeps the process
            return Invocation(messages=tuple(messages), failed=everything, error=error)
        except BaseException as death:  # noqa: BLE001 -- the process is gone, and with it all that it kept
            self._handler = None
            return Invocation(messages=tuple(messages), failed=everything, error=death)
        for message_id, receipt_handle in received:
            if message_id not in failed:
                self._queue.delete(receipt_handle)
        return Invocation(messages=tuple(messages), failed=failed)

    def drain(self, *, within: float = 3600) -> list[Invocation]:
        """Poll, and let time pass until the next message is visible, until the queue is empty or `within` is over."""
        until = self._clock.monotonic() + within
        done = []
        while True:
            if invocation := self.poll():
                done.append(invocation)
                continue
            wait = self._queue.next_visible_in()
            if wait is None or self._clock.monotonic() + wait > until:
                return done
            self._clock.advance(wait)

    def work(self, *, idle: float = 1.0) -> None:
        """Poll for ever; to be run as a task, by `Clock.spawn`."""
        while True:
            if self.poll() is None:
                self._clock.sleep(idle)

    def _hops(self, message: SqsMessage) -> int:
        return (message.lineage or {}).get(self._queue.arn, 0)

    def _lineage(self, messages: list[SqsMessage]) -> Lineage:
        """The invocation's lineage: for each function the most hops of any message, and one more for this function."""
        hops: dict[str, int] = {}
        for message in messages:
            for function, count in (message.lineage or {}).items():
                hops[function] = max(hops.get(function, 0), count)
        return {**hops, self._queue.arn: hops.get(self._queue.arn, 0) + 1}

    def _record(self, message: SqsMessage) -> dict[str, Any]:
        body = str(message.body)
        return {
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": body,
            "attributes": self._sqs.system_attributes(message),
            "messageAttributes": {
                name: {"stringValue": value.get("StringValue"), "dataType": value["DataType"]}
                for name, value in message.attributes.items()
            },
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.arn,
            "awsRegion": self._queue.arn.split(":")[3],
        }


def _failures(answer: Any, everything: frozenset[str]) -> frozenset[str]:
    """The ids that the answer names; a malformed answer, or an id that is not the batch's, names all (aws-facts §9)."""
    if answer is None or answer == {}:
        return frozenset()
    try:
        failed = frozenset(entry["itemIdentifier"] for entry in answer["batchItemFailures"] or ())
    except (TypeError, KeyError):
        return everything
    return failed if failed.issubset(everything) else everything
