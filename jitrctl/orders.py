"""Operators' orders beside verdicts on certificates: who gave them, when and why; kept in the registry, and announced.

A verdict is kept with its certificate (jitr/decisions.py). What changes a CA, the brake, or a device that stays what it
is, has no verdict, and leaves its trail here: `ca apply | rotate | retire | switch-mode | pause | resume` and `device
reconcile | adopt`. An order is kept before it is carried out, so that one that was broken off is seen too, and is
announced afterwards, as docs/events/operator-order.v1.schema.json describes, also when it was broken off. An order that
finds nothing to do leaves nothing.

    orders#<subject>    the latest orders about one subject, the last one last; before a stack there is no table, and
                        they are announced alone

An announcement that fails neither undoes an order nor stops others: it is told in the end (NotAnnounced).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from jitr.attributes import key, plain, values
from jitr.edge import calling
from jitr.errors import Unavailable
from jitr.items import SCHEMA, milliseconds, moment
from jitrctl.announcing import identified, put
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.terminal import at, err

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from jitrctl.stages import Stage

ORDER_DETAIL_TYPE = "Operator Order"
BRAKE = "brake"  # the subject of `ca pause | resume`; other subjects are certificate ids, of a CA or a device
# What an item has room for; DynamoDB's limit is 400 KB, and whoever asks for the last order reads all of it.
MOST_KEPT = 50
_ROOM = 100_000  # bytes, in DynamoDB's JSON
_ATTEMPTS = 5  # to add an order where others are given about the same subject at the same moment


class NotAnnounced(Refused):
    """Everything was carried out; what could not be done is to announce it."""


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


class Trail:
    """The orders that one command gives in one stage, each about a subject of its own.

        with Trail(stage, "ca apply", note) as trail:
            for ca in cas:
                with trail.on_record(ca.certificate_id, steps):
                    ...

    Raises NotAnnounced at the end of the block, when something was carried out and could not be announced; an error
    that ends the block goes first, and what could not be announced is then told beside it.
    """

    def __init__(self, stage: Stage, order: str, note: str, *, urgent: bool = False) -> None:
        """`urgent` carries an order out also where it cannot be kept, because DynamoDB cannot be reached."""
        self._stage = stage
        self._order = order
        self._note = note
        self._urgent = urgent
        self._not_announced: dict[str, None] = {}  # sentences, each once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._not_announced:
            return
        told = "; ".join(self._not_announced)
        if kind is None:
            raise NotAnnounced(told)
        err.print(f"{self._stage}: {told}", markup=False, soft_wrap=True)

    @contextmanager
    def on_record(self, subject: str, steps: Sequence[object]) -> Iterator[None]:
        """Keep an order, have it carried out in the `with` block, and announce it; without steps, only the block.

        Raises Unavailable and botocore's errors when it cannot be kept; then nothing is carried out.
        """
        if not steps:
            yield
            return
        given = Given(
            order=self._order,
            subject=subject,
            steps=tuple(map(str, steps)),
            by=self._stage.caller,
            at=now(),
            note=self._note,
        )
        done = "carried out and kept, but" if self._keep(given) else "carried out, but"
        try:
            yield
        except Exception:
            # Some of its steps may be done, and who repeats it announces the others alone.
            self._announce(given, "broken off, and", completed=False)
            raise
        self._announce(given, done, completed=True)

    def _keep(self, given: Given) -> bool:
        try:
            return _keep(self._stage, given)
        except Unavailable as error:
            if not self._urgent:
                raise
            err.print(
                f"{self._stage}: `{given.order}` cannot be kept ({error}), and is carried out all the same",
                markup=False,
                soft_wrap=True,
            )
            return False

    def _announce(self, given: Given, done: str, *, completed: bool) -> None:
        detail = order_detail(self._stage, given, completed=completed)
        if why := put(self._stage, ORDER_DETAIL_TYPE, detail, given.at):
            sentence = f"`{given.order}` was {done} could not be announced ({why}): tell those who listen"
            self._not_announced[sentence] = None


@contextmanager
def on_record(
    stage: Stage, order: str, subject: str, steps: Sequence[object], note: str, *, urgent: bool = False
) -> Iterator[None]:
    """One order that a command gives in a stage; see Trail.

    Raises NotAnnounced, Unavailable, botocore's errors.
    """
    with Trail(stage, order, note, urgent=urgent) as trail, trail.on_record(subject, steps):
        yield


def last(stage: Stage, subject: str) -> Given | None:
    """The last order about a subject; None where there was none, or there is no table.

    Raises Unavailable, botocore's errors.
    """
    kept = _kept(stage, subject)
    return _from_fields(subject, plain({"order": kept[-1]})["order"]) if kept else None


def last_if_readable(stage: Stage, subject: str) -> Given | None:
    """The same; None also where it cannot be read, which is no reason to say less of the subject itself."""
    try:
        return last(stage, subject)
    except (BotoCoreError, ClientError, Unavailable):
        return None


def document(given: Given | None) -> dict[str, Any] | None:
    """An order for --json."""
    if given is None:
        return None
    told = {"order": given.order, "steps": list(given.steps), "by": given.by, "at": given.at.isoformat()}
    return told | ({"note": given.note} if given.note else {})


def order_detail(stage: Stage, given: Given, *, completed: bool) -> dict[str, Any]:
    """The detail of the event, version 1."""
    told = identified(
        stage, order=given.order, subject=given.subject, by=given.by, at=given.at.isoformat(timespec="milliseconds")
    )
    told["steps"] = list(given.steps)
    return told | ({"note": given.note} if given.note else {}) | ({} if completed else {"completed": False})


def _kept(stage: Stage, subject: str) -> list[Any]:
    """The orders about a subject as DynamoDB has them, the last one last; none where there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        with calling("GetItem"):
            answer = stage.dynamodb.get_item(
                TableName=stage.names.registry_table, Key=key(_key(subject)), ConsistentRead=True
            )
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return []
    return list(answer.get("Item", {}).get("orders", {}).get("L", []))


