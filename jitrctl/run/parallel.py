"""Runs work in many stages in parallel: a thread for each, progress meanwhile, one result for each.

A failure in one stage does not affect the others; the results name both. After Ctrl-C no stage is begun, those under
way finish, and the message says what was done and what was not. A second Ctrl-C stops waiting for them.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import JitrError, NotPermitted, Unavailable
from jitrctl import prompts
from jitrctl.errors import AccessError, Interrupted, JitrctlError, Unusable, WrongAccount
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.session.aws_errors import explain
from jitrctl.terminal import err

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.status import Status

    from jitrctl.session.stage import Stage

# Threads wait for AWS most of the time; Python itself runs one at a time.
_MOST_AT_ONCE = 16
ON_PURPOSE = (JitrctlError, LocalAwsError, JitrError, BotoCoreError, ClientError)
# seconds between two updates of the progress
_TELL_EVERY = 0.5
NOT_BEGUN = "not begun, since it was interrupted: the same command again does the rest"
_BREAK_OFF = 2  # the number of the Ctrl-C after which nothing is waited for

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[T]):
    """The work in one stage succeeded; `value` is what it returned."""

    stage: Stage
    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The work in one stage failed; `error` is one sentence without a full stop."""

    stage: Stage
    error: str
    cause: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Results(Generic[T]):
    """The results of the stages, in the order in which the stages were given."""

    done: tuple[Done[T], ...]
    failed: tuple[Failed, ...]

    @property
    def ok(self) -> bool:
        return not self.failed


def across(
    stages: Sequence[Stage],
    work: Callable[[Stage], T],
    *,
    doing: str | Callable[[], str],
    interrupted: threading.Event | None = None,
) -> Results[T]:
    """Do the work in every stage, in parallel; `doing` describes it in the progress: "asking AWS IoT".

    If one stage can take long, `doing` is a function that returns the progress of all.

    `work` is called once with each stage, in a thread; what it returns is `Done.value`. What it raises becomes
    `Failed.error`. An error that is not expected (JitrctlError, JitrError, botocore's are) is reported as a fault of
    jitrctl, with its traceback on standard error.

        results = across(scope.stages, lambda stage: stage.registry.recall([certificate_id]), doing="reading")
        for done in results.done: ...         # done.stage, done.value
        for failed in results.failed: ...     # failed.stage, failed.error

    With `interrupted`, the work itself heeds Ctrl-C: the event is set at the first, and the results say what was done;
    a stage that was not begun has failed with Interrupted.

    Raises Interrupted after Ctrl-C; with `interrupted` only after the second.
    """
    running = _Running(stages, work, interrupted)
    tell = doing if callable(doing) else lambda: doing
    with err.status(f"{tell()} …") if err.is_terminal else nullcontext() as status:
        while running.left:
            try:
                running.wait(_TELL_EVERY)
                _ask(status, wanted=not running.is_interrupted)
                if status is not None:
                    status.update(f"{tell()} … {running.in_words()}")
            except KeyboardInterrupt:
                running.interrupt()
    return running.results()


def _ask(status: Status | None, *, wanted: bool) -> None:
    """Ask the operator a question that a thread waits for, with the progress hidden; unless `wanted`, refuse it.

    Raises KeyboardInterrupt.
    """
    if not prompts.has_question():
        return
    if not wanted:
        prompts.refuse_all()
        return
    if status is not None:
        status.stop()
    try:
        prompts.answer_next()
    finally:
        if status is not None:
            status.start()


def open_all(stages: Sequence[Stage]) -> Results[str]:
    """Open every stage before anything is changed in any of them; each value is the ARN of the caller.

    Raises WrongAccount, with every account whose credentials belong to another account; Unusable when only the shell
    sets an endpoint that is not AWS. Then the caller must change nothing anywhere. Other failures, such as expired
    credentials, are in the results.
    """
    opened = across(stages, lambda stage: stage.caller, doing="opening the accounts")
    unusable = [failed for failed in opened.failed if isinstance(failed.cause, Unusable)]
    for failed in unusable:
        if not isinstance(failed.cause, AccessError):
            raise failed.cause
    wrong = dict.fromkeys(failed.error for failed in unusable if isinstance(failed.cause, WrongAccount))
    if wrong:
        raise WrongAccount(f"{'; '.join(wrong)}; nothing was changed anywhere")
    return opened


