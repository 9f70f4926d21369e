"""Reads which certificates are ACTIVE in which stages: from the hub's table, or from the registries of all stages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.hub.table import DeviceLocation, HubTable
from jitr.iot_models import Status
from jitr.store.dynamodb import deserialize
from jitr.store.enrollment_table import subjects_of
from jitr.store.registry_items import certificate_key, to_record
from jitrctl.errors import Unusable
from jitrctl.session.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitr.admission.enrollment import Entry, Subject
    from jitr.record import Record
    from jitr_fleet.model import Fleet


def hub_stage(fleet: Fleet) -> Stage | None:
    """The stage with the hub; None when the fleet has none."""
    if fleet.hub is None:
        return None
    account = next(account for account in fleet.accounts if account.name == fleet.hub.account)
    return Stage(fleet=fleet, account=account, region=fleet.hub.region)


def is_hub(stage: Stage) -> bool:
    """Whether a stage is the one with the hub."""
    return str(stage) == str(hub_stage(stage.fleet))


def from_hub(stage: Stage, *, out_of_place: bool) -> list[DeviceLocation]:
    """The ACTIVE certificates in the hub's table.

    Raises Unusable when there is no such table; Unavailable, botocore's errors.
    """
    table = HubTable(stage.dynamodb, stage.names.hub_table)
    try:
        found = list(table.out_of_place() if out_of_place else table.scan())
    except stage.dynamodb.exceptions.ResourceNotFoundException as error:
        raise Unusable(f"{stage} has no table {stage.names.hub_table}: deploy the hub's stack") from error
    return [one for one in found if one.since is not None]


def from_registry(stage: Stage) -> list[DeviceLocation]:
    """The ACTIVE certificates in one stage's registry, and whether each belongs there; reads the whole table.

    Raises Unavailable, botocore's errors.
    """
    living = [one for record in _records(stage) if (one := _to_location(stage, record))]
    entries = stage.enrollment.entries(
        subject for one in living for subject in subjects_of(one.certificate_id, one.thing_name)
    )
    return [_mark_place(stage, one, entries) for one in living]


def _records(stage: Stage) -> Iterator[Record]:
    start: dict[str, Any] = {}
    while True:
        with calling("Scan"):
            answer = stage.dynamodb.scan(
                TableName=stage.names.registry_table,
                FilterExpression="begins_with(id, :certificates)",
                ExpressionAttributeValues={":certificates": {"S": certificate_key("")}},
                ConsistentRead=True,
                **start,
            )
        yield from (to_record(deserialize(item)) for item in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _to_location(stage: Stage, record: Record) -> DeviceLocation | None:
    """The location that a record describes; None unless its certificate was left ACTIVE and no verdict denies it."""
    decision = record.decision
    if decision is None or decision.status is not Status.ACTIVE or record.is_denied:
        return None
    return DeviceLocation(
        certificate_id=decision.certificate_id,
        account_id=stage.account.id,
        region=stage.region,
        status=decision.status.value,
        at=decision.decided_at,
        since=decision.decided_at,
        thing_name=decision.thing_name,
        ca=decision.ca,
    )


def _mark_place(stage: Stage, one: DeviceLocation, entries: dict[Subject, Entry]) -> DeviceLocation:
    own = [entries[subject] for subject in subjects_of(one.certificate_id, one.thing_name) if subject in entries]
    homes = stage.fleet.homes().of(one.ca, own)
    return replace(one, is_out_of_place=bool(homes) and one.account_id not in homes)


def select(found: Sequence[DeviceLocation], stages: Sequence[Stage], *, out_of_place: bool) -> list[DeviceLocation]:
    """Those in these stages, ordered by thing name, then by time."""
    places = {(stage.account.id, stage.region) for stage in stages}
    kept = [
        one for one in found if (one.account_id, one.region) in places and (one.is_out_of_place or not out_of_place)
    ]
    return sorted(kept, key=lambda one: (one.thing_name or "", one.since or one.at))
