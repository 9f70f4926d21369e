"""Finds the CAs that other stages have revoked and this one has not, and copies that, so that a lost CA stays out.

A stage that was deployed after `ca revoke`, or whose account has joined the fleet since, has no `cas#revoked`. The
revocation is copied there, with who gave it and where, unless the CA has devices there or an operator lifted it there:
then it is for an operator to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitr.store.revoked_cas import CaRevocation, CaRevocations
from jitrctl.ca import registry
from jitrctl.clock import now
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage

_LONGEST_NOTE = 1_000  # characters, as of every note (jitrctl/run/scope.py)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedElsewhere:
    """A CA of a stage that another stage has revoked."""

    ca: Ca
    source: str  # the stage that it is from
    given: CaRevocation  # there

    @property
    def why(self) -> str:
        """Who revoked it, where, when and why; also the note of the copy."""
        if self.given.note.startswith("revoked in "):
            return self.given.note
        said = f": {self.given.note}" if self.given.note else ""
        return f"revoked in {self.source} by {self.given.by} {at(self.given.at)}{said}"

    def as_revocation(self, by: str) -> CaRevocation:
        """The copy, as it is written."""
        return CaRevocation(by=by, at=now(), note=self.why[:_LONGEST_NOTE])

    def __str__(self) -> str:
        return f"revoke CA {self.ca.name}, {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CasToRevoke:
    """The CAs of a stage that others have revoked."""

    lacking: tuple[RevokedElsewhere, ...] = ()  # to be copied
    in_use: tuple[RevokedElsewhere, ...] = ()  # with devices, or lifted: left as they are
    unchanged: int = 0  # revoked here, too

    def __bool__(self) -> bool:
        return bool(self.lacking or self.in_use)


def read_revocations(stage: Stage) -> CaRevocations | None:
    """What a stage knows of revoked CAs; None where there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        return stage.revoked_cas.read_all()
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def find_lacking(stage: Stage, sources: Mapping[str, CaRevocations], *, is_deployed: bool = True) -> CasToRevoke:
    """The stage's CAs that others have revoked; `sources` has what each other stage knows, by its name.

    Of several revocations the earliest counts. One that is not deployed has no devices, and can keep no revocation yet.

    Raises Unavailable, botocore's errors; ResourceNotFoundException of DynamoDB when the stage is not deployed.
    """
    wanted = _merge(sources)
    given = [one.ca for one in stage.account.cas if one.ca.certificate_id in wanted]
    if not given:
        return CasToRevoke()
    here = stage.revoked_cas.read_all() if is_deployed else CaRevocations()
    found = [
        RevokedElsewhere(ca=ca, source=wanted[ca.certificate_id][0], given=wanted[ca.certificate_id][1])
        for ca in given
        if ca.certificate_id not in here.revoked
    ]
    in_use = [
        one for one in found if is_deployed and (one.ca.certificate_id in here.lifted or _has_devices(stage, one.ca))
    ]
    return CasToRevoke(
        lacking=tuple(one for one in found if one not in in_use),
        in_use=tuple(in_use),
        unchanged=len(given) - len(found),
    )


def copy_revocations(stage: Stage, lacking: Iterable[RevokedElsewhere]) -> int:
    """Write the revocations into the stage's table; the number of them. The sweep sets the CAs INACTIVE.

    Raises Unavailable, botocore's errors.
    """
    written = 0
    for one in lacking:
        stage.revoked_cas.revoke(one.ca.certificate_id, one.as_revocation(stage.caller))
        written += 1
    return written


def _merge(sources: Mapping[str, CaRevocations]) -> dict[str, tuple[str, CaRevocation]]:
    merged: dict[str, tuple[str, CaRevocation]] = {}
    for source, known in sources.items():
        for certificate_id, given in known.revoked.items():
            before = merged.get(certificate_id)
            if before is None or given.at < before[1].at:
                merged[certificate_id] = (source, replace(given, devices=None))
    return merged


def _has_devices(stage: Stage, ca: Ca) -> bool:
    """Whether the CA is ACTIVE in the stage, and jitr has activated a device of it there."""
    found = registry.find(stage, ca)
    if found is None or not found.active:
        return False
    activated = stage.outcomes.list_decided(Outcome.ACTIVATED, ca.certificate_id, since=_EVER)
    return next(activated, None) is not None
