"""The brake: while a stage's event source mapping is disabled, devices wait in the queue, and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jitr_fleet.names import partition_of
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The way from the queue `registrations` to the function `register`."""

    uuid: str
    state: str  # Lambda's: Enabled, Disabled, and what is in between: Enabling, Disabling, Updating, Creating
    alias: str = ""  # of the function, where the queue feeds a published version of it

    @property
    def is_on(self) -> bool:
        return self.state not in ("Disabled", "Disabling")


def find_mapping(stage: Stage) -> Mapping | None:
    """The stage's mapping; None where there is none.

    Raises botocore's errors.
    """
    partition = partition_of(stage.region) or "aws"
    queue = f"arn:{partition}:sqs:{stage.region}:{stage.account.id}:{stage.names.registrations_queue}"
    # By the queue and not by the function: the mapping may be of the function's alias (`[stack] snap_start`). Somebody
    # may have another one of the queue, and ours is not that.
    for found in stage.lambda_.list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]:
        function = f"{found['FunctionArn']}:".partition(":function:")[2]
        if function.startswith(f"{stage.names.register_function}:"):
            return Mapping(uuid=found["UUID"], state=found["State"], alias=function.split(":")[1])
    return None


def read_configuration(stage: Stage, way: Mapping | None) -> dict[str, Any] | None:
    """How that is configured which the queue feeds: with snapshots a version, which has a state of its own.

    None where there is no function. Raises botocore's errors.
    """
    version = {"Qualifier": way.alias} if way and way.alias else {}
    client = stage.lambda_
    try:
        return dict(client.get_function_configuration(FunctionName=stage.names.register_function, **version))
    except client.exceptions.ResourceNotFoundException:
        return None


def switch(stage: Stage, *, on: bool) -> Mapping:
    """Enable or disable the stage's mapping, and say what it is then; Lambda takes a moment to carry it out.

    Raises Refused where there is none, botocore's errors.
    """
    found = find_mapping(stage)
    if found is None:
        raise Refused("there is no function `register` with a queue: deploy the stack first")
    if found.is_on is on:
        return found
    answer = stage.lambda_.update_event_source_mapping(UUID=found.uuid, Enabled=on)
    return replace(found, state=answer["State"])
