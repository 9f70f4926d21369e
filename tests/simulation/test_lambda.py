"""The poller in front of a function: docs/aws-facts.md §9."""

from typing import Any

import pytest

from simulation import Aws, DeadlinePassed, Died, NotModelled, SimulatedAccount
from simulation.lambda_ import EventSourceMapping, Handler
from simulation.queue import Queue


@pytest.fixture
def queue(account: SimulatedAccount) -> Queue:
    queue = account.sqs.create("work", visibility=360)
    for number in range(3):
        queue.send(str(number))
    return queue


def mapping(account: SimulatedAccount, queue: Queue, handler: Handler) -> EventSourceMapping:
    return EventSourceMapping(queue, account.sqs, lambda: handler)


def test_what_the_answer_names_comes_again_and_the_rest_is_deleted(
    aws: Aws, account: SimulatedAccount, queue: Queue
) -> None:
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert context.get_remaining_time_in_millis() == 60_000
        assert [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]] == ["1"] * 3
        second = event["Records"][1]
        return {"batchItemFailures": [{"itemIdentifier": second["messageId"]}]}

    invocation = mapping(account, queue, handler).poll()
    assert invocation is not None
    assert len(invocation.failed) == 1
    assert [message.body for message in queue.messages] == ["1"]
    assert queue.receive() == []
    aws.clock.advance(360)
    assert len(queue.receive()) == 1


@pytest.mark.parametrize("error", [ValueError, Died, SystemExit])
def test_an_error_or_a_death_returns_the_whole_batch(
    aws: Aws, account: SimulatedAccount, queue: Queue, error: type[BaseException]
) -> None:
    def handler(_event: dict[str, Any], _context: Any) -> None:
        raise error

    made = mapping(account, queue, handler)
    invocation = made.poll()
    assert invocation is not None
    assert isinstance(invocation.error, error)
    assert queue.size == 3
    aws.clock.advance(360)
    made.poll()
    assert made.cold_starts == (1 if error is ValueError else 2)


def test_a_handler_that_overruns_is_cut_off(aws: Aws, account: SimulatedAccount, queue: Queue) -> None:
    def handler(_event: dict[str, Any], _context: Any) -> None:
        try:
            aws.clock.sleep(1000)
        except Exception as error:
            raise AssertionError from error

    invocation = mapping(account, queue, handler).poll()
    assert invocation is not None
    assert isinstance(invocation.error, DeadlinePassed)
    assert aws.clock.monotonic() == 60
    assert queue.size == 3


@pytest.mark.parametrize(
    "answer", [{"batchItemFailures": [{"itemIdentifier": "nobody's"}]}, {"batchItemFailures": [{}]}, "words"]
)
def test_a_malformed_answer_fails_the_whole_batch(account: SimulatedAccount, queue: Queue, answer: Any) -> None:
    mapping(account, queue, lambda _event, _context: answer).poll()
    assert queue.size == 3


def test_what_the_model_does_not_know_ends_the_test(account: SimulatedAccount, queue: Queue) -> None:
    def handler(_event: dict[str, Any], _context: Any) -> None:
        account.client("iot").list_jobs()

    with pytest.raises(NotModelled):
        mapping(account, queue, handler).poll()


def test_draining_waits_for_what_is_hidden(aws: Aws, account: SimulatedAccount, queue: Queue) -> None:
    attempts: list[float] = []

    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        attempts.append(aws.clock.monotonic())
        if len(attempts) == 1:
            return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
        return {}

    mapping(account, queue, handler).drain()
    assert attempts == [0, 360]
    assert queue.size == 0


def test_several_environments_share_a_queue(aws: Aws, account: SimulatedAccount, queue: Queue) -> None:
    for _ in range(57):
        queue.send("more")
    busy: list[int] = [0]
    most: list[int] = []

    def handler(_event: dict[str, Any], _context: Any) -> None:
        busy[0] += 1
        most.append(busy[0])
        aws.clock.sleep(10)
        busy[0] -= 1

    for _ in range(3):
        aws.clock.spawn(mapping(account, queue, handler).work)
    aws.clock.advance(25)
    aws.clock.close()
    assert max(most) == 3
    assert queue.size == 0


def loops(account: SimulatedAccount, queue: Queue) -> Handler:
    """A function that sends every message to its own queue again."""
    sqs = account.client("sqs", caller="register")

    def handler(event: dict[str, Any], _context: Any) -> None:
        for record in event["Records"]:
            sqs.send_message(QueueUrl=queue.url, MessageBody=record["body"])

    return handler


def looping(account: SimulatedAccount) -> Queue:
    letters = account.sqs.create("letters")
    return account.sqs.create("loop", visibility=60, dead_letters=letters, max_receives=3)


def test_a_function_that_feeds_its_own_queue_is_stopped_at_the_sixteenth_hop(account: SimulatedAccount) -> None:
    queue = looping(account)
    queue.send("one")
    made = mapping(account, queue, loops(account, queue))
    made.drain()
    assert made.invocations == 16
    assert made.stopped == 3
    assert queue.size == 0
    assert queue.dead_letters is not None
    assert [message.body for message in queue.dead_letters.messages] == ["one"]


def test_a_fresh_message_inherits_the_lineage_of_the_one_beside_it(account: SimulatedAccount) -> None:
    queue = looping(account)
    queue.send("old")
    made = mapping(account, queue, loops(account, queue))
    for _ in range(15):
        made.poll()
    queue.send("fresh")
    made.poll()
    made.poll()
    assert (made.invocations, made.stopped) == (16, 2)


@pytest.mark.parametrize(("whole_batch", "stopped"), [(True, 2), (False, 1)])
def test_a_loop_stops_the_batch_or_its_own_message_alone(
    account: SimulatedAccount,
    whole_batch: bool,  # noqa: FBT001 -- the switch
    stopped: int,
) -> None:
    queue = looping(account)
    queue.send("old")
    handler = loops(account, queue)
    made = EventSourceMapping(queue, account.sqs, lambda: handler, loop_stops_whole_batch=whole_batch)
    for _ in range(16):
        made.poll()
    queue.send("fresh")
    made.poll()
    assert made.stopped == stopped
