"""Finds the certificates of an order on many devices in one stage: by name and serial number, by CA, by thing group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitr.aws.calls import batches
from jitr.errors import CertificateUnknown, Reason, Rejected
from jitr.iot_models import Status
from jitr.x509.certificate import Certificate
from jitrctl.ca.rotation import dependents
from jitrctl.device.registry_scan import MOST_SERIALS, find_by_serial

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from jitr.record import Record
    from jitr_fleet.model import Origin
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most
_CERTIFICATE = ":cert/"
_LIVE = (Status.ACTIVE, Status.PENDING_ACTIVATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedHere:
    """The certificates that a stage knows by name and by serial number."""

    things: Mapping[str, frozenset[str]] = field(default_factory=dict)
    serials: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundHere:
    """The certificates of a CA or a thing group in a stage."""

    certificates: frozenset[str]
    unknown: int = 0  # live certificates of the account whose CA is not known
    undated: int = 0  # certificates of which nothing says when they were issued; they get no order
    is_missing: bool = False  # there is no such thing group here


def find_named(stage: Stage, things: Collection[str], serials: Collection[str]) -> NamedHere:
    """Find the certificates of these things, and with these serial numbers.

    Of a thing: its owner, and owners before it that are still live; where no record knows the thing, what is attached
    to it. Reads the whole registry for each hundred serial numbers.

    Raises Unavailable, botocore's errors.
    """
    by_serial: dict[str, set[str]] = {}
    for some in batches(sorted(serials), MOST_SERIALS):
        by_serial |= find_by_serial(stage, some)
    return NamedHere(
        things=_find_things(stage, things),
        serials={serial: frozenset(found) for serial, found in by_serial.items()},
    )


def find_by_ca(
    stage: Stage,
    ca: Origin,
    issued_between: tuple[datetime, datetime] | None = None,
    *,
    with_inactive: bool = False,
) -> FoundHere:
    """Find the certificates of a CA or source that are ACTIVE, or pending and not refused; or also the INACTIVE ones.

    With `issued_between` only those whose notBefore is in that time, its ends included.

    Raises Unavailable, botocore's errors.
    """
    found = dependents(stage, ca, with_inactive=with_inactive)
    ids = frozenset(one.certificate_id for one in found.found)
    if issued_between is None:
        return FoundHere(certificates=ids, unknown=found.unknown)
    first, last = issued_between
    dated = _read_dates(stage, ids)
    chosen = frozenset(one for one, at in dated.items() if at is not None and first <= at <= last)
    return FoundHere(certificates=chosen, unknown=found.unknown, undated=sum(at is None for at in dated.values()))


def find_by_group(stage: Stage, group: str) -> FoundHere:
    """Find the certificates of the things in a thing group, and in the groups below it.

    Raises Unavailable, botocore's errors.
    """
    pages = stage.iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=group, recursive=True)
    try:
        things = [thing for page in pages for thing in page["things"]]
    except stage.iot.exceptions.ResourceNotFoundException:
        return FoundHere(certificates=frozenset(), is_missing=True)
    return FoundHere(certificates=frozenset().union(*_find_things(stage, things).values()))


def _find_things(stage: Stage, things: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for names in batches(sorted(set(things)), _BATCH):
        owners = stage.registry.owners(names)
        previous = {one for owner in owners.values() for one in owner.previous_owners}
        records = stage.registry.recall(previous) if previous else {}
        for name in names:
            if owner := owners.get(name):
                live = (one for one in owner.previous_owners if _is_live(records[one]))
                found[name] = frozenset((owner.certificate_id, *live))
            else:
                found[name] = _attached(stage, name)
    return found


def _is_live(record: Record) -> bool:
    return record.decision is not None and record.decision.status in _LIVE and not record.is_denied


def _attached(stage: Stage, thing: str) -> frozenset[str]:
    """The certificates that are attached to a thing; none if there is no such thing."""
    try:
        principals = stage.paced_iot.things.principals_of(thing)
    except Rejected as refusal:
        if refusal.reason is not Reason.TARGET_MISSING:
            raise
        return frozenset()
    return frozenset(arn.rpartition("/")[2] for arn in principals if _CERTIFICATE in arn)


def _read_dates(stage: Stage, certificate_ids: Iterable[str]) -> dict[str, datetime | None]:
    """The notBefore of each certificate: by its record, by the owner of its name, or by itself."""
    dates: dict[str, datetime | None] = {}
    for some in batches(sorted(certificate_ids), _BATCH):
        records = stage.registry.recall(some)
        names = {
            record.decision.thing_name
            for record in records.values()
            if record.decision and record.decision.not_before is None and record.decision.thing_name
        }
        issued = {one.certificate_id: one.issued_at for one in stage.registry.owners(names).values()} if names else {}
        for certificate_id, record in records.items():
            decision = record.decision
            known = decision.not_before if decision else None
            dates[certificate_id] = known or issued.get(certificate_id) or _read_date(stage, certificate_id)
    return dates


def _read_date(stage: Stage, certificate_id: str) -> datetime | None:
    try:
        return Certificate.from_pem(stage.paced_iot.describe(certificate_id).pem).not_before
    except (CertificateUnknown, Rejected):
        return None
