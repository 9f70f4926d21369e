"""The pace of commands that call AWS IoT for many devices: turns of the account's schedule, by AWS's time."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jitrctl.session.stage import Stage

# AWS's Date has whole seconds. A clock that is closer to it than this is the better one.
_CLOSE = 1.0  # seconds


class ServiceTime:
    """The time by a service's answers; by the own clock while that agrees with them, and before the first one.

    The schedule is the account's: a laptop whose clock is half a minute fast would move it away from the functions.
    """

    def __init__(self, client: Any, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ahead = 0.0
        client.meta.events.register("after-call", self._compare)

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self._clock() + self._ahead

    def _compare(self, http_response: Any, **_: object) -> None:
        if date := http_response.headers.get("Date"):
            ahead = parsedate_to_datetime(date).timestamp() + 0.5 - self._clock()
            self._ahead = ahead if abs(ahead) > _CLOSE else 0.0


def turns_in(stage: Stage) -> TurnByTurn:
    """Turns of the stage's schedule.

    Who may not write it there, or where there is none yet, has the guaranteed share of the rate instead. The rate is
    the fleet file's, which need not be deployed, so nothing is judged by it.
    """
    client = stage.access.client("dynamodb", TURNS_CONFIG)
    return TurnByTurn(
        client,
        stage.names.registry_table,
        per_second=stage.account.activations_per_second,
        judges=False,
        clock=ServiceTime(client),
    )


def in_words(most: int, stages: Iterable[Stage]) -> str:
    """What so many calls of DescribeCertificate in each of these stages take."""
    rate = min((stage.account.activations_per_second for stage in stages), default=1.0)
    return (
        f"At most {most} calls of DescribeCertificate in each account and Region: {most / rate:.0f} s, or longer while "
        "devices need the rate."
    )
