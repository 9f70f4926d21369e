"""Decides which messages of a batch are redelivered, when, and how often.

The queue counts receives, also those of messages that were put off. jitr's own failures are counted in the registry
table (failure_count.py).

A message that is left to the sweep is deleted. Nothing is lost: the sweep finds every certificate that is pending
without a decision, that is held, or on which an attempt is unfinished (resend.py). A message that is put off is in
flight. A queue allows 120,000 of them (SQS developer guide, "Quotas"), and then delivers nothing more. So a message is
put off for an hour in all, not for days. One that only found no turn is put off while the line is short; otherwise it
is deleted, since the index has its certificate. And none is put off for minutes while many are in flight.

The queue's own receive limit (infra/jitr_cdk/registration.py) is never reached: twelve receives take three hours at
most, and 500 receives that each end the function take two of the four days that a message is kept.
"""

from collections.abc import Callable
from datetime import datetime

from jitr.aws.queues import QueueMessage, RegistrationsQueue
from jitr.errors import NotPermitted, Unavailable
from jitr.events import RegistrationEvent
from jitr.store.failure_count import FailureCount
from jitr.telemetry import LEFT_TO_SWEEP, NOT_ITS_TURN, PUT_OFF, Announcer

_FAILURES_UNTIL_DEAD = 10
_LONGEST_PUT_OFF = 900  # seconds
# A message that waits for AWS: the first pauses are short, since a throttle in a storm is over soon; then each is twice
# as long as the one before. By the twelfth receive an hour has passed. From then on the sweep is better: it sends no
# more than the rate allows, and keeps nothing in flight.
_SHORT_PAUSES = 3
RECEIVES_UNTIL_LEFT = 12
# For all other reasons, none of which is a failure of AWS.
PUT_OFFS_UNTIL_LEFT = 100
# No pause is longer than this while so many messages are in flight, of the 120,000 that a queue allows.
_LONG_PAUSE = 60  # seconds
_MOST_IN_FLIGHT = 20_000
# Only a message that ends the function each time, and so is never put off, is received so often.
RECEIVES_UNTIL_DEAD = 500


class Redelivery:
    """The messages of one batch that are redelivered; safe for threads."""

    def __init__(
        self,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        failures: FailureCount,
        leave: Callable[[RegistrationEvent], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`leave` is called before a message is left to the sweep."""
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._before_leaving = leave
        self._clock = clock
        self.again: list[str] = []  # message ids

    def fail(self, message: QueueMessage, event: RegistrationEvent, error: Exception) -> None:
        """Redeliver a message that failed by jitr's fault, nine times at most; call it where the error is caught."""
        self._announcer.log_failure("message failed", message_id=message.id, certificate_id=event.certificate_id)
        # If the failure cannot be counted, the receives count, so that this ends too.
        counted = [message.receives]
        self.try_beside(lambda: counted.append(self._failures.add(message.id, self._clock())))
        failures = message.failures + counted[-1]
        if failures >= _FAILURES_UNTIL_DEAD:
            self.dead_letter(message, f"failed {failures} times: {error}")
        else:
            self.put_off(message, event, f"failed: {type(error).__name__}", most=5 * 2**failures)

    def wait(self, message: QueueMessage, event: RegistrationEvent, error: Unavailable, *, most: int) -> None:
        """Put off a message that waits for AWS, at first by up to `most` seconds."""
        if isinstance(error, NotPermitted):
            self._announcer.log_not_permitted(
                "a call is not permitted",
                message_id=message.id,
                certificate_id=event.certificate_id,
                action=error.action,
            )
        if message.receives >= RECEIVES_UNTIL_LEFT:
            self._leave(message, event, str(error))
            return
        doubled = max(message.receives - _SHORT_PAUSES, 0)
        longest = min(most * 2**doubled, _LONGEST_PUT_OFF)
        if longest > _LONG_PAUSE and self._is_crowded():
            self._leave(message, event, str(error))
            return
        self.put_off(message, event, str(error), least=longest // 2 if doubled else 1, most=longest)

    def put_off(
        self, message: QueueMessage, event: RegistrationEvent, why: str, *, least: int = 1, most: int = 15
    ) -> None:
        """Let a message be redelivered after `least` to `most` seconds."""
        if message.receives >= PUT_OFFS_UNTIL_LEFT:
            self._leave(message, event, why)
            return
        self._announcer.warn("message is put off", PUT_OFF, message_id=message.id, why=why, receives=message.receives)
        self.again.append(message.id)
        most = min(most, _LONGEST_PUT_OFF)
        self.try_beside(lambda: self._queue.put_off(message, least=min(least, most), most=most))

    def return_later(self, message: QueueMessage, *, least: int, most: int) -> None:
        """Let a message be redelivered, of which a part is done, and the other is due later: that is no failure."""
        self.again.append(message.id)
        self.try_beside(lambda: self._queue.put_off(message, least=least, most=most))

    def leave_to_due_evaluation(self, leave: Callable[[], None]) -> bool:
        """Let a message be deleted, since the sweep evaluates its certificate when that is due; False: it must stay.

        `leave` makes the evaluation due.
        """
        if not self.try_beside(leave):
            return False
        self._announcer.count(NOT_ITS_TURN)
        return True

    def dead_letter(self, message: QueueMessage, reason: str) -> None:
        """Send a message to the dead-letter queue, with the reason."""
        if not self.try_beside(lambda: self._queue.dead_letter(message, reason)):
            self.again.append(message.id)  # it stays in the queue, so nothing is lost

    def try_beside(self, action: Callable[[], None]) -> bool:
        """Do something beside the decision, and log a failure; whether it succeeded.

        After a failure, the redelivered message or the sweep does it again.
        """
        try:
            action()
        except NotPermitted as error:
            self._announcer.log_not_permitted("a call beside the decision is not permitted", action=error.action)
            return False
        except Exception:  # noqa: BLE001 -- the batch must still be answered
            self._announcer.log_failure("a call beside the decision failed")
            return False
        return True

    def _is_crowded(self) -> bool:
        """Whether too many messages are in flight to put another one off for minutes; False if that is not known."""
        counted = [0]
        self.try_beside(lambda: counted.append(self._queue.in_flight(self._clock())))
        return counted[-1] >= _MOST_IN_FLIGHT

    def _leave(self, message: QueueMessage, event: RegistrationEvent, why: str) -> None:
        """Let the message be deleted, since the sweep finds its certificate."""
        self._announcer.warn(
            "message is left to the sweep",
            LEFT_TO_SWEEP,
            message_id=message.id,
            certificate_id=event.certificate_id,
            why=why,
            receives=message.receives,
        )
        self._before_leaving(event)
