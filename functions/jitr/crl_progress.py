"""How far the CRL of a CA was applied to registered certificates, as values; store/crl_state.py keeps them.

A CRL is named by its version, the object's ETag.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from jitr.frozen import value

# What an operator may say yes to: the parts of the state with that name.
WAITS, REFUSED = "waits", "refused"


@value
class SeenCrl:
    """The CRL that was read last, applied or not."""

    version: str
    this_update: datetime
    next_update: datetime
    at: datetime


@value
class AppliedCrl:
    """A CRL that was applied, or in the mode `observe` compared."""

    version: str
    version_id: str | None = None  # of the object in the bucket
    number: int | None = None
    this_update: datetime
    mode: str  # rules.CheckMode
    at: datetime
    found_at: datetime  # when the last search for its certificates began
    is_complete: bool  # all records of the CA were in the indexes
    ended: int = 0  # certificates that it revoked or suspended; in the mode `observe`, that are ACTIVE against it
    lifted: int = 0


@value
class CrlWork:
    """A CRL that is being applied."""

    version: str
    mode: str
    began_at: datetime
    at: datetime  # of the last run
    has_passed: bool = False  # the brake let it pass
    follows_unfinished: bool = False  # the CRL before was begun and never finished: what that one did is in no list
    ended: int = 0
    lifted: int = 0
    number: int | None = None
    this_update: datetime | None = None  # None: an earlier version began it


# Where a walk goes on: {"outcome": …, "after": …} by record, {"skipped": …} by serial number, {} at its beginning
# (revocation/candidates.py).
Place = Mapping[str, Any]


@value
class CrlWalk:
    """A walk over the certificates on which a CRL has something to say, across runs."""

    version: str
    mode: str
    aim: str  # revocation.walk.Aim
    by_serial: bool
    began_at: datetime
    at: datetime  # of the last run
    place: Place  # where the next run goes on
    ended: int = 0  # certificates that the CRL takes out, so far
    later: int = 0  # certificates that have to be tried again, so far


class Refusal(StrEnum):
    """Why a CRL is refused."""

    OLDER = "older"  # than the one before; an operator may approve it
    EARLY = "early"  # it is not in force yet
    UNUSABLE = "unusable"


@value
class RefusedCrl:
    """A CRL that was not applied."""

    version: str
    why: str
    at: datetime
    cause: str = Refusal.OLDER.value
    until: datetime | None = None  # when it comes into force, and is applied


@value
class WaitingCrl:
    """A CRL that takes out too many devices at once."""

    version: str
    ended: int  # ACTIVE certificates that it lists
    devices: int  # of the CA
    at: datetime


@value
class ApprovedCrl:
    """An operator's yes to one CRL."""

    version: str
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock
    note: str = ""
    # What was seen: REFUSED lets an older CRL follow, and the brake may still stop it; WAITS lets it pass the brake.
    # Empty: by an earlier version of jitrctl, whose yes was for both.
    of: str = ""


@value
class GrowingRegistry:
    """The sweep records certificates that no record was of (identification.py)."""

    until: datetime


@value
class CrlState:
    """The state of one CA's CRL in one account and Region."""

    seen: SeenCrl | None = None
    applied: AppliedCrl | None = None
    work: CrlWork | None = None
    walk: CrlWalk | None = None
    refused: RefusedCrl | None = None
    waits: WaitingCrl | None = None
    grows: GrowingRegistry | None = None
    approved: ApprovedCrl | None = None

    def is_approved(self, version: str) -> bool:
        """Whether an operator has approved exactly this CRL, so that it may follow a newer one.

        The yes to the number of devices is none to that, except while the CRL waits for it: it came so far.
        """
        if self.approved is None or self.approved.version != version:
            return False
        return self.approved.of != WAITS or (self.waits is not None and self.waits.version == version)

    def passes_brake(self, version: str) -> bool:
        """Whether an operator has seen how many devices exactly this CRL takes out, and approved it."""
        return self.approved is not None and self.approved.version == version and self.approved.of != REFUSED

    def asks_for(self, version: str, mode: str, *, is_complete: bool, now: datetime) -> bool:
        """Whether the published CRL is still to be applied, and nothing that only an operator can change forbids it.

        `is_complete`: whether all records are in the indexes now.
        """
        refused, waits = self.refused, self.waits
        if refused is not None and refused.version == version and not self.is_approved(version):
            return refused.until is not None and refused.until <= now
        if waits is not None and waits.version == version and not self.passes_brake(version):
            return False
        if self.work is not None and self.work.version != version:
            return True  # another one was begun since
        done = self.applied
        if done is None or (done.version, done.mode) != (version, mode):
            return True
        return is_complete and not self.is_whole

    def was_at_work_since(self, moment: datetime) -> bool:
        """Whether a run has written its state since then: one is probably under way."""
        return any(one is not None and one.at > moment for one in (self.work, self.walk))

    @property
    def is_whole(self) -> bool:
        """Whether all certificates that are known now were searched for by the CRL that was applied last."""
        applied, grows = self.applied, self.grows
        if applied is None or not applied.is_complete:
            return False
        return grows is None or applied.found_at >= grows.until
