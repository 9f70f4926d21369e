"""Reads a stage's whole registry for the certificates of a kind; for operators, since each item of the table is read.

The registry has no index by serial number or by verdict, and needs none otherwise. DynamoDB reads a megabyte at a call:
a table of 100,000 devices takes about 150 calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.iot_models import Status
from jitr.store.dynamodb import deserialize, values
from jitr.store.registry_items import certificate_key, milliseconds, to_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from jitr.record import Record
    from jitrctl.session.stage import Stage

_PREFIX = certificate_key("")
# RFC 5280 allows 20 bytes; some CAs number from 1. With colons as openssl prints it, or with 0x.
_SERIAL = re.compile(r"(?:0x)?([0-9A-Fa-f]{1,42}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){1,20})")
_MARKS = ("0x", ":")
MOST_SERIALS = 100  # of one scan: operands of DynamoDB's IN


def parse_serial(word: str) -> str | None:
    """The serial number that a word can mean, as records have it: lower-case hex without leading zeros; None: none."""
    match = _SERIAL.fullmatch(word.strip())
    return (match[1].replace(":", "").lower().lstrip("0") or "0") if match else None


def is_marked_serial(word: str) -> bool:
    """Whether a word is written as a serial number, so that it is none by chance: 0x42, 00:42."""
    return parse_serial(word) is not None and any(mark in word for mark in _MARKS)


def find_by_serial(stage: Stage, serials: Collection[str]) -> dict[str, set[str]]:
    """The ids of the certificates with each of these serial numbers (at most MOST_SERIALS), in one scan.

    Only certificates that were decided on in the stage are found; each CA counts for itself.

    Raises Unavailable, botocore's errors.
    """
    found: dict[str, set[str]] = {serial: set() for serial in serials}
    wanted = {f"serial{number}": serial for number, serial in enumerate(found)}
    listed = ", ".join(f":{name}" for name in wanted)
    condition = f"#decision.#serial IN ({listed}) OR #intent.#serial IN ({listed})"
    names = {"#decision": "decision", "#intent": "intent", "#serial": "serial"}
    for certificate_id, record in _scan(stage, condition, names, **wanted):
        for decision in (record.decision, record.intent):
            if decision and decision.serial in found:
                found[decision.serial].add(certificate_id)
    return found


def scan_denied(stage: Stage) -> Iterator[tuple[str, Record]]:
    """The certificates that an operator denied, deactivated or revoked in a stage, each with its record.

    Raises Unavailable, botocore's errors.
    """
    yield from _scan(stage, "#verdict.#allows = :allows", {"#verdict": "verdict", "#allows": "allows"}, allows=False)


def scan_ending(stage: Stage, until: datetime) -> Iterator[tuple[str, Record]]:
    """The certificates that were ACTIVE when last known, that no other one has followed, and that end by then.

    Also those of which the record does not say when they end: it is of an earlier version.

    Raises Unavailable, botocore's errors.
    """
    condition = (
        "#decision.#status = :active AND attribute_not_exists(replaced_by)"
        " AND (attribute_not_exists(#decision.#not_after) OR #decision.#not_after <= :until)"
    )
    names = {"#decision": "decision", "#status": "status", "#not_after": "not_after"}
    yield from _scan(stage, condition, names, active=Status.ACTIVE.value, until=milliseconds(until))


def _scan(stage: Stage, condition: str, names: dict[str, str], **fields: Any) -> Iterator[tuple[str, Record]]:
    """The certificates' records for which a condition holds, read consistently; none when there is no table."""
    start: dict[str, Any] = {}
    while True:
        try:
            with calling("Scan"):
                answer = stage.dynamodb.scan(
                    TableName=stage.names.registry_table,
                    ConsistentRead=True,
                    FilterExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values(**fields),
                    **start,
                )
        except stage.dynamodb.exceptions.ResourceNotFoundException:
            return
        for item in answer["Items"]:
            read = deserialize(item)
            if str(read["id"]).startswith(_PREFIX):
                yield str(read["id"]).removeprefix(_PREFIX), to_record(read)
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
