"""Reads whether each CA's CRL is in force in a stage, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from jitr.revocation.lateness import warns_from
from jitr.rules import CheckMode
from jitr.x509.crl import CrlProblem, RevocationList
from jitrctl.ca.crl_publish import read_published
from jitrctl.ca.crl_state import CrlApplied, read_applied

if TYPE_CHECKING:
    from datetime import datetime

    from jitr.aws.crl_bucket import PublishedCrl
    from jitrctl.session.stage import Stage

_CHECK = "revocation"


class CrlState(StrEnum):
    """A CA's CRL in a stage."""

    IN_FORCE = "in force"
    GOING_STALE = "going stale"
    STALE = "stale"
    MISSING = "missing"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlHealth:
    """The CRL of one CA."""

    state: CrlState
    enforced: bool  # the check is "enforce": without a CRL in force, devices are held
    next_update: datetime | None = None
    why: str = ""  # it is unusable
    applied: CrlApplied | None = None  # to ACTIVE devices; None: not read


def read_crls(stage: Stage, now: datetime) -> dict[str, CrlHealth]:
    """The CRLs of the CAs whose rules ask for one, by the CA's name.

    Raises Refused when the stage has no bucket; Unavailable, botocore's errors.
    """
    found = {}
    for one in stage.account.cas:
        rules = stage.rules.ca(one.ca.certificate_id)
        mode = rules.mode_of(_CHECK) if rules else CheckMode.OFF
        if mode is not CheckMode.OFF:
            published = read_published(stage, one.ca)
            health = assess(published, enforced=mode is CheckMode.ENFORCE, now=now)
            found[one.ca.name] = replace(health, applied=read_applied(stage, one.ca, published))
    return found


def assess(published: PublishedCrl, *, enforced: bool, now: datetime) -> CrlHealth:
    """What is published, at a time."""
    match published.revocations:
        case None:
            return CrlHealth(state=CrlState.MISSING, enforced=enforced)
        case CrlProblem(why):
            return CrlHealth(state=CrlState.UNUSABLE, enforced=enforced, why=why)
        case crl:
            return CrlHealth(state=_age(crl, now), enforced=enforced, next_update=crl.next_update)


def _age(crl: RevocationList, now: datetime) -> CrlState:
    left = crl.next_update - now
    if left < timedelta(0):
        return CrlState.STALE
    is_late = now >= warns_from(crl.this_update, crl.next_update)
    return CrlState.GOING_STALE if is_late else CrlState.IN_FORCE
