"""Which messages of a batch come again, when, and how often.

The queue counts receives, put-offs too; failures of ours are counted in the registry table (failure_count.py).

A message that is left to the sweep is deleted. That loses nothing: the sweep finds every certificate that is pending
without a decision, that is held, or on which an attempt is unfinished (resend.py). A message that is put off is in
flight, of which a queue allows 120,000 (SQS developer guide, "Quotas"), and a full queue gives nothing to anybody. So
it is put off for an hour, not for days; what is merely not its turn is put off while the line is short, and else
deleted, since the index has its certificate; and nothing is put off for minutes while many messages are in flight. The
queue's own receive limit (infra/jitr_cdk/registration.py) is never reached: twelve receives are three hours at most,
and 500, each ended by the function's death, are two of the four days that a message is kept.
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
# A message that waits for AWS: its first pauses are short, for a throttle in a storm is over soon; then each is twice
# as long as the one before. By the twelfth receive an hour has passed, and the sweep does it better: it sends no more
# than the rate allows, and holds nothing in flight meanwhile.
_SHORT_PAUSES = 3
RECEIVES_UNTIL_LEFT = 12
# Whatever else it is put off for. None of these is kept by a fault of AWS, so they have more time.
PUT_OFFS_UNTIL_LEFT = 100
# Pauses longer than this are not made while so many messages are in flight, of the 120,000 that a queue allows.
_LONG_PAUSE = 60  # seconds
_MOST_IN_FLIGHT = 20_000
# Only a message that ends the function each time, and so is never put off, comes so far.
RECEIVES_UNTIL_DEAD = 500


class Redelivery:
    """One batch's messages that come again; safe for threads."""

    def __init__(
        self,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        failures: FailureCount,
        leave: Callable[[RegistrationEvent], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`leave` does what is to be done before a message is left to the sweep."""
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._before_leaving = leave
        self._clock = clock
        self.again: list[str] = []  # message ids

    def fail(self, message: QueueMessage, event: RegistrationEvent, error: Exception) -> None:
        """Give a message that failed for a reason of ours another chance, nine times; called where it is caught."""
        self._announcer.log_failure("message failed", message_id=message.id, certificate_id=event.certificate_id)
        # What cannot be counted is counted by its receives, so that it ends too.
        counted = [message.receives]
        self.guarded(lambda: counted.append(self._failures.add(message.id, self._clock())))
        failures = message.failures + counted[-1]
        if failures >= _FAILURES_UNTIL_DEAD:
            self.dead_letter(message, f"failed {failures} times: {error}")
        else:
            self.put_off(message, event, f"failed: {type(error).__name__}", most=5 * 2**failures)

    def wait(self, message: QueueMessage, event: RegistrationEvent, error: Unavailable, *, most: int) -> None:
        """Put off what waits for AWS, for up to `most` seconds at first; called where the error is caught."""
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
        """Let a message come again after some seconds."""
        if message.receives >= PUT_OFFS_UNTIL_LEFT:
            self._leave(message, event, why)
            return
        self._announcer.warn("message is put off", PUT_OFF, message_id=message.id, why=why, receives=message.receives)
        self.again.append(message.id)
        most = min(most, _LONGEST_PUT_OFF)
        self.guarded(lambda: self._queue.put_off(message, least=min(least, most), most=most))

    def leave_to_look(self, leave: Callable[[], None]) -> bool:
        """Let a message be deleted whose certificate has its look by the sweep; False when it must stay.

        `leave` sees to that look.
        """
        if not self.guarded(leave):
            return False
        self._announcer.count(NOT_ITS_TURN)
        return True

    def dead_letter(self, message: QueueMessage, reason: str) -> None:
        """Give a message up, with the reason."""
        if not self.guarded(lambda: self._queue.dead_letter(message, reason)):
            self.again.append(message.id)  # it stays in the queue, so nothing is lost

    def guarded(self, action: Callable[[], None]) -> bool:
        """Do something beside the decision; if it fails, the message or the sweep brings it up again."""
        try:
            action()
        except NotPermitted as error:
            self._announcer.log_not_permitted("a call beside the decision is not permitted", action=error.action)
            return False
        except Exception:  # noqa: BLE001 -- whatever it was, the batch's answer must still be given
            self._announcer.log_failure("a call beside the decision failed")
            return False
        return True

    def _is_crowded(self) -> bool:
        """Whether so many messages are in flight that another one should not stay there for minutes."""
        counted = [0]  # what cannot be asked for is no reason
        self.guarded(lambda: counted.append(self._queue.in_flight(self._clock())))
        return counted[-1] >= _MOST_IN_FLIGHT

    def _leave(self, message: QueueMessage, event: RegistrationEvent, why: str) -> None:
        """Let the message be deleted, for the sweep finds its certificate."""
        self._announcer.warn(
            "message is left to the sweep",
            LEFT_TO_SWEEP,
            message_id=message.id,
            certificate_id=event.certificate_id,
            why=why,
            receives=message.receives,
        )
        self._before_leaving(event)