def _keep(stage: Stage, given: Given) -> bool:
    """Add an order to those about its subject, and drop the oldest; False where there is no table.

    No expression of DynamoDB's keeps a list short, so it is read, and written if nobody has written it meanwhile.

    Raises Unavailable, botocore's errors.
    """
    fields = {
        "order": given.order,
        "steps": list(given.steps),
        "by": given.by,
        "at": milliseconds(given.at),
        "note": given.note,
    }
    one = values(one=fields)[":one"]
    for _ in range(_ATTEMPTS):
        before = _kept(stage, given.subject)
        if one in before:  # by the attempt before, of whose success nothing was heard
            return True
        seen = {":before": {"L": before}} if before else {}
        try:
            with calling("UpdateItem"):
                stage.dynamodb.update_item(
                    TableName=stage.names.registry_table,
                    Key=key(_key(given.subject)),
                    UpdateExpression="SET #orders = :orders, #schema = :schema",
                    ConditionExpression="#orders = :before" if before else "attribute_not_exists(#orders)",
                    ExpressionAttributeNames={"#orders": "orders", "#schema": "schema"},
                    ExpressionAttributeValues=values(schema=SCHEMA)
                    | {":orders": {"L": _that_fit([*before, one])}}
                    | seen,
                )
        except stage.dynamodb.exceptions.ConditionalCheckFailedException:
            continue
        except stage.dynamodb.exceptions.ResourceNotFoundException:
            return False
        return True
    raise Unavailable("UpdateItem: others give orders about the same, one after the other")


def _that_fit(orders: list[Any]) -> list[Any]:
    """The latest of these orders, as many as there is room for; the last one in any case."""
    room, first = _ROOM, len(orders)
    while first > max(0, len(orders) - MOST_KEPT):
        room -= len(json.dumps(orders[first - 1], ensure_ascii=False).encode())
        if room < 0 and first < len(orders):
            break
        first -= 1
    return orders[first:]


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
