"""Operators' orders beside verdicts on certificates: who gave them, when and why; kept in the registry, and announced.

A verdict is kept with its certificate (jitr/decisions.py). What changes a CA, the brake, or a device that stays what it
is, has no verdict, and leaves its trail here: `ca apply | rotate | retire | switch-mode | pause | resume` and `device
reconcile | adopt`. An order is kept before it is carried out, so that one that was broken off is seen too, and is
announced afterwards, as docs/events/operator-order.v1.schema.json describes. An order that finds nothing to do leaves
nothing.

    orders#<subject>    the orders about one subject, the latest last; before a stack there is no table, and they are
                        announced alone
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.attributes import key, plain, values
from jitr.edge import calling
from jitr.items import SCHEMA, milliseconds, moment
from jitr.telemetry import EVENT_SOURCE, EVENT_VERSION
from jitrctl.announcing import EVENT_BUS
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from jitrctl.stages import Stage

ORDER_DETAIL_TYPE = "Operator Order"
BRAKE = "brake"  # the subject of `ca pause | resume`; other subjects are certificate ids, of a CA or a device


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One order that was given."""

    order: str  # the command: ca retire
    subject: str
    steps: tuple[str, ...]  # what was to be done, in words
    by: str  # the caller's ARN
    at: datetime
    note: str

    def __str__(self) -> str:
        """`ca retire` by arn:…/ann 2026-11-26 10:00Z: last device moved."""
        return f"`{self.order}` by {self.by} {at(self.at)}" + (f": {self.note}" if self.note else "")


@contextmanager
def on_record(stage: Stage, order: str, subject: str, steps: Sequence[object], note: str) -> Iterator[None]:
    """Keep an order, have it carried out in the `with` block, and announce it; without steps, only the block.

    Raises Refused when EventBridge does not take the announcement; Unavailable, botocore's errors.
    """
    if not steps:
        yield
        return
    given = Given(order=order, subject=subject, steps=tuple(map(str, steps)), by=stage.caller, at=now(), note=note)
    _keep(stage, given)
    yield
    _announce(stage, given)


def last(stage: Stage, subject: str) -> Given | None:
    """The last order about a subject; None where there was none, or there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        with calling("GetItem"):
            answer = stage.dynamodb.get_item(
                TableName=stage.names.registry_table, Key=key(_key(subject)), ConsistentRead=True
            )
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None
    orders = plain(answer.get("Item", {})).get("orders")
    return _from_fields(subject, orders[-1]) if orders else None


def document(given: Given | None) -> dict[str, Any] | None:
    """An order for --json."""
    if given is None:
        return None
    told = {"order": given.order, "steps": list(given.steps), "by": given.by, "at": given.at.isoformat()}
    return told | ({"note": given.note} if given.note else {})


def order_detail(stage: Stage, given: Given) -> dict[str, Any]:
    """The detail of the event, version 1."""
    told = {
        "fleet": stage.fleet.name,
        "account": stage.account.id,
        "region": stage.region,
        "order": given.order,
        "subject": given.subject,
        "by": given.by,
        "at": given.at.isoformat(timespec="milliseconds"),
    }
    return {
        "version": EVENT_VERSION,
        "id": hashlib.sha256("|".join(told.values()).encode()).hexdigest()[:32],
        **told,
        "steps": list(given.steps),
        **({"note": given.note} if given.note else {}),
    }


def _keep(stage: Stage, given: Given) -> None:
    """Add an order to those about its subject; an item has room for about a thousand."""
    fields = {
        "order": given.order,
        "steps": list(given.steps),
        "by": given.by,
        "at": milliseconds(given.at),
        "note": given.note,
    }
    try:
        with calling("UpdateItem"):
            stage.dynamodb.update_item(
                TableName=stage.names.registry_table,
                Key=key(_key(given.subject)),
                UpdateExpression="SET #orders = list_append(if_not_exists(#orders, :none), :one), #schema = :schema",
                ExpressionAttributeNames={"#orders": "orders", "#schema": "schema"},
                ExpressionAttributeValues=values(none=[], one=[fields], schema=SCHEMA),
            )
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return


def _announce(stage: Stage, given: Given) -> None:
    with calling("PutEvents"):
        answer = stage.access.client("events").put_events(
            Entries=[
                {
                    "Source": EVENT_SOURCE,
                    "DetailType": ORDER_DETAIL_TYPE,
                    "Detail": json.dumps(order_detail(stage, given)),
                    "EventBusName": EVENT_BUS,
                    "Time": given.at,
                }
            ]
        )
    if answer["FailedEntryCount"]:
        said = answer["Entries"][0].get("ErrorCode")
        raise Refused(
            f"`{given.order}` was carried out and kept, but EventBridge did not take the announcement ({said}): tell "
            "those who listen"
        )


def _from_fields(subject: str, fields: dict[str, Any]) -> Given:
    return Given(
        order=fields["order"],
        subject=subject,
        steps=tuple(fields["steps"]),
        by=fields["by"],
        at=moment(fields["at"]),
        note=fields.get("note", ""),
    )


def _key(subject: str) -> str:
    return f"orders#{subject}"
