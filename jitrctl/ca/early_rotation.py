"""Finds the devices of a CA that its successor would refuse today: their certificates have too much of their life left.

A new certificate takes over a thing name only within `rotation_window` of the old one's end, under the successor's
rules (jitr/admission/rotation.py). A device that comes earlier is held, which nobody expects of a planned rotation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.decisions import Outcome
from jitr.iot_models import Status
from jitr.rules import OnReplacement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitr.owners import Owner
    from jitrctl.ca.rotation import Succession
    from jitrctl.session.stage import Stage

MOST = 5_000  # devices looked at in a stage, unless all are asked for: about a hundred calls
_BATCH = 100  # BatchGetItem's most
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyRotation:
    """The devices of a CA in one stage that would be refused under its successor today."""

    succession: Succession
    looked_at: int  # devices that own their thing name
    is_complete: bool  # whether these were all
    refused: int
    longest: timedelta  # the life that the certificate with the most of it has left
    window: timedelta  # the successor's rotation_window
    on_replacement: OnReplacement  # the successor's

    def __str__(self) -> str:
        """How many, why, and what to do."""
        old, new = self.succession.old.name, self.succession.new.name
        of = f"{self.refused:,} of {self.looked_at:,} devices" + (
            "" if self.is_complete else " looked at (--count: all)"
        )
        if self.on_replacement is OnReplacement.REJECT:
            return (
                f"{of} on {old} will be refused with their next certificates (REPLACEMENT_REFUSED): [ca.{new}] says "
                'on_replacement = "reject"; say "rotate" there, and deploy'
            )
        return (
            f"{of} on {old} will be held when they come with certificates of {new} today (NOT_A_ROTATION): theirs are "
            f"valid for longer than rotation_window of [ca.{new}], {self.window.days} days, and up to "
            f"{self._days} days. Have them change nearer their end; or, to let all of them change now, say "
            f'rotation_window = "{self._days}d" under [ca.{new}], deploy, and take it back afterwards; or allow '
            "those that are to change: `jitrctl enrollment import FILE.csv`, with the columns thing_name and "
            "may_follow (yes)"
        )

    @property
    def _days(self) -> int:
        return math.ceil(self.longest / timedelta(days=1))


def find_early(stage: Stage, succession: Succession, now: datetime, *, every: bool) -> EarlyRotation | None:
    """The devices that would be refused; None if there are none, or nothing is deployed that could say so.

    Raises Unavailable, botocore's errors.
    """
    rules = stage.rules.ca(succession.new.certificate_id)
    if rules is None:
        return None
    window, left, count = timedelta(seconds=rules.rotation_window), list[timedelta](), 0
    rejects = rules.on_replacement is OnReplacement.REJECT
    for owner in islice(_read_owners(stage, succession.old.certificate_id), None if every else MOST + 1):
        count += 1
        if rejects or owner.ends_at - now > window:
            left.append(owner.ends_at - now)
    is_complete = every or count <= MOST
    if not left:
        return None
    return EarlyRotation(
        succession=succession,
        looked_at=count if is_complete else MOST,
        is_complete=is_complete,
        refused=min(len(left), count if is_complete else MOST),
        longest=max(left),
        window=window,
        on_replacement=rules.on_replacement,
    )


def _read_owners(stage: Stage, ca_certificate_id: str) -> Iterator[Owner]:
    """The ACTIVE certificates of a CA that own their thing names, those that were decided on first, first.

    None when the stage has no registry, or one without the index of outcomes.
    """
    try:
        for outcome in (Outcome.ACTIVATED, Outcome.FOUND):
            decided = stage.outcomes.list_decided(outcome, ca_certificate_id, since=_EVER)
            while some := list(islice(decided, _BATCH)):
                yield from _owners_among(stage, some)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFoundException"):
            raise


def _owners_among(stage: Stage, certificate_ids: list[str]) -> Iterator[Owner]:
    records = stage.registry.recall(certificate_ids)
    names = {
        record.decision.thing_name
        for record in records.values()
        if record.decision and record.decision.status is Status.ACTIVE and record.decision.thing_name
    }
    owners = stage.registry.owners(names).values() if names else ()
    yield from (owner for owner in owners if owner.certificate_id in records)