class _Running(Generic[T]):
    """The state of one call of `across`, for the thread that waits."""

    def __init__(
        self, stages: Sequence[Stage], work: Callable[[Stage], T], interrupted: threading.Event | None
    ) -> None:
        self._stages = tuple(stages)
        self._work = work
        self._waiting = deque(stages)
        self._begun: list[Stage] = []
        self._ended: dict[Stage, Done[T] | Failed] = {}  # written by the threads, so that Ctrl-C loses none
        self._news: SimpleQueue[None] = SimpleQueue()
        self._interrupts = 0
        self._interrupted = interrupted
        self._broken: BaseException | None = None  # what ended a thread, and is no failure of its stage

    @property
    def _under_way(self) -> list[Stage]:
        return [stage for stage in self._begun if stage not in self._ended]

    @property
    def left(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self._under_way or self._waiting) and self._interrupts < _BREAK_OFF

    @property
    def is_interrupted(self) -> bool:
        return self._interrupts > 0

    def wait(self, seconds: float) -> None:
        """Begin as many stages as are allowed at once, and wait until one has ended, or for so many seconds.

        Raises what is no Exception, such as SystemExit, where the work in a stage raised it.
        """
        while self._waiting and len(self._under_way) < _MOST_AT_ONCE:
            self._begin(self._waiting.popleft())
        with suppress(Empty):
            self._news.get(timeout=seconds)
        if self._broken is not None:
            raise self._broken

    def interrupt(self) -> None:
        """Ctrl-C: begin nothing new."""
        self._interrupts += 1
        self._waiting.clear()
        if self._interrupted:
            self._interrupted.set()
        if self.left:
            under_way = ", ".join(map(str, self._under_way))
            err.print(f"Finishing what is under way: {under_way}. Ctrl-C again breaks it off.", soft_wrap=True)

    def in_words(self) -> str:
        """How far it is: 3 of 50; prod/us-east-1 and 4 more."""
        text = f"{len(self._ended)} of {len(self._stages)}"
        under_way = self._under_way
        if len(self._stages) == 1 or not under_way:
            return ""
        return f"{text}; {under_way[0]}" + (f" and {len(under_way) - 1} more" if len(under_way) > 1 else "")

    def results(self) -> Results[T]:
        """The results; raises Interrupted after Ctrl-C, unless the work heeds it and has ended."""
        if self._interrupts and (self._interrupted is None or self._under_way):
            raise Interrupted(self._when_interrupted())
        not_begun = Interrupted(NOT_BEGUN)
        ended = [
            self._ended.get(stage, Failed(stage=stage, error=NOT_BEGUN, cause=not_begun)) for stage in self._stages
        ]
        return Results(
            done=tuple(one for one in ended if isinstance(one, Done)),
            failed=tuple(one for one in ended if isinstance(one, Failed)),
        )

    def _begin(self, stage: Stage) -> None:
        self._begun.append(stage)
        # Daemon threads: the second Ctrl-C does not wait for them.
        threading.Thread(target=self._work_in, args=(stage,), name=str(stage), daemon=True).start()

    def _work_in(self, stage: Stage) -> None:
        try:
            self._ended[stage] = Done(stage=stage, value=self._work(stage))
        except Exception as error:  # noqa: BLE001 -- without a result, the thread would be waited for forever
            if not isinstance(error, ON_PURPOSE):
                traceback.print_exception(error)
            self._ended[stage] = Failed(stage=stage, error=describe_error(error), cause=error)
        except BaseException as error:  # noqa: BLE001 -- as above; it is raised where the stages are waited for
            self._broken = error
        finally:
            self._news.put(None)

    def _when_interrupted(self) -> str:
        parts = {
            "done in": [one for one in self._stages if isinstance(self._ended.get(one), Done)],
            "failed in": [one for one in self._stages if isinstance(self._ended.get(one), Failed)],
            "broken off halfway in": [one for one in self._stages if one in self._under_way],
            "not begun in": [one for one in self._stages if one not in self._ended and one not in self._under_way],
        }
        text = "; ".join(f"{what} {', '.join(map(str, stages))}" for what, stages in parts.items() if stages)
        return f"interrupted: {text}; the same command again does the rest"


def describe_error(error: Exception) -> str:
    """Any error in one sentence that says what to do; for errors that are not jitr's own, that is added here."""
    if isinstance(error, NotPermitted) or not isinstance(error, (JitrctlError, LocalAwsError, JitrError)):
        return explain(error)
    if isinstance(error, Unavailable):
        return f"AWS throttles, fails or cannot be reached ({error}): try again in a minute"
    return " ".join(str(error).split())
