"""Processes one batch of the registrations queue, and names the messages that are to be redelivered.

    1 recall    the records of all its certificates and the schedule, in one call
    2 reserve   turns for those that need one, with one write (turns.py); the others make no call of AWS IoT
    3 decide    when a turn comes, the next certificate that still needs one takes it, in a thread of its own

After waiting for longer than a second, the records of the certificates that are left are read again: another
environment may have decided on them. A turn that one certificate no longer needs goes to the next. Messages of the same
certificate are processed one after the other.

A message that may have ended the function is processed alone, after all others. A message in line is received often
too. So from the fourth receive on, the begin of its processing is stored, and its end if it is redelivered.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from jitr.aws.queues import QueueMessage, RegistrationsQueue
from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown, Overtaken, Unavailable, UnreadableEvent
from jitr.events import RegistrationEvent
from jitr.frozen import value
from jitr.pacing.schedule import Need
from jitr.pacing.turns import Turns
from jitr.record import Record
from jitr.registration.procedure import Registration
from jitr.registration.redelivery import RECEIVES_UNTIL_DEAD, Redelivery
from jitr.registration.take_away import SecondLookDue
from jitr.registration.threads import Beside
from jitr.store.failure_count import FailureCount
from jitr.telemetry import UNREADABLE_MESSAGES, Announcer

# A certificate is registered before its event is published. If AWS IoT does not know it after this time, at the third
# receive, it was deleted, or the event is forged. If it exists after all, the sweep finds it.
_RECEIVES_UNTIL_GONE = 3
_AGE_UNTIL_GONE = timedelta(seconds=10)
_RECEIVES_UNTIL_NOTED = 4  # at the third, one that AWS IoT does not know is given up: it gets no item
# Older records are read again: in a storm, another environment may decide on a certificate while this one waits for a
# turn, and DescribeCertificate would cost one of ten turns per second.
_RECALL_HOLDS = timedelta(seconds=1)
_ORDER = tuple(Need)
_SECOND_LOOK_SPREAD = 5  # seconds

Messages = list[tuple[QueueMessage, RegistrationEvent]]


@value
class _Waiting:
    """A message that needs a turn."""

    message: QueueMessage
    event: RegistrationEvent
    need: Need


class Batch:
    """One batch: what is known of its certificates, and which of its messages are redelivered."""

    def __init__(
        self,
        registration: Registration,
        queue: RegistrationsQueue,
        announcer: Announcer,
        *,
        failures: FailureCount,
        turns: Turns,
        beside: Beside,
        time_is_left: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._registration = registration
        self._queue = queue
        self._announcer = announcer
        self._failures = failures
        self._turns = turns
        self._beside = beside
        self._time_is_left = time_is_left
        self._clock = clock
        self._known: dict[str, Record] = {}
        self._swept: dict[str, datetime] = {}  # when the sweep sent its messages, by certificate id
        self._recalled_at = clock()
        self._prepared: set[str] = set()  # CAs, by certificate id
        self._redelivery = Redelivery(queue, announcer, failures=failures, leave=self._leave, clock=clock)

    def take(self, messages: list[QueueMessage]) -> list[str]:
        """Settle every message, or let it be redelivered; return the ids of the redelivered ones."""
        readable = self._parse(messages)
        again = self._redelivery.again
        if not self._recall(readable):
            return again
        suspected = self._find_suspected(readable)
        ordinary = [(message, event) for message, event in readable if message.id not in suspected]
        suspects = [(message, event) for message, event in readable if message.id in suspected]
        self._settle_in_turn(ordinary)
        if suspects:
            waiting = [message for message, _ in suspects]
            # One of them may have ended the function before. It comes last, when all others are deleted or put off.
            done = [message for message in messages if message.id not in again and message not in waiting]
            self._redelivery.try_beside(lambda: self._queue.delete(done))
            for message, event in suspects[1:]:
                self._redelivery.put_off(message, event, "received often, so it is processed alone")
            self._settle_in_turn(suspects[:1])
        self._redelivery.try_beside(self._registration.write_counts)
        return again

    def _find_suspected(self, readable: Messages) -> set[str]:
        """The ids of the messages whose processing may have ended the function."""
        often = {message.id for message, _ in readable if message.receives > _RECEIVES_UNTIL_NOTED}
        found = [often]  # if the count cannot be read
        if often:
            self._redelivery.try_beside(lambda: found.append(self._failures.find_begun(often)))
        return found[-1]

    def _parse(self, messages: list[QueueMessage]) -> Messages:
        """Parse the messages' events; dead-letter those that cannot be read, or were received too often."""
        readable = []
        for message in messages:
            try:
                event = RegistrationEvent.parse(message.body)
            except UnreadableEvent as error:
                self._announcer.warn(
                    "message is unreadable", UNREADABLE_MESSAGES, message_id=message.id, why=str(error)
                )
                self._redelivery.dead_letter(message, f"unreadable: {error}")
                continue
            if message.receives > RECEIVES_UNTIL_DEAD:
                self._redelivery.dead_letter(
                    message, f"received {message.receives} times without an end: it may end the function"
                )
            else:
                readable.append((message, event))
        return readable

    def _recall(self, readable: Messages) -> bool:
        """Read all records at once; False if that failed, and every message is redelivered."""
        try:
            self._swept = {event.certificate_id: one.sent_at for one, event in readable if one.is_swept}
            self._known = self._registration.recall({event.certificate_id for _, event in readable}, self._swept)
        except Unavailable as error:
            for message, event in readable:
                self._redelivery.wait(message, event, error, most=15)
        except Exception as error:  # noqa: BLE001 -- the boundary: the batch's answer must still be given
            for message, event in readable:
                self._redelivery.fail(message, event, error)
        else:
            return True
        return False

    def _recall_again(self, left: Iterable[RegistrationEvent]) -> None:
        """Read the records of what is left again, if they are too old; if that fails, the old ones are safe too."""
        now = self._clock()
        if now - self._recalled_at < _RECALL_HOLDS:
            return
        self._recalled_at = now
        ids = {event.certificate_id for event in left}
        self._redelivery.try_beside(lambda: self._known.update(self._registration.recall(ids, self._swept)))

    def _settle_in_turn(self, messages: Messages) -> None:
        """Settle messages: those that need no turn at once, the others as their turns come."""
        waiting: list[_Waiting] = []
        settled: Messages = []
        followers: Messages = []
        seen: set[str] = set()
        for message, event in messages:
            if event.certificate_id in seen:  # by the certificate: SQS can deliver one message twice in a batch
                followers.append((message, event))
            elif need := self._need(message, event):
                waiting.append(_Waiting(message=message, event=event, need=need))
            else:
                settled.append((message, event))
            seen.add(event.certificate_id)
        waiting.sort(key=lambda one: _ORDER.index(one.need))
        turns: list[float] = []  # if the schedule fails in an unknown way, all are put off
        if waiting:
            wanted = Counter(one.need for one in waiting)
            self._redelivery.try_beside(lambda: turns.extend(self._turns.reserve(wanted)))
        for message, event in settled:
            self._settle(message, event)
        self._decide_in_turn(waiting, turns)
        for message, event in followers:
            self._settle(message, event)  # a duplicate of the one just decided

    def _decide_in_turn(self, waiting: list[_Waiting], turns: list[float]) -> None:
        try:
            self._start_in_turn(waiting, turns)
            self._turns.give_back(turns)
            self._put_off(waiting)  # while the threads still decide
        finally:
            self._beside.join()  # whatever happens, all threads end before the batch is answered

    def _start_in_turn(self, waiting: list[_Waiting], turns: list[float]) -> None:
        """Give each turn that comes to the next message that needs it; messages or turns may be left over."""
        while waiting and turns and self._turns.wait_until(turns[0]):
            self._recall_again(one.event for one in waiting)
            one = waiting.pop(0)
            if self._need(one.message, one.event) is None:
                self._settle(one.message, one.event)
                continue
            turns.pop(0)
            if waiting:
                self._prepare(one.event)
                self._beside.start(partial(self._settle_with_turn, one))
            else:
                self._settle_with_turn(one)

    def _prepare(self, event: RegistrationEvent) -> None:
        """Before the first certificate of a CA is decided on in a thread: read what all of them need, in its turn."""
        ca_certificate_id = event.ca_certificate_id
        if ca_certificate_id and ca_certificate_id not in self._prepared:
            self._prepared.add(ca_certificate_id)
            with self._turns.hold():
                self._registration.prepare(ca_certificate_id)

    def _put_off(self, waiting: list[_Waiting]) -> None:
        """Redeliver the messages that found no turn: new devices soon, the others one after the other, in line.

        When the line is full, the others are deleted, and the sweep evaluates their certificates: messages that are put
        off are in flight. Each has a thread, since ten calls in a row keep the environment from the next batch.
        """
        patient = sum(one.need is not Need.NEW for one in waiting)
        places: list[float] = []
        if patient:
            self._redelivery.try_beside(lambda: places.extend(self._turns.line_up(patient)))
        line = iter(places)
        for one in waiting:
            if one.need is Need.NEW:
                self._beside.start(partial(self._put_off_until, one, 2, 8))
            elif (seconds := next(line, None)) is not None:
                self._beside.start(partial(self._put_off_until, one, int(seconds) + 1, int(seconds) + 6))
            else:
                self._beside.start(partial(self._leave_or_put_off, one))

    def _put_off_until(self, one: _Waiting, least: int, most: int) -> None:
        self._redelivery.put_off(one.message, one.event, "its turn lies too far ahead", least=least, most=most)

    def _leave_or_put_off(self, one: _Waiting) -> None:
        """Let its message be deleted if the sweep finds the certificate by the index."""
        certificate_id = one.event.certificate_id
        record = self._known[certificate_id]
        is_left = record.decision is not None and self._redelivery.leave_to_due_evaluation(
            lambda: self._registration.leave_to_due_evaluation(certificate_id, record)
        )
        if not is_left:
            self._put_off_until(one, 2, 8)

    def _need(self, message: QueueMessage, event: RegistrationEvent) -> Need | None:
        record = self._known[event.certificate_id]
        if self._is_under_way(message, event, record):
            return None
        return self._registration.needs(event, record, sent_at=message.sent_at, is_swept=message.is_swept)

    @staticmethod
    def _is_under_way(message: QueueMessage, event: RegistrationEvent, record: Record) -> bool:
        """Whether another environment probably works on the first event of this certificate.

        Both would make all calls. If that event is lost, this one replaces it when it is redelivered.
        """
        return message.receives == 1 and event.is_early_repeat and record.decision is None

    def _settle_with_turn(self, one: _Waiting) -> None:
        with self._turns.hold():
            self._settle(one.message, one.event)

    def _settle(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Settle one message, or let it be redelivered."""
        again = self._redelivery
        if not self._time_is_left():
            again.put_off(message, event, "the function's deadline is near", most=5)
            return
        certificate_id = event.certificate_id
        if self._is_under_way(message, event, self._known[certificate_id]):
            again.put_off(message, event, "its certificate's first event is under way", least=10, most=20)
            return
        if message.receives < _RECEIVES_UNTIL_NOTED:
            self._decide(message, event)
            return
        again.try_beside(lambda: self._failures.begin(message.id, self._clock()))
        self._decide(message, event)
        if message.id in again.again:
            again.try_beside(lambda: self._failures.end(message.id))

    def _decide(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Decide on one message's certificate; if that fails, let the message be redelivered."""
        again, certificate_id = self._redelivery, event.certificate_id
        try:
            outcome, decision = self._registration.decide(
                event,
                self._known[certificate_id],
                sent_at=message.sent_at,
                is_swept=message.is_swept,
                time_is_left=self._time_is_left,
            )
        except SecondLookDue as later:
            self._return_for_second_look(message, later)
        except CertificateUnknown:
            self._miss(message, event)
        except Overtaken as error:
            # Another attempt is at it, and may be put off itself. A redelivery before its end would waste calls.
            again.put_off(message, event, str(error), least=10, most=30)
        except Unavailable as error:
            again.wait(message, event, error, most=30)
        except Exception as error:  # noqa: BLE001 -- the boundary: one message's failure is not its neighbours'
            again.fail(message, event, error)
        else:
            if decision:
                # A second event of the same certificate in this batch is a duplicate of this decision.
                self._known[certificate_id] = replace(
                    self._known[certificate_id],
                    decision=decision,
                    intent=None,
                    crl_changed=False,
                    entries_changed=False,
                    brake_changed=False,
                    template_gone=False,
                )
            self._announcer.report_outcome(outcome, certificate_id, decision, sent_at=message.sent_at)

    def _return_for_second_look(self, message: QueueMessage, later: SecondLookDue) -> None:
        """Let the message come again when the sessions of a certificate that was taken away are looked at again."""
        seconds = math.ceil(max((later.look.due_at - self._clock()).total_seconds(), 1))
        self._redelivery.return_later(message, least=seconds, most=seconds + _SECOND_LOOK_SPREAD)
        if later.decision:
            self._announcer.report_outcome(
                later.decision.outcome, later.decision.certificate_id, later.decision, sent_at=message.sent_at
            )

    def _miss(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Give a certificate up that AWS IoT does not know; not at once, since AWS IoT is eventually consistent."""
        certificate_id, age = event.certificate_id, self._clock() - message.sent_at
        if message.receives + message.misses < _RECEIVES_UNTIL_GONE or age < _AGE_UNTIL_GONE:
            self._redelivery.put_off(message, event, "AWS IoT does not know the certificate", least=5)
        else:
            self._redelivery.try_beside(lambda: self._registration.give_up(certificate_id, self._known[certificate_id]))
            self._announcer.report_outcome(Outcome.GONE, certificate_id)

    def _leave(self, event: RegistrationEvent) -> None:
        if self._known and self._time_is_left():  # otherwise the registry does not answer, or there is no time for it
            self._redelivery.try_beside(lambda: self._registration.leave_to_sweep(event.certificate_id))
