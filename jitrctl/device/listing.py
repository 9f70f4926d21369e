"""Lists the devices of a stage by the registry's indexes, the latest decisions first; nothing is scanned.

Of each CA and each kind of decision, one Query reads the ids of the latest ones, and another one counts the rest
(jitr/store/outcome_index.py); the held ones are in the index of what is due. Then the records of those that are shown
are read, 100 in a call. AWS IoT is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.calls import calling
from jitr.decisions import Outcome
from jitr.store.dynamodb import values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX, partition
from jitrctl.device.held import list_held_ids
from jitrctl.device.operations import STATUS_OF
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jitr.decisions import Decision
    from jitr.iot_models import Status
    from jitr.record import Record
    from jitr_fleet.model import Origin
    from jitrctl.session.stage import Stage

MOST = 10_000  # devices to be listed in a stage
MOST_COUNTED = 10_000  # of a CA and a kind of decision, and of the held ones: some 250 read units
_LISTED = (Outcome.ACTIVATED, Outcome.REJECTED, Outcome.REPLACED, Outcome.FOUND)
_BATCH = 100  # BatchGetItem's most


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """A certificate as the registry knows it."""

    decision: Decision
    record: Record

    @property
    def status(self) -> Status:
        """The status that was set last: by the decision, or by an operator's order after it."""
        verdict = self.record.verdict
        if verdict and verdict.at > self.decision.decided_at:
            return STATUS_OF.get(verdict.action, self.decision.status)
        return self.decision.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The devices of one stage."""

    devices: tuple[ListedDevice, ...]  # the latest decision first
    more: int  # how many others were counted
    is_all_counted: bool  # False: there are even more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The latest of one partition of the index."""

    latest: tuple[tuple[int, str], ...]  # when it was decided, epoch milliseconds; the certificate's id
    others: int
    is_all_counted: bool


def list_devices(stage: Stage, origins: Sequence[Origin], *, most: int) -> Listing:
    """The devices of these CAs and sources that have a decision, at most `most`, and how many others there are.

    Raises Refused when there is no index yet; Unavailable, botocore's errors.
    """
    parts = [_read_part(stage, partition(one.certificate_id, outcome), most) for one in origins for outcome in _LISTED]
    latest = sorted((one for part in parts for one in part.latest), reverse=True)
    held = list_held_ids(stage, most=most + MOST_COUNTED)
    found = _read_records(stage, [*(certificate_id for _, certificate_id in latest[:most]), *held[:most]])
    names = {one.name for one in origins}
    devices = sorted(
        (one for one in found if one.decision.ca in names), key=lambda one: one.decision.decided_at, reverse=True
    )[:most]
    is_every_ca = len(origins) == len(stage.account.origins)
    # The index of the held ones does not say of which CA they are.
    waiting = len(held) if is_every_ca else sum(one.decision.outcome is Outcome.HELD for one in devices)
    total = len(latest) + sum(part.others for part in parts) + waiting
    return Listing(
        devices=tuple(devices),
        more=max(total - len(devices), 0),
        is_all_counted=all(part.is_all_counted for part in parts)
        and len(held) < (most + MOST_COUNTED if is_every_ca else most),
    )


def _read_part(stage: Stage, listed_as: str, most: int) -> _Part:
    """The latest decisions of one partition, and how many others there are, up to MOST_COUNTED."""
    answer = _query(stage, listed_as, Limit=most)
    latest = tuple((int(item[LISTED_AT]["N"]), item["id"]["S"].partition("#")[2]) for item in answer["Items"])
    others = 0
    while "LastEvaluatedKey" in answer and others < MOST_COUNTED:
        answer = _query(
            stage,
            listed_as,
            Select="COUNT",
            Limit=MOST_COUNTED - others,
            ExclusiveStartKey=answer["LastEvaluatedKey"],
        )
        others += answer["Count"]
    return _Part(latest=latest, others=others, is_all_counted="LastEvaluatedKey" not in answer)


def _query(stage: Stage, listed_as: str, **how: Any) -> Any:
    """A page of the index, the latest decision first."""
    try:
        with calling("Query"):
            return stage.dynamodb.query(
                TableName=stage.names.registry_table,
                IndexName=OUTCOME_INDEX,
                KeyConditionExpression=f"{LISTED_AS} = :as_",
                ExpressionAttributeValues=values(as_=listed_as),
                ScanIndexForward=False,
                **how,
            )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        raise Refused("the registry has no index of outcomes yet: deploy this version's stack first") from error


def _read_records(stage: Stage, certificate_ids: Sequence[str]) -> Iterable[ListedDevice]:
    """The records that have a decision; each once."""
    ids = list(dict.fromkeys(certificate_ids))
    for start in range(0, len(ids), _BATCH):
        for record in stage.registry.recall(ids[start : start + _BATCH]).values():
            if record.decision:
                yield ListedDevice(decision=record.decision, record=record)
