"""Lists the held devices of a stage, by the registry's `due` index; the whole table is never read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jitr.store.registry_writes import Due
from jitrctl.clock import now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from jitr.decisions import Decision
    from jitrctl.session.stage import Stage

MOST = 20_000  # devices read in one stage; more than that have one common cause
_BATCH = 100  # BatchGetItem's most
_ANY_TIME = timedelta(days=36_500)  # the times in the index are by the functions' clock, not the operator's


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One held device, and why it is held."""

    certificate_id: str
    ca: str | None
    reason: str
    detail: str
    thing_name: str | None  # that the rules make of its certificate
    waits_since: datetime  # when it was registered
    looked_at: datetime
    next_look: datetime | None


def list_held_ids(stage: Stage, *, most: int) -> list[str]:
    """The ids of the held certificates, ordered by their next evaluation; a few may not be held any more.

    Raises Unavailable, botocore's errors.
    """
    return stage.registry.list_due(Due.LOOK, now() + _ANY_TIME, most=most)


def list_held(stage: Stage) -> Iterator[Held]:
    """The held devices, ordered by their next evaluation; at most MOST.

    Raises Unavailable, botocore's errors.
    """
    ids = list_held_ids(stage, most=MOST)
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        records = stage.registry.recall(some)
        for one in some:
            decision = records[one].decision
            if records[one].is_held and decision:
                yield _held(decision)


def find_held(stage: Stage, thing_names: Collection[str]) -> dict[str, set[str]]:
    """The ids of the held certificates that the rules would give these thing names, by name; reads the list once."""
    found: dict[str, set[str]] = {name: set() for name in thing_names}
    for one in list_held(stage) if found else ():
        if one.thing_name in found:
            found[one.thing_name].add(one.certificate_id)
    return found


def _held(decision: Decision) -> Held:
    return Held(
        certificate_id=decision.certificate_id,
        ca=decision.ca,
        reason=decision.reason.name if decision.reason else "",
        detail=decision.detail or "",
        thing_name=decision.thing_name or decision.requested_name,
        waits_since=decision.registered_at,
        looked_at=decision.decided_at,
        next_look=decision.next_evaluation,
    )
