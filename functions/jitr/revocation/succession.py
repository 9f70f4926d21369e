"""Decides whether a CRL may follow the one that was applied last; pure. `jitrctl crl put` decides by the same rule.

An older CRL would lift holds and forget revocations, so it is refused: by its number (RFC 5280 §5.2.3), or by
thisUpdate where one of both has no number.
"""

from datetime import datetime, timedelta

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
