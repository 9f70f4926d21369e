"""Decides whether a CRL may be applied after the one before; pure. `jitrctl crl put` decides by the same rule.

An older CRL would lift holds and forget revocations, so it is refused: by its number (RFC 5280 §5.2.3), or by
thisUpdate where one of both has no number.
"""

from datetime import datetime, timedelta

from jitr.crl_progress import CrlState, Refusal, RefusedCrl
from jitr.frozen import value
from jitr.x509.crl import RevocationList

# The CA's clock may be ahead of the function's.
_CLOCKS_DIFFER = timedelta(minutes=5)


@value
class CrlIdentity:
    """What identifies one CRL among those of a CA."""

    number: int | None
    this_update: datetime

    @classmethod
    def of(cls, crl: RevocationList) -> "CrlIdentity":
        return cls(number=crl.number, this_update=crl.this_update)


def why_not_after(new: CrlIdentity, before: CrlIdentity, *, stands: str = "was applied") -> str | None:
    """Why a CRL with other contents must not follow this one; None when it may.

    `stands` says what became of the one before.
    """
    if new.number is not None and before.number is not None:
        if new.number < before.number:
            return f"number {new.number} is older: number {before.number} {stands}"
        if new.number == before.number and new.this_update != before.this_update:
            return f"number {new.number} has the same number, and says something else: number {before.number} {stands}"
    if new.this_update < before.this_update:
        return f"it was issued {_time(new.this_update)}, and one of {_time(before.this_update)} {stands}"
    return None


def in_force_from(new: CrlIdentity) -> datetime:
    """The time from which the CRL may be applied."""
    return new.this_update - _CLOCKS_DIFFER


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def refuse_next(version: str, crl: RevocationList, state: CrlState, now: datetime) -> RefusedCrl | None:
    """Why a CRL that can be read is not applied now; None when it may be."""
    begins = in_force_from(CrlIdentity.of(crl))
    if begins > now:
        # Its message ends; the sweep asks for it when it is in force.
        why = f"it is not in force before {crl.this_update:%Y-%m-%dT%H:%M:%SZ}, and is applied then"
        return RefusedCrl(version=version, why=why, at=now, cause=Refusal.EARLY.value, until=begins)
    if not state.is_approved(version) and (older := _why_not_next(version, crl, state)):
        return RefusedCrl(version=version, why=older, at=now, cause=Refusal.OLDER.value)
    return None


def _why_not_next(version: str, crl: RevocationList, state: CrlState) -> str | None:
    """Why a CRL may not follow the one that was begun last: it is being applied, or was applied."""
    work, applied = state.work, state.applied
    if work is not None and work.this_update is not None:
        before, before_version = CrlIdentity(number=work.number, this_update=work.this_update), work.version
        stands = "is being applied"
    elif applied is not None:
        before, before_version = CrlIdentity(number=applied.number, this_update=applied.this_update), applied.version
        stands = "was applied"
    else:
        return None
    return None if before_version == version else why_not_after(CrlIdentity.of(crl), before, stands=stands)
