"""Devices that are held in a stage: found by the registry's index of what is due, never by reading the whole table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jitr.store.registry_writes import Due
from jitrctl.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jitr.decisions import Decision
    from jitrctl.session.stage import Stage

MOST = 20_000  # that are read in one stage; more than that is one cause, not many devices
_BATCH = 100  # BatchGetItem's most
_ANY_TIME = timedelta(days=36_500)  # whatever our clock says: the times in the index are the functions'


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One device that waits for a cause to go away."""

    certificate_id: str
    ca: str | None
    reason: str
    detail: str
    thing_name: str | None  # that its certificate asks for
    waits_since: datetime  # when it was registered
    looked_at: datetime
    next_look: datetime | None


def list_held(stage: Stage) -> Iterator[Held]:
    """The devices that are held, those first whose next look is the nearest; at most MOST.

    Raises Unavailable, botocore's errors.
    """
    ids = stage.registry.due(Due.LOOK, now() + _ANY_TIME, most=MOST)
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        records = stage.registry.recall(some)
        for one in some:
            decision = records[one].decision
            if records[one].is_held and decision:
                yield _held(decision)


def find_held(stage: Stage, thing_name: str) -> set[str]:
    """The ids of the certificates that are held, and ask for a thing name."""
    return {one.certificate_id for one in list_held(stage) if one.thing_name == thing_name}


def _held(decision: Decision) -> Held:
    return Held(
        certificate_id=decision.certificate_id,
        ca=decision.ca,
        reason=decision.reason.name if decision.reason else "",
        detail=decision.detail or "",
        thing_name=decision.thing_name or decision.asks_for,
        waits_since=decision.registered_at,
        looked_at=decision.decided_at,
        next_look=decision.next_look,
    )
