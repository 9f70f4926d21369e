"""One batch of the registrations queue, from what is read at once to the messages that are to come again.

    1 recall    the records of all its certificates and the schedule, in one call
    2 reserve   turns for those that need one, with one write (turns.py); the others end without a call of AWS IoT
    3 decide    when a turn comes, the next certificate that still needs one has it, in a thread of its own

Whoever waits for longer than a second reads what is left again: another environment may have decided on it. So a turn
that one certificate needs no more goes to the next. Messages of one certificate follow one another.

A message that may have ended the function is processed alone, after all others. To stand in line is received often too,
so from the fourth receive on it is noted that its processing begins, and, where it comes again, that this ended.
"""

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
from jitr.registration.threads import Beside
from jitr.store.failure_count import FailureCount
from jitr.telemetry import UNREADABLE_MESSAGES, Announcer

# A certificate is registered before its event is published. If AWS IoT does not know it after this time, at the third
# receive, it was deleted, or the event is forged. Should it exist, the sweep finds it.
_RECEIVES_UNTIL_GONE = 3
_AGE_UNTIL_GONE = timedelta(seconds=10)
_RECEIVES_UNTIL_NOTED = 4  # by the third one a certificate that AWS IoT does not know is gone: it gets no item
# What was recalled longer ago is recalled again: in a storm, another environment decides on the next message's
# certificate while this one waits for its turn, and a look at AWS IoT would be one of ten a second.
_RECALL_HOLDS = timedelta(seconds=1)
_ORDER = tuple(Need)

Messages = list[tuple[QueueMessage, RegistrationEvent]]


@value
class _Waiting:
    """A message that needs a turn."""

    message: QueueMessage
    event: RegistrationEvent
    need: Need


