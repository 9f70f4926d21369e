"""Reads whether the function `register` takes messages, who paused it, and whether it fails.

It fails when it logged an error within the last hour that nothing has made good since: for a device, a later decision;
for the function as a whole, a later outcome of any device. The log says so on AWS and on the local AWS, which makes no
metrics of log lines; the alarms `failures`, `not-permitted` and `register-errors` say the same minutes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jitr.telemetry import OUTCOME_EVENT
from jitrctl import intake
from jitrctl.audit import log
from jitrctl.status import function_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jitr.record import Record
    from jitrctl.session.stage import Stage
    from jitrctl.status.function_log import LoggedError

ON, PAUSED, FAILING = "on", "paused", "failing"
_LOOKED_BACK = timedelta(hours=1)
_RECENT = timedelta(minutes=15)
_MOST_DEVICES = 100  # whose records are read; one BatchGetItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused the stage; without a kept order, only since when the mapping is as it is."""

    since: datetime | None
    by: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Errors that are not made good."""

    last: LoggedError
    devices: tuple[str, ...]  # certificate ids, of those that have an error each; newest last


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionHealth:
    """The function `register` and its queue's mapping."""

    state: str  # "on", "paused" or what is wrong with it
    pause: Pause | None = None


def read_function(stage: Stage) -> FunctionHealth:
    """Read the function's state and the mapping's.

    Raises botocore's errors.
    """
    found = intake.find_mapping(stage)
    state = _state(intake.read_configuration(stage, found), found)
    return FunctionHealth(state=state, pause=_pause(stage, found) if found and state == PAUSED else None)


def _state(configuration: dict[str, Any] | None, found: intake.Mapping | None) -> str:
    if configuration is None:
        return "missing"
    if configuration.get("State", "Active") not in ("Active", "Inactive"):
        return str(configuration["State"]).lower()
    if configuration.get("LastUpdateStatus", "Successful") == "Failed":
        return "update failed"
    if found is None:
        return "no queue"
    return ON if found.is_on else PAUSED


def _pause(stage: Stage, found: intake.Mapping) -> Pause:
    """The order that paused the stage; if none was kept, the last one is older and resumed it, and says nothing."""
    given = log.read_last_if_readable(stage, log.BRAKE)
    if given is None or given.order != log.PAUSE:
        return Pause(since=found.changed_at)
    return Pause(since=given.at, by=given.by, note=given.note)


def read_failure(stage: Stage, now: datetime) -> Failure | None:
    """The errors of `register` within the last hour that nothing has made good; None when there are none.

    Raises Unavailable, botocore's errors.
    """
    client = stage.access.client("logs")
    group = stage.names.log_group(stage.names.register_function)
    errors = function_log.read_errors(client, group, now=now, since=now - _LOOKED_BACK)
    if not errors:
        return None
    ids = list(dict.fromkeys(one.certificate_id for one in reversed(errors) if one.certificate_id))[:_MOST_DEVICES]
    records = stage.registry.recall(ids)
    crashes = [one for one in errors if one.is_crash]
    has_outcome = bool(crashes) and function_log.has_line(client, group, f'"{OUTCOME_EVENT}"', since=crashes[-1].at)
    return assess(errors, records, is_working=has_outcome, now=now)


def assess(
    errors: Sequence[LoggedError], records: Mapping[str, Record], *, is_working: bool, now: datetime
) -> Failure | None:
    """What of these errors, the oldest first, nothing has made good.

    `records` are of the devices that the errors are about; `is_working` says that the function has decided on a device
    since it last failed as a whole.
    """
    left = [one for one in errors if not _is_made_good(one, records, is_working=is_working, now=now)]
    if not left:
        return None
    return Failure(
        last=left[-1], devices=tuple(dict.fromkeys(one.certificate_id for one in left if one.certificate_id))
    )


def _is_made_good(error: LoggedError, records: Mapping[str, Record], *, is_working: bool, now: datetime) -> bool:
    if error.certificate_id:
        record = records.get(error.certificate_id)
        # One of so many devices that its record was not read: the others say what there is to say.
        return record is None or (record.decided_at is not None and record.decided_at >= error.at)
    if error.is_crash:
        return is_working
    # A call beside a decision, such as an event that could not be announced: each one that fails has a line.
    return now - error.at > _RECENT
