"""Work in many stages at once: a thread and a session each, progress while it runs, and what became of each in the end.

One stage's failure is its own: the others go on, and the answer names both. Ctrl-C begins nothing new, lets what is
under way finish, and says what was done and what was not; a second one breaks that off, too.
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

# Waiting for AWS takes the time; the rest is Python, which runs one thread at a time anyway.
_MOST_AT_ONCE = 16
ON_PURPOSE = (JitrctlError, LocalAwsError, JitrError, BotoCoreError, ClientError)
# How often the progress inside a stage is told anew, in seconds.
_TELL_EVERY = 0.5
_BREAK_OFF = 2  # the Ctrl-C that waits for nothing any more

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[T]):
    """The work in one stage came to an end, with this."""

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
    """What became of the work in each stage, in the order in which the stages were given."""

    done: tuple[Done[T], ...]
    failed: tuple[Failed, ...]

    @property
    def ok(self) -> bool:
        return not self.failed


def across(stages: Sequence[Stage], work: Callable[[Stage], T], *, doing: str | Callable[[], str]) -> Results[T]:
    """Do the work in every stage, in parallel; `doing` tells it while it runs: "asking AWS IoT".

    Where one stage takes long, `doing` is a function that says how far all of them are.

    `work` is called once with each stage, in some thread; what it returns is `Done.value`. What it raises on purpose
    (JitrctlError, JitrError, botocore's errors) becomes `Failed.error`, and so does anything else, as a fault of ours
    with its traceback on standard error.

        results = across(scope.stages, lambda stage: stage.registry.recall([certificate_id]), doing="reading")
        for done in results.done: ...         # done.stage, done.value
        for failed in results.failed: ...     # failed.stage, failed.error

    Raises Interrupted after Ctrl-C.
    """
    running = _Running(stages, work)
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
    """Ask the operator what a thread waits to be told, with the progress out of the way; or tell it that nobody will.

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
    """Open every stage before anything is changed in any of them; each value is the ARN of who we are there.

    Raises WrongAccount, naming every account whose credentials are another's; Unusable when the shell alone says that
    calls go elsewhere. Then nothing is to be changed anywhere. Other failures, such as credentials that have expired,
    are the stage's own.
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
    """One call of `across`, as the thread that waits sees it."""

    def __init__(self, stages: Sequence[Stage], work: Callable[[Stage], T]) -> None:
        self._stages = tuple(stages)
        self._work = work
        self._waiting = deque(stages)
        self._begun: list[Stage] = []
        self._ended: dict[Stage, Done[T] | Failed] = {}  # written by the threads, so that Ctrl-C can lose nothing
        self._news: SimpleQueue[None] = SimpleQueue()
        self._interrupts = 0

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
        """Have as many under way as may be, and wait until one has ended, or for so long."""
        while self._waiting and len(self._under_way) < _MOST_AT_ONCE:
            self._begin(self._waiting.popleft())
        with suppress(Empty):
            self._news.get(timeout=seconds)

    def interrupt(self) -> None:
        """Ctrl-C: begin nothing new."""
        self._interrupts += 1
        self._waiting.clear()
        if self.left:
            under_way = ", ".join(map(str, self._under_way))
            err.print(f"Finishing what is under way: {under_way}. Ctrl-C again breaks it off.", soft_wrap=True)

    def in_words(self) -> str:
        """How far it is: 3 of 50; prod/us-east-1 and 4 more."""
        told = f"{len(self._ended)} of {len(self._stages)}"
        under_way = self._under_way
        if len(self._stages) == 1 or not under_way:
            return ""
        return f"{told}; {under_way[0]}" + (f" and {len(under_way) - 1} more" if len(under_way) > 1 else "")

    def results(self) -> Results[T]:
        """What became of it.

        Raises Interrupted.
        """
        ended = [self._ended[stage] for stage in self._stages if stage in self._ended]
        if self._interrupts:
            raise Interrupted(self._when_interrupted())
        return Results(
            done=tuple(one for one in ended if isinstance(one, Done)),
            failed=tuple(one for one in ended if isinstance(one, Failed)),
        )

    def _begin(self, stage: Stage) -> None:
        self._begun.append(stage)
        # A thread each, and daemons: the second Ctrl-C does not wait for them.
        threading.Thread(target=self._work_in, args=(stage,), name=str(stage), daemon=True).start()

    def _work_in(self, stage: Stage) -> None:
        try:
            self._ended[stage] = Done(stage=stage, value=self._work(stage))
        except Exception as error:  # noqa: BLE001 -- a thread that ends without a word would be waited for without end
            if not isinstance(error, ON_PURPOSE):
                traceback.print_exception(error)
            self._ended[stage] = Failed(stage=stage, error=describe_error(error), cause=error)
        finally:
            self._news.put(None)

    def _when_interrupted(self) -> str:
        parts = {
            "done in": [one for one in self._stages if isinstance(self._ended.get(one), Done)],
            "failed in": [one for one in self._stages if isinstance(self._ended.get(one), Failed)],
            "broken off halfway in": [one for one in self._stages if one in self._under_way],
            "not begun in": [one for one in self._stages if one not in self._ended and one not in self._under_way],
        }
        told = "; ".join(f"{what} {', '.join(map(str, stages))}" for what, stages in parts.items() if stages)
        return f"interrupted: {told}; the same command again does the rest"


def describe_error(error: Exception) -> str:
    """Any error in one sentence that says what to do; ours know it, to others it is added here."""
    if isinstance(error, NotPermitted) or not isinstance(error, (JitrctlError, LocalAwsError, JitrError)):
        return explain(error)
    if isinstance(error, Unavailable):
        return f"AWS throttles, fails or cannot be reached ({error}): try again in a minute"
    return " ".join(str(error).split())
