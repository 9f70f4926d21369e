"""Finds the ACTIVE certificates of a page that end soon and that no other certificate has followed; pure.

A device that has rotated has its next certificate: the old one is retired (`replaced_by`). One that has ended already
cannot connect any more, and is not counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from jitr.iot_models import ListedCertificate, Status
from jitr.owners import Owner
from jitr.record import Record

EXPIRING = "expiring"  # in the account's counts, in place of a status


def end_of(certificate_id: str, record: Record, owner: Owner | None) -> datetime | None:
    """When a certificate ends, by its record or, of earlier versions, by the owner of its thing name; None: unknown."""
    decision = record.decision
    if decision and decision.not_after:
        return decision.not_after
    return owner.ends_at if owner and owner.certificate_id == certificate_id else None


def names_to_read(listed: Iterable[ListedCertificate], records: Mapping[str, Record]) -> set[str]:
    """The thing names whose owners say when a certificate ends, since its record, of an earlier version, does not."""
    decisions = (records[one.certificate_id].decision for one in listed if one.status is Status.ACTIVE)
    return {one.thing_name for one in decisions if one and one.not_after is None and one.thing_name}


def find_expiring(
    listed: Iterable[ListedCertificate],
    records: Mapping[str, Record],
    owners: Mapping[str, Owner],
    *,
    now: datetime,
    within: timedelta,
) -> Iterator[str]:
    """The ids of those that end within this time."""
    for one in listed:
        record = records[one.certificate_id]
        if one.status is not Status.ACTIVE or record.replaced_by or record.decision is None:
            continue
        ends_at = end_of(one.certificate_id, record, owners.get(record.decision.thing_name or ""))
        if ends_at is not None and now <= ends_at <= now + within:
            yield one.certificate_id