class Batch:
    """One batch on its way: what is known of its certificates, and which messages are to come again."""

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
        """Take every message to its end, or see to it that it comes again; the ids of those that do."""
        readable = self._readable(messages)
        again = self._redelivery.again
        if not self._recall(readable):
            return again
        suspected = self._suspected(readable)
        ordinary = [(message, event) for message, event in readable if message.id not in suspected]
        suspects = [(message, event) for message, event in readable if message.id in suspected]
        self._settle_in_turn(ordinary)
        if suspects:
            waiting = [message for message, _ in suspects]
            # One of them may have killed the function before. It comes last, and its neighbours are out of its way:
            # done with and deleted, or put off.
            done = [message for message in messages if message.id not in again and message not in waiting]
            self._redelivery.guarded(lambda: self._queue.delete(done))
            for message, event in suspects[1:]:
                self._redelivery.put_off(message, event, "received often, so it is processed alone")
            self._settle_in_turn(suspects[:1])
        self._redelivery.guarded(self._registration.write_counts)
        return again

    def _suspected(self, readable: Messages) -> set[str]:
        """The ids of the messages during which the function may have ended."""
        often = {message.id for message, _ in readable if message.receives > _RECEIVES_UNTIL_NOTED}
        found = [often]  # if that cannot be known
        if often:
            self._redelivery.guarded(lambda: found.append(self._failures.begun(often)))
        return found[-1]

    def _readable(self, messages: list[QueueMessage]) -> Messages:
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
        """Read all records at once; False when that failed, and every message comes again."""
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
        """Read the records of what is left once more, if that is due; without an answer, the old ones are safe too."""
        now = self._clock()
        if now - self._recalled_at < _RECALL_HOLDS:
            return
        self._recalled_at = now
        ids = {event.certificate_id for event in left}
        self._redelivery.guarded(lambda: self._known.update(self._registration.recall(ids, self._swept)))

    def _settle_in_turn(self, messages: Messages) -> None:
        """Take messages to their ends: without a turn what needs none, the others as their turns come."""
        waiting: list[_Waiting] = []
        settled: Messages = []
        followers: Messages = []
        seen: set[str] = set()
        for message, event in messages:
            if event.certificate_id in seen:  # by the certificate: SQS can hand out one message twice in a batch
                followers.append((message, event))
            elif need := self._need(message, event):
                waiting.append(_Waiting(message=message, event=event, need=need))
            else:
                settled.append((message, event))
            seen.add(event.certificate_id)
        waiting.sort(key=lambda one: _ORDER.index(one.need))
        turns: list[float] = []  # should the schedule fail in a way of its own, all are put off
        if waiting:
            wanted = Counter(one.need for one in waiting)
            self._redelivery.guarded(lambda: turns.extend(self._turns.reserve(wanted)))
        for message, event in settled:
            self._settle(message, event)
        self._decide_in_turn(waiting, turns)
        for message, event in followers:
            self._settle(message, event)  # a duplicate of what was just decided

    def _decide_in_turn(self, waiting: list[_Waiting], turns: list[float]) -> None:
        try:
            self._start_in_turn(waiting, turns)
        finally:
            self._beside.join()  # whatever happens, what was begun comes to its end before the batch's answer
        self._turns.give_back(turns)
        self._put_off(waiting)

    def _start_in_turn(self, waiting: list[_Waiting], turns: list[float]) -> None:
        """Give each turn that comes to the next one that needs it; what is left of both found no partner."""
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
        """Before the first certificate of a CA is decided on beside others: read what all of them need, in its turn."""
        ca_certificate_id = event.ca_certificate_id
        if ca_certificate_id and ca_certificate_id not in self._prepared:
            self._prepared.add(ca_certificate_id)
            with self._turns.holding():
                self._registration.prepare(ca_certificate_id)

    def _put_off(self, waiting: list[_Waiting]) -> None:
        """Let those that found no turn come again: new devices soon, the others one after the other.

        Where the line of the others is long, they are left to the sweep's look: what is put off is in flight.
        """
        patient = sum(one.need is not Need.NEW for one in waiting)
        places: list[float] = []
        if patient:
            self._redelivery.guarded(lambda: places.extend(self._turns.line_up(patient)))
        line = iter(places)
        for one in waiting:
            least, most = 2, 8
            if one.need is not Need.NEW and (seconds := next(line, None)) is not None:
                least = int(seconds) + 1
                most = least + 5
            elif one.need is not Need.NEW and self._is_left_to_look(one):
                continue
            self._redelivery.put_off(one.message, one.event, "its turn lies too far ahead", least=least, most=most)

    def _is_left_to_look(self, one: _Waiting) -> bool:
        """Whether its message can be deleted: the sweep finds the certificate by the index."""
        certificate_id = one.event.certificate_id
        record = self._known[certificate_id]
        return record.decision is not None and self._redelivery.leave_to_look(
            lambda: self._registration.leave_to_look(certificate_id, record)
        )

    def _need(self, message: QueueMessage, event: RegistrationEvent) -> Need | None:
        record = self._known[event.certificate_id]
        if self._is_under_way(message, event, record):
            return None
        return self._registration.needs(event, record, sent_at=message.sent_at, is_swept=message.is_swept)

    @staticmethod
    def _is_under_way(message: QueueMessage, event: RegistrationEvent, record: Record) -> bool:
        """In a queue that keeps some order, another environment is at work on the first event of this certificate.

        Both would make all calls. Should that event be lost, this one takes its place when it comes again.
        """
        return message.receives == 1 and event.is_early_repeat and record.decision is None

    def _settle_with_turn(self, one: _Waiting) -> None:
        with self._turns.holding():
            self._settle(one.message, one.event)

    def _settle(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Take one message to its end, or see to it that it comes again."""
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
        again.guarded(lambda: self._failures.begin(message.id, self._clock()))
        self._decide(message, event)
        if message.id in again.again:
            again.guarded(lambda: self._failures.end(message.id))

    def _decide(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Decide on one message's certificate, and let it come again if that fails."""
        again, certificate_id = self._redelivery, event.certificate_id
        try:
            outcome, decision = self._registration.decide(
                event,
                self._known[certificate_id],
                sent_at=message.sent_at,
                is_swept=message.is_swept,
                time_is_left=self._time_is_left,
            )
        except CertificateUnknown:
            self._miss(message, event)
        except Overtaken as error:
            # Somebody else is at it, who may himself be put off; a look before he is done costs calls for nothing.
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
                )
            self._announcer.report_outcome(outcome, certificate_id, decision, sent_at=message.sent_at)

    def _miss(self, message: QueueMessage, event: RegistrationEvent) -> None:
        """Give a certificate that AWS IoT does not know the time to arrive everywhere, twice."""
        certificate_id, age = event.certificate_id, self._clock() - message.sent_at
        if message.receives + message.misses < _RECEIVES_UNTIL_GONE or age < _AGE_UNTIL_GONE:
            self._redelivery.put_off(message, event, "AWS IoT does not know the certificate", least=5)
        else:
            self._redelivery.guarded(lambda: self._registration.give_up(certificate_id, self._known[certificate_id]))
            self._announcer.report_outcome(Outcome.GONE, certificate_id)

    def _leave(self, event: RegistrationEvent) -> None:
        if self._known and self._time_is_left():  # else the registry does not answer, or there is no time to ask it
            self._redelivery.guarded(lambda: self._registration.leave_to_sweep(event.certificate_id))
