"""Plays the steps of the hour, in their order; each leaves the fleet as it should be."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitrctl.localaws import accounts
from tests.support.e2e.hour import authority, certificates, delivery, messages, orders, provisioned, report, setting_up
from tests.support.e2e.hour.checkout import Checkout
from tests.support.e2e.hour.operator import Operator
from tests.support.e2e.hour.outcome import HourError, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import FrameType

    from tests.support.e2e.hour.outcome import Step

SET_UP = setting_up.STEPS[0]
STEPS = (
    SET_UP,
    authority.STEPS[0],  # the first CRL: without it, the answer to the next is "no"
    *setting_up.STEPS[1:],
    orders.STEPS[0],
    *delivery.STEPS,
    *authority.STEPS[1:4],
    *provisioned.STEPS,
    *certificates.STEPS,
    *orders.STEPS[1:],
    *messages.STEPS,
    *authority.STEPS[4:],
)


def run_hour(names: Collection[str] = (), *, columns: int = 80, outcomes: list[Outcome] | None = None) -> list[Outcome]:
    """Play all steps, or the set-up and those named; however it ends, nothing that it started is left.

    What comes of each is added to `outcomes` as it ends, which are there after Ctrl-C, too.
    """
    steps = [step for step in STEPS if not names or step is SET_UP or step.name in names]
    outcomes = [] if outcomes is None else outcomes
    with _operator(columns) as operator:
        for number, step in enumerate(steps, 1):
            report.show_begin(number, len(steps), step.name)
            outcomes.append(_play(step, operator))
            report.show_step(outcomes[-1])
            if step is SET_UP and outcomes[-1].error:
                break
    return outcomes


def _play(step: Step, operator: Operator) -> Outcome:
    operator.begin_step()
    began, error = time.monotonic(), ""
    try:
        result = step.play(operator)
    except (HourError, TimeoutError, ClientError) as failed:
        error = str(failed)
        result = error.splitlines()[0]
    return Outcome(
        name=step.name,
        broken=step.broken,
        said=operator.said,
        cures=tuple(operator.cures),
        result=result,
        seconds=time.monotonic() - began,
        commands=tuple((one.command, one.seconds) for one in operator.transcript),
        error=error,
    )


@contextmanager
def _operator(columns: int) -> Iterator[Operator]:
    """An operator in a new checkout; at the end its local AWS stops, after Ctrl-C and a TERM too."""
    with TemporaryDirectory(prefix="jitr-hour-") as directory, _interrupted_by_term():
        checkout = Checkout.create(Path(directory).resolve())
        try:
            yield Operator(checkout, columns)
        finally:
            accounts.down(checkout.workspace.directory)


@contextmanager
def _interrupted_by_term() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def has_failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether a step failed."""
    return any(one.error for one in outcomes)
