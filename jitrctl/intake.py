"""Pauses and resumes a stage: switches the event source mapping between the queue and `register`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jitr_fleet.names import partition_of
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The event source mapping from the queue `registrations` to the function `register`."""

    uuid: str
    state: str  # Lambda's: Enabled, Disabled, and what is in between: Enabling, Disabling, Updating, Creating
    alias: str = ""  # of the function, when the mapping is of a published version
    changed_at: datetime | None = None  # when it was last enabled, disabled or set otherwise

    @property
    def is_on(self) -> bool:
        return self.state not in ("Disabled", "Disabling")


def find_mapping(stage: Stage) -> Mapping | None:
    """Find the stage's mapping; None when there is none.

    Raises botocore's errors.
    """
    partition = partition_of(stage.region) or "aws"
    queue = f"arn:{partition}:sqs:{stage.region}:{stage.account.id}:{stage.names.registrations_queue}"
    # List by the queue, not by the function: the mapping may be of the function's alias (`[stack] snap_start`). Another
    # function may have a mapping of the same queue.
    for found in stage.lambda_.list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]:
        function = f"{found['FunctionArn']}:".partition(":function:")[2]
        if function.startswith(f"{stage.names.register_function}:"):
            return Mapping(
                uuid=found["UUID"],
                state=found["State"],
                alias=function.split(":")[1],
                changed_at=found.get("LastModified"),
            )
    return None


def read_configuration(stage: Stage, way: Mapping | None) -> dict[str, Any] | None:
    """The configuration of the function, or of the version that the mapping is of: a version has its own state.

    None when there is no function. Raises botocore's errors.
    """
    version = {"Qualifier": way.alias} if way and way.alias else {}
    client = stage.lambda_
    try:
        return dict(client.get_function_configuration(FunctionName=stage.names.register_function, **version))
    except client.exceptions.ResourceNotFoundException:
        return None


def switch(stage: Stage, *, on: bool) -> Mapping:
    """Enable or disable the stage's mapping; returns it with its new state, which Lambda reaches a moment later.

    Raises Refused when there is none; botocore's errors.
    """
    found = find_mapping(stage)
    if found is None:
        raise Refused("there is no function `register` with a queue: deploy the stack first")
    if found.is_on is on:
        return found
    answer = stage.lambda_.update_event_source_mapping(UUID=found.uuid, Enabled=on)
    return replace(found, state=answer["State"])
