"""Keeps in the registry what is taken off a CA, and lets one engineer at a time take it off or put it back.

jitp#<ca certificate id>
    config      the registrationConfig that was on the CA: templateBody or templateName, roleArn
    body        the template's body, also where the CA names it
    earlier     configs that were kept before, the last one last
    state       how far it is, see KeptState
    by, at      who gave the last order, and when; epoch milliseconds
    off_at      when the template, or for an undoing the rule, was about to be turned off, so that neither JITP nor jitr
                is on; 0: not known, it was off already
    modified_at lastModifiedDate of the CA when the last order had ended
    run         which order is under way; `until` when it counts as broken off
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.store.dynamodb import deserialize, key, values
from jitr.store.registry_items import SCHEMA, milliseconds, moment
from jitrctl.errors import Refused
from jitrctl.terminal import at as in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# An order that has not ended, nor gone on, by then was killed. One call takes at most 5 attempts of 35 s (access.py).
_TAKES = timedelta(seconds=240)
_MOST_EARLIER = 5  # a template's body has up to 10 KB, an item 400 KB


class KeptState(StrEnum):
    """How far a take-over, or its undoing, is."""

    TAKING = "taking"
    TAKEN = "taken"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTemplate:
    """What was taken off a CA, and by whom."""

    config: Mapping[str, str] = field(hash=False)
    body: str
    earlier: tuple[Mapping[str, str], ...] = field(hash=False)
    state: KeptState
    by: str
    at: datetime
    off_at: datetime | None
    modified_at: datetime | None

    @property
    def is_for_jitr(self) -> bool:
        """Whether the last order was a take-over, done or not; else its undoing."""
        return self.state in (KeptState.TAKING, KeptState.TAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOrder:
    """An order that is under way."""

    run: str
    state: KeptState
    off_at: datetime | None  # since when neither JITP nor jitr may be on; None: not known


class Overtaken(Refused):
    """Another order has begun, so this one must not go on."""


class KeptTemplates:
    """The kept template of one CA in a stage.

    `client` is one of DynamoDB, `who` the caller's ARN, `command` the order on this CA without its last option.
    """

    def __init__(
        self, client: Any, table: str, ca: str, who: str, clock: Callable[[], datetime], *, command: str = ""
    ) -> None:
        self._client, self._table, self._key, self._who, self._clock = client, table, key(f"jitp#{ca}"), who, clock
        self._command = command or "jitrctl ca adopt NAME"

    def read(self) -> KeptTemplate | None:
        """What is kept; None when there is nothing, or no table.

        Raises Unavailable, botocore's errors.
        """
        found = self._read()
        if "config" not in found:
            return None
        return KeptTemplate(
            config=found["config"],
            body=found["body"],
            earlier=tuple(found.get("earlier", ())),
            state=KeptState(found["state"]),
            by=found["by"],
            at=moment(found["at"]),
            off_at=moment(found["off_at"]) if found.get("off_at") else None,
            modified_at=moment(found["modified_at"]) if found.get("modified_at") else None,
        )

    def begin(self, state: KeptState, config: Mapping[str, str], body: str, *, is_on: bool) -> KeptOrder:
        """Begin an order, and keep this config. `is_on`: what the order turns off is on now.

        Raises Overtaken when another order is under way, also one of the same caller: engineers may share a role and
        its session's name. Raises Unavailable, botocore's errors.
        """
        before, now, run = self.read(), self._clock(), secrets.token_hex(8)
        earlier = [dict(one) for one in before.earlier] if before else []
        if before and dict(before.config) != dict(config):
            earlier = [*earlier, dict(before.config)][-_MOST_EARLIER:]
        has_ended = before is None or before.state in (KeptState.TAKEN, KeptState.UNDONE)
        was_off_at = None if has_ended or before is None else before.off_at
        off_at = now if is_on else was_off_at
        fields = {
            "config": dict(config),
            "body": body,
            "earlier": earlier,
            "state": state.value,
            "by": self._who,
            "at": milliseconds(now),
            "off_at": milliseconds(off_at) if off_at else 0,
            "run": run,
            "until": milliseconds(now + _TAKES),
            "schema": SCHEMA,
        }
        free = "attribute_not_exists(#until) OR #until < :now"
        if not self._write(fields, free, now=milliseconds(now)):
            raise Overtaken(self._under_way())
        return KeptOrder(run=run, state=state, off_at=off_at)

    def go_on(self, order: KeptOrder) -> None:
        """Say that an order is still under way, before each of its steps.

        Raises Overtaken when another one has begun meanwhile; Unavailable, botocore's errors.
        """
        if not self._write({"until": milliseconds(self._clock() + _TAKES)}, "#run = :run", run=order.run):
            raise Overtaken(self._under_way())

    def end(self, order: KeptOrder, state: KeptState, modified_at: datetime | None) -> None:
        """End an order.

        Raises Overtaken when another one has begun meanwhile; Unavailable, botocore's errors.
        """
        fields = {
            "state": state.value,
            "until": 0,
            "modified_at": milliseconds(modified_at) if modified_at else 0,
        }
        if not self._write(fields, "#run = :run", run=order.run):
            raise Overtaken(self._under_way())

    def break_off(self, order: KeptOrder) -> None:
        """Let the next order begin at once, since this one ends halfway; nothing if another one has begun.

        Raises Unavailable, botocore's errors.
        """
        self._write({"until": 0}, "#run = :run", run=order.run)

    def _read(self) -> dict[str, Any]:
        try:
            with calling("GetItem"):
                answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        except self._client.exceptions.ResourceNotFoundException:
            return {}
        return deserialize(answer.get("Item", {}))

    def _write(self, fields: Mapping[str, Any], condition: str, **more: Any) -> bool:
        """Set these attributes; False when the condition does not hold."""
        names = {
            *fields,
            *(word[1:] for word in condition.replace("(", " ").replace(")", " ").split() if word[0] == "#"),
        }
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=self._key,
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in sorted(names)},
                    ExpressionAttributeValues=values(**{**fields, **more}),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except self._client.exceptions.ResourceNotFoundException as error:
            raise Refused("there is no registry, so the stack is not deployed here: deploy it first") from error
        return True

    def _under_way(self) -> str:
        found = self._read()
        if "at" not in found:
            return f"another order on this CA began a moment ago: `{self._command} --take-over` in a minute"
        option = "--take-over" if found["state"] in (KeptState.TAKING, KeptState.TAKEN) else "--undo"
        began = f"{found['by']} began {option} of this CA {in_words(moment(found['at']))}"
        if not found["until"]:
            return f"{began}, and that order has ended: `{self._command} {option}` says what is left to do"
        return (
            f"{began}, and that order has not ended. If it was killed, wait until {moment(found['until']):%H:%M:%S}Z; "
            f"then `{self._command} {option}` does the rest"
        )
