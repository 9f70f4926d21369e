"""Virtual time: what happens when, alone and among tasks."""

import pytest

from simulation import Clock, DeadlinePassed


def test_sleeping_alone_runs_what_is_due_on_the_way_in_order() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()
    clock.call_later(2, lambda: seen.append(("second", clock.monotonic())))
    clock.call_later(1, lambda: seen.append(("first", clock.monotonic())))
    clock.call_later(9, lambda: seen.append(("too late", clock.monotonic())))
    clock.sleep(5)
    assert seen == [("first", 1), ("second", 2)]
    assert clock.monotonic() == 5


def test_tasks_sleep_beside_each_other() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()

    def worker(name: str, step: float) -> None:
        for _ in range(2):
            clock.sleep(step)
            seen.append((name, clock.monotonic()))

    clock.spawn(lambda: worker("slow", 3))
    clock.spawn(lambda: worker("quick", 2))
    clock.advance(10)
    assert seen == [("quick", 2), ("slow", 3), ("quick", 4), ("slow", 6)]
    assert clock.monotonic() == 10


def test_an_error_in_a_task_is_raised_where_time_was_made_to_pass() -> None:
    clock = Clock()
    clock.spawn(lambda: (_ for _ in ()).throw(ValueError("in the task")))
    with pytest.raises(ValueError, match="in the task"):
        clock.advance(1)


def test_a_sleep_beyond_the_deadline_ends_at_the_deadline() -> None:
    clock = Clock()

    def work() -> None:
        with clock.deadline(60):
            clock.sleep(59)
            clock.sleep(59)

    with pytest.raises(DeadlinePassed):
        work()
    assert clock.monotonic() == 60
    clock.sleep(100)  # the deadline is over with its block


def test_each_task_has_its_own_deadline() -> None:
    clock, ended = Clock(), list[float]()

    def worker(deadline: float) -> None:
        try:
            with clock.deadline(deadline):
                clock.sleep(100)
        except DeadlinePassed:
            ended.append(clock.monotonic())

    clock.spawn(lambda: worker(20))
    clock.spawn(lambda: worker(10))
    clock.advance(30)
    assert ended == [10, 20]


def test_closing_ends_tasks_that_sleep() -> None:
    clock, ended = Clock(), list[str]()

    def worker() -> None:
        try:
            while True:
                clock.sleep(1)
        finally:
            ended.append("yes")

    clock.spawn(worker)
    clock.advance(5)
    clock.close()
    assert ended == ["yes"]


def test_who_joins_tasks_that_end_in_one_moment_is_woken_once() -> None:
    clock, slept = Clock(), list[float]()

    def waiter() -> None:
        clock.join([clock.start(lambda: None) for _ in range(3)])
        clock.sleep(5)
        slept.append(clock.monotonic())

    clock.spawn(waiter)
    clock.advance(10)
    assert slept == [5]
