"""Finds the certificates of a stage that end soon, and until when each CA can admit devices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from jitr.rules import CheckMode
from jitr.sweep.expiring import end_of
from jitrctl.device.registry_scan import scan_ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from jitr.record import Record
    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringDevice:
    """An ACTIVE certificate that ends soon, and that no other one has followed."""

    certificate_id: str
    thing_name: str | None
    ca: str | None  # as the fleet file calls it
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringCa:
    """The end of a CA."""

    name: str
    ends_at: datetime  # no device is admitted after it
    # The last time at which a device is admitted whose certificate ends with the CA's, or before.
    admits_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """What ends in a stage."""

    cas: tuple[ExpiringCa, ...]  # all of the stage's CAs, the first to end first
    sources: tuple[str, ...]  # the stage's sources of certificates registered without a CA, which do not end
    devices: tuple[ExpiringDevice, ...]  # the first to end first
    ended: Mapping[str, int]  # by CA: ACTIVE certificates that have ended; their devices cannot connect
    unknown: int  # ACTIVE certificates of which no record says when they end


def find_expiring(stage: Stage, now: datetime, within: timedelta) -> Expiring:
    """Read the stage's whole registry for the ACTIVE certificates that end within this time.

    Raises Unavailable, botocore's errors.
    """
    devices, ended, unknown = [], Counter[str](), 0
    for certificate_id, record, ends_at in _with_ends(stage, now + within):
        decision = record.decision
        if record.is_denied:
            continue  # an operator took it away
        if ends_at is None or decision is None:
            unknown += 1
        elif ends_at < now:
            ended[decision.ca or ""] += 1
        elif ends_at <= now + within:
            devices.append(
                ExpiringDevice(
                    certificate_id=certificate_id, thing_name=decision.thing_name, ca=decision.ca, ends_at=ends_at
                )
            )
    cas = [_expiring_ca(stage, one.ca) for one in stage.account.cas]
    return Expiring(
        cas=tuple(sorted(cas, key=lambda one: one.admits_until)),
        sources=tuple(one.name for one in stage.account.sources),
        devices=tuple(sorted(devices, key=lambda one: (one.ends_at, one.certificate_id))),
        ended=dict(ended),
        unknown=unknown,
    )


def count_by_ca(devices: Sequence[ExpiringDevice]) -> Mapping[str, int]:
    """The number of these devices by CA; "" for an unknown one."""
    return Counter(one.ca or "" for one in devices)


def _with_ends(stage: Stage, until: datetime) -> Iterator[tuple[str, Record, datetime | None]]:
    """The certificates that may end by then, each with its record and its end.

    For a record of an earlier version, the owner of the thing name says when it ends.
    """
    found = scan_ending(stage, until)
    while some := list(islice(found, _BATCH)):
        names = {
            record.decision.thing_name
            for _, record in some
            if record.decision and record.decision.not_after is None and record.decision.thing_name
        }
        owners = stage.registry.owners(names) if names else {}
        for certificate_id, record in some:
            name = record.decision.thing_name if record.decision else None
            yield certificate_id, record, end_of(certificate_id, record, owners.get(name or ""))


def _expiring_ca(stage: Stage, ca: Ca) -> ExpiringCa:
    ends_at, rules = ca.certificate.not_after, stage.rules.ca(ca.certificate_id)
    least = timedelta()
    if rules and rules.mode_of("validity") is CheckMode.ENFORCE:
        least = timedelta(seconds=rules.minimum_remaining_life)
    return ExpiringCa(name=ca.name, ends_at=ends_at, admits_until=ends_at - least)
