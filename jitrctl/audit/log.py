"""Keeps the orders that are no verdicts in the registry: who gave them, when and why.

A verdict is kept with its certificate (jitr/verdicts.py). An order that changes a CA, the brake, or the thing of an
ACTIVE device has no verdict and is kept here; jitrctl/audit/record.py says when.

    orders#<subject>    the latest orders about one subject, the last one last; without a stack there is no table

An order is kept before it is carried out, and marked as completed afterwards. An order without the mark was
interrupted, by an error or by a second Ctrl-C; or the mark could not be written. These cannot be told apart, so the
order is shown as "not known to be completed".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.aws.calls import calling
from jitr.errors import Unavailable
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.registry_items import SCHEMA, milliseconds, moment
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jitrctl.session.stage import Stage

BRAKE = "brake"  # the subject of the next two; other subjects are certificate ids, of a CA or a device
PAUSE, RESUME = "ca pause", "ca resume"
# DynamoDB's limit for an item is 400 KB; and reading the last order reads the whole item.
MOST_KEPT = 50
_ROOM = 100_000  # bytes, in DynamoDB's JSON
_ATTEMPTS = 5  # to write an order while others are written about the same subject


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One order."""

    order: str  # the command: ca retire
    subject: str
    steps: tuple[str, ...]  # what was to be done, in words
    by: str  # the caller's ARN
    at: datetime
    note: str
    completed: bool = False  # all steps are known to be done

    def __str__(self) -> str:
        """`ca retire` by arn:…/ann 2026-11-26 10:00Z: last device moved."""
        text = f"`{self.order}` by {self.by} {at(self.at)}" + ("" if self.completed else ", not known to be completed")
        return text + (f": {self.note}" if self.note else "")


def keep(stage: Stage, client: Any, given: AuditEntry) -> bool:
    """Add an order to those about its subject, and drop the oldest; False when there is no table.

    `client` is one of the stage's DynamoDB. Raises Unavailable, botocore's errors.
    """
    one = _attributes(given)
    # It is there already when the response to an earlier attempt was lost.
    return _change(stage, client, given.subject, lambda before: before if one in before else [*before, one])


def mark_completed(stage: Stage, client: Any, given: AuditEntry) -> None:
    """Mark a kept order as completed; one that was dropped meanwhile stays dropped.

    Raises Unavailable, botocore's errors.
    """
    one, done = _attributes(given), _attributes(replace(given, completed=True))
    _change(stage, client, given.subject, lambda before: [done if each == one else each for each in before])


def read_last(stage: Stage, subject: str) -> AuditEntry | None:
    """The last order about a subject; None when there was none, or there is no table.

    Raises Unavailable, botocore's errors.
    """
    return next(iter(read_all(stage, subject)[-1:]), None)


def read_all(stage: Stage, subject: str) -> tuple[AuditEntry, ...]:
    """The kept orders about a subject, the last one last; empty when there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        kept = _kept(stage, stage.dynamodb, subject)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return ()
    return tuple(_from_fields(subject, deserialize({"order": one})["order"]) for one in kept)


def read_all_if_readable(stage: Stage, subject: str) -> tuple[AuditEntry, ...]:
    """The same; empty also when they cannot be read, so that the rest of the answer can still be shown."""
    try:
        return read_all(stage, subject)
    except (BotoCoreError, ClientError, Unavailable):
        return ()


def read_last_if_readable(stage: Stage, subject: str) -> AuditEntry | None:
    """The same; None also when it cannot be read, so that the rest of the answer can still be shown."""
    try:
        return read_last(stage, subject)
    except (BotoCoreError, ClientError, Unavailable):
        return None


def document(given: AuditEntry | None) -> dict[str, Any] | None:
    """An order for --json."""
    if given is None:
        return None
    fields: dict[str, Any] = {"order": given.order, "steps": list(given.steps), "by": given.by}
    fields |= {"at": given.at.isoformat(), "completed": given.completed}
    return fields | ({"note": given.note} if given.note else {})


def _kept(stage: Stage, client: Any, subject: str) -> list[Any]:
    """The orders about a subject in DynamoDB's JSON, the last one last.

    Raises Unavailable, botocore's errors.
    """
    with calling("GetItem"):
        answer = client.get_item(TableName=stage.names.registry_table, Key=key(_key(subject)), ConsistentRead=True)
    return list(answer.get("Item", {}).get("orders", {}).get("L", []))


def _change(stage: Stage, client: Any, subject: str, changed: Callable[[list[Any]], list[Any]]) -> bool:
    """Apply `changed` to the orders about a subject; False when there is no table.

    No update expression can limit a list's length, so the list is read, and written if it has not changed meanwhile.

    Raises Unavailable, botocore's errors.
    """
    for _ in range(_ATTEMPTS):
        try:
            before = _kept(stage, client, subject)
            after = changed(before)
            if after == before:
                return True
            with calling("UpdateItem"):
                client.update_item(
                    TableName=stage.names.registry_table,
                    Key=key(_key(subject)),
                    UpdateExpression="SET #orders = :orders, #schema = :schema",
                    ConditionExpression="#orders = :before" if before else "attribute_not_exists(#orders)",
                    ExpressionAttributeNames={"#orders": "orders", "#schema": "schema"},
                    ExpressionAttributeValues=values(schema=SCHEMA)
                    | {":orders": {"L": _that_fit(after)}}
                    | ({":before": {"L": before}} if before else {}),
                )
        except client.exceptions.ConditionalCheckFailedException:
            continue
        except client.exceptions.ResourceNotFoundException:
            return False
        return True
    raise Unavailable("UpdateItem: others give orders about the same, one after the other")


def _that_fit(orders: list[Any]) -> list[Any]:
    """The latest of these orders, as many as fit; the last one in any case."""
    room, first = _ROOM, len(orders)
    while first > max(0, len(orders) - MOST_KEPT):
        room -= len(json.dumps(orders[first - 1], ensure_ascii=False).encode())
        if room < 0 and first < len(orders):
            break
        first -= 1
    return orders[first:]


def _attributes(given: AuditEntry) -> dict[str, Any]:
    """An order in DynamoDB's JSON."""
    fields = {
        "order": given.order,
        "steps": list(given.steps),
        "by": given.by,
        "at": milliseconds(given.at),
        "note": given.note,
        "completed": given.completed,
    }
    return dict(values(one=fields)[":one"])


def _from_fields(subject: str, fields: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        order=fields["order"],
        subject=subject,
        steps=tuple(fields["steps"]),
        by=fields["by"],
        at=moment(fields["at"]),
        note=fields.get("note", ""),
        completed=fields.get("completed", False),
    )


def _key(subject: str) -> str:
    return f"orders#{subject}"
