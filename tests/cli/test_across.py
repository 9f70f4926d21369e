"""Work in many stages: one's failure is its own, and Ctrl-C says what was done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from jitr.errors import Unavailable
from jitrctl.errors import Interrupted, Refused
from jitrctl.run.parallel import across
from jitrctl.session.stage import Stage

PATIENCE = 10  # seconds until a test that hangs gives up


def test_each_stages_answer_comes_in_the_order_of_the_fleet_file(stages: tuple[Stage, ...]) -> None:
    last = threading.Event()

    def work(stage: Stage) -> str:
        if stage is stages[-1]:
            last.set()
        else:
            assert last.wait(PATIENCE)
        return stage.region

    results = across(stages, work, doing="x")

    assert [str(done.stage) for done in results.done] == ["dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"]
    assert [done.value for done in results.done] == ["eu-central-1", "eu-central-1", "us-east-1"]
    assert results.ok


def test_stages_are_worked_on_at_the_same_time(stages: tuple[Stage, ...]) -> None:
    together = threading.Barrier(len(stages), timeout=PATIENCE)
    assert across(stages, lambda _: together.wait(), doing="x").ok


def test_how_far_the_work_is_inside_a_stage_is_told_before_the_stage_has_ended(
    stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, rows = threading.Event(), [0]

    def update(text: str) -> None:
        if text.startswith("importing: 99 rows … 0 of 3"):
            seen.set()

    screen = SimpleNamespace(is_terminal=True, status=lambda _: nullcontext(SimpleNamespace(update=update)))
    monkeypatch.setattr("jitrctl.run.parallel.err", screen)

    def work(_: Stage) -> bool:
        rows[0] = 99
        return seen.wait(PATIENCE)

    results = across(stages, work, doing=lambda: f"importing: {rows[0]} rows")

    assert [done.value for done in results.done] == [True] * len(stages)


DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "is not authorized to perform: iot:X on y"}}, "X")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Refused("it cannot be: do that"), "it cannot be: do that"),
        (
            Unavailable("X: Throttling"),
            "AWS throttles, fails or cannot be reached (X: Throttling): try again in a minute",
        ),
        (DENIED, "iot:X is not allowed: have it added to the permissions of who you are there"),
    ],
)
def test_one_stages_failure_does_not_hide_the_others(
    stages: tuple[Stage, ...], error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(stage: Stage) -> None:
        if stage is stages[1]:
            raise error

    results = across(stages, work, doing="x")

    assert [done.stage for done in results.done] == [stages[0], stages[2]]
    assert [(failed.stage, failed.error) for failed in results.failed] == [(stages[1], sentence)]
    assert not results.ok
    assert "Traceback" not in capsys.readouterr().err


def test_a_fault_of_ours_is_told_with_its_traceback_and_stops_no_other_stage(
    stages: tuple[Stage, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(stage: Stage) -> None:
        if stage is stages[0]:
            raise KeyError("x")

    results = across(stages, work, doing="x")

    assert len(results.done) == 2
    assert "a fault of jitrctl itself (KeyError: 'x')" in results.failed[0].error
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_lets_what_is_under_way_finish_and_begins_nothing_new(
    stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.run.parallel._MOST_AT_ONCE", 1)
    told = threading.Event()
    monkeypatch.setattr("jitrctl.terminal.err.print", lambda *_, **__: told.set())
    worked = []

    def work(stage: Stage) -> None:
        worked.append(stage)
        if stage is stages[1]:
            os.kill(os.getpid(), signal.SIGINT)
            assert told.wait(PATIENCE)

    with pytest.raises(Interrupted) as interrupted:
        across(stages, work, doing="x")

    assert worked == [stages[0], stages[1]]
    assert str(interrupted.value) == (
        "interrupted: done in dev/eu-central-1, prod/eu-central-1; not begun in prod/us-east-1; "
        "the same command again does the rest"
    )


@pytest.mark.usefixtures("_interruptible")
def test_a_second_ctrl_c_waits_for_nothing(stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitrctl.run.parallel._MOST_AT_ONCE", 1)
    told, end = threading.Event(), threading.Event()
    monkeypatch.setattr("jitrctl.terminal.err.print", lambda *_, **__: told.set())

    def work(_: Stage) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert told.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)
        end.wait(PATIENCE)

    try:
        with pytest.raises(Interrupted, match="broken off halfway in dev/eu-central-1; not begun in prod/eu-central-1"):
            across(stages, work, doing="x")
    finally:
        end.set()


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_what_is_no_exception_ends_the_command_and_is_not_waited_for(
    stages: tuple[Stage, ...], kind: type[BaseException]
) -> None:
    def work(stage: Stage) -> None:
        if stage is stages[-1]:
            raise kind

    ended: list[BaseException | None] = []

    def wait() -> None:
        try:
            across(stages, work, doing="x")
        except kind as error:
            ended.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(PATIENCE)
    assert [type(one) for one in ended] == [kind]
