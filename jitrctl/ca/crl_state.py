"""Reads how far a CA's published CRL is applied to devices that are ACTIVE, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.crl_progress import REFUSED, WAITS, CrlState, Refusal
from jitr.rules import CheckMode
from jitrctl.terminal import at

if TYPE_CHECKING:
    from datetime import datetime

    from jitr.aws.crl_bucket import PublishedCrl
    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage


class CrlProgress(StrEnum):
    """What became of the published CRL."""

    OFF = "off"  # the rules ask for nothing
    NONE = "none"  # none is published
    PENDING = "pending"  # the function has not begun
    RUNNING = "running"
    APPLIED = "applied"
    OBSERVED = "observed"
    WAITING = "waiting"  # for `crl approve`: too many devices at once
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlApplied:
    """The published CRL of one CA in a stage, and what was done because of it."""

    progress: CrlProgress
    version: str = ""
    ended: int = 0  # devices that were revoked or suspended; or are listed, where it waits or is only observed
    lifted: int = 0
    devices: int | None = None  # of the CA, where it waits
    why: str = ""  # it is refused
    cause: str = ""  # crl_progress.Refusal
    at: datetime | None = None

    @property
    def asks_for(self) -> str:
        """What an operator may say yes to (crl_progress.WAITS, REFUSED); empty: nothing."""
        if self.progress is CrlProgress.WAITING:
            return WAITS
        return REFUSED if self.progress is CrlProgress.REFUSED and self.cause == Refusal.OLDER else ""

    @property
    def asks_for_approval(self) -> bool:
        return bool(self.asks_for)


def read_applied(stage: Stage, ca: Ca, published: PublishedCrl) -> CrlApplied:
    """Read what became of a CA's published CRL in a stage.

    Raises Unavailable, botocore's errors.
    """
    rules = stage.rules.ca(ca.certificate_id)
    mode = rules.crl_mode if rules else CheckMode.OFF
    if mode is CheckMode.OFF:
        return CrlApplied(progress=CrlProgress.OFF)
    try:
        state = stage.crl_states.read([ca.certificate_id])[ca.certificate_id]
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        state = CrlState()
    return assess(state, published, mode)


def assess(state: CrlState, published: PublishedCrl, mode: CheckMode) -> CrlApplied:
    """What became of the published CRL."""
    version = published.version
    if not version:
        return CrlApplied(progress=CrlProgress.NONE)
    applied, waits, refused, work = state.applied, state.waits, state.refused, state.work
    if refused and refused.version == version and not (refused.cause == Refusal.OLDER and state.is_approved(version)):
        return CrlApplied(
            progress=CrlProgress.REFUSED, version=version, why=refused.why, cause=refused.cause, at=refused.at
        )
    if waits and waits.version == version and not state.passes_brake(version):
        return CrlApplied(
            progress=CrlProgress.WAITING, version=version, ended=waits.ended, devices=waits.devices, at=waits.at
        )
    if work and (work.version, work.mode) == (version, mode.value):
        return CrlApplied(
            progress=CrlProgress.RUNNING, version=version, ended=work.ended, lifted=work.lifted, at=work.at
        )
    if applied and (applied.version, applied.mode) == (version, mode.value):
        done = CrlProgress.APPLIED if mode is CheckMode.ENFORCE else CrlProgress.OBSERVED
        return CrlApplied(progress=done, version=version, ended=applied.ended, lifted=applied.lifted, at=applied.at)
    return CrlApplied(progress=CrlProgress.PENDING, version=version)


def describe_applied(one: CrlApplied) -> str:
    """What became of the published CRL, in words."""
    since = f" {at(one.at)}" if one.at else ""
    return {
        CrlProgress.OFF: "not asked for",
        CrlProgress.NONE: "nothing to apply",
        CrlProgress.PENDING: "not begun",
        CrlProgress.RUNNING: f"under way: {_done(one)}",
        CrlProgress.APPLIED: f"applied{since}: {_done(one)}",
        CrlProgress.OBSERVED: f"observed{since}: {one.ended} ACTIVE {_devices(one.ended)} listed",
        CrlProgress.WAITING: (
            f"waits since{since} for `jitrctl crl approve`: it takes out {one.ended} of {one.devices} devices"
        ),
        CrlProgress.REFUSED: f"refused{since}: {one.why}",
    }[one.progress]


def _done(one: CrlApplied) -> str:
    lifted = f", {one.lifted} {_devices(one.lifted)} let back" if one.lifted else ""
    return f"{one.ended} {_devices(one.ended)} taken out{lifted}"


def _devices(number: int) -> str:
    return "device" if number == 1 else "devices"


def applied_fields(one: CrlApplied) -> dict[str, Any]:
    """The same for --json."""
    return {
        "progress": one.progress.value,
        "ended": one.ended,
        "lifted": one.lifted,
        "devices": one.devices,
        "why": one.why or None,
        "at": one.at.isoformat() if one.at else None,
    }
