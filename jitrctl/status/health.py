"""Reads a stage's health: the stack, the queues, the function, the sweep, and the drift from the fleet file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.pacing.schedule import read_schedule
from jitr_fleet.names import partition_of
from jitr_fleet.policy import PLACEHOLDERS
from jitrctl import intake
from jitrctl.ca import registry
from jitrctl.ca.plan import CaState, RuleState, differences
from jitrctl.device.locations import is_hub
from jitrctl.queues.dead_letters import list_queues
from jitrctl.session import cloudformation
from jitrctl.session.aws_errors import is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitr.brake import Engagement
    from jitr.pacing.schedule import Seen
    from jitr_fleet.model import Ca
    from jitrctl.queues.dead_letters import LetterQueue
    from jitrctl.session.stage import Stage

_NO_LEVEL = "DISABLED"
# The policy of a CA that names none; it is in the checkout, like the CDK app that deploys it.
_BUILT_IN_POLICY = Path(__file__).parents[2] / "policies" / "device.json"
GOOD_STACK = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A stage's health; fields are None when there is nothing to read, because the stack is not deployed."""

    stack: str | None  # CloudFormation's status
    deployed_at: datetime | None
    cas: tuple[CaState, ...]
    function: str  # "on", "paused" or what is wrong with it
    waiting: int | None  # messages in the queue `registrations`, including those being processed
    letters: Mapping[
        LetterQueue, int | None
    ]  # messages in the queues that nobody works on, those that a stage here has
    waiting_for_hub: int | None  # events in the hub's queue; None in other stages
    swept_at: datetime | None  # the end of the sweep's last full pass, of the CA with the oldest one
    enrollment: str | None  # digest of the whole enrollment list; None: there is no table
    turns_per_second: float | None  # the present rate: after long throttling, less than the fleet file says
    throttled: float | None  # the throttled share of the calls since the rate was last adjusted
    iot_logging: str | None  # AWS IoT's default log level; None when it logs nothing
    brakes: Mapping[str, Engagement]  # the engaged ones, by the CA's name
    templates_compared: bool = False  # whether the deployed template was compared with the synthesized one
    drift: tuple[str, ...]


def read_health(stage: Stage, assembly: Path | None) -> Health:
    """Read a stage's health; `assembly` is the folder with the templates of `cdk synth`, None to compare none.

    Raises botocore's errors, AccessError.
    """
    stack = cloudformation.describe(stage)
    cas = registry.inspect_cas(stage, stage.account.cas)
    drift = [f"{state.name}: {difference}" for state in cas for difference in differences(state)]
    if stack and stack["StackStatus"] not in GOOD_STACK:
        drift.append(f"the stack is {stack['StackStatus']}: see its events, then deploy again")
    synthesized = synthesized_template(assembly, str(stage)) if stack and assembly else None
    if stack:
        drift += [text for state in cas if (text := _policy_drift(stage, state.declared.ca))]
        drift += [text for text in [_template_drift(stage, synthesized, assembly)] if text]
    schedule = _schedule(stage) if stack else None
    rate = stage.account.activations_per_second
    return Health(
        stack=stack["StackStatus"] if stack else None,
        deployed_at=(stack.get("LastUpdatedTime") or stack["CreationTime"]) if stack else None,
        cas=cas,
        function=_function(stage),
        waiting=_messages(stage, stage.names.registrations_queue),
        letters={queue: _messages(stage, queue.queue(stage)) for queue in list_queues(stage)},
        waiting_for_hub=_messages(stage, stage.names.hub_queue) if is_hub(stage) else None,
        swept_at=_swept_at(stage) if stack else None,
        enrollment=_enrollment(stage) if stack else None,
        turns_per_second=min(schedule.rate or rate, rate) if schedule else None,
        throttled=schedule.throttled if schedule else None,
        iot_logging=iot_logging(stage),
        brakes=_brakes(stage) if stack else {},
        templates_compared=synthesized is not None,
        drift=tuple(drift),
    )


def rules_enabled(health: Health) -> int:
    return sum(state.rule is RuleState.ENABLED for state in health.cas)


def _function(stage: Stage) -> str:
    found = intake.find_mapping(stage)
    configuration = intake.read_configuration(stage, found)
    if configuration is None:
        return "missing"
    if configuration.get("State", "Active") not in ("Active", "Inactive"):
        return str(configuration["State"]).lower()
    if configuration.get("LastUpdateStatus", "Successful") == "Failed":
        return "update failed"
    if found is None:
        return "no queue"
    return "on" if found.is_on else "paused"


def _messages(stage: Stage, queue: str) -> int | None:
    """About how many messages a queue holds, including those in flight and delayed; None without the queue."""
    wanted = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    try:
        url = stage.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        attributes = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return sum(int(attributes.get(name, 0)) for name in wanted)


def _enrollment(stage: Stage) -> str | None:
    """The digest of the stage's enrollment list; reads the whole table."""
    try:
        return stage.enrollment.digest()
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def _schedule(stage: Stage) -> Seen | None:
    try:
        return read_schedule(stage.dynamodb, stage.names.registry_table)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def _swept_at(stage: Stage) -> datetime | None:
    """The oldest of the CAs' last full passes; None if a CA never had one."""
    passes = [stage.journal.last_pass(registration.ca.certificate_id).finished_at for registration in stage.account.cas]
    known = [finished for finished in passes if finished]
    return min(known) if known and len(known) == len(passes) else None


def _brakes(stage: Stage) -> dict[str, Engagement]:
    """The engaged brakes, by CA name; none when there is no table."""
    names = {one.ca.certificate_id: one.ca.name for one in stage.account.cas}
    try:
        found = stage.brakes.read(names)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return {}
    return {names[one]: intake.engaged for one, intake in found.items() if intake.engaged}


def iot_logging(stage: Stage) -> str | None:
    """What AWS IoT logs: the default level, and the events with another one; None when it logs nothing.

    "unknown" when the call fails, so that the rest of the health is still shown.
    """
    try:
        options = stage.iot.get_v2_logging_options(**_with_events(stage))
    except ClientError as error:
        return None if error.response["Error"].get("Code") == "NotConfiguredException" else "unknown"
    level = options.get("defaultLogLevel") or _NO_LEVEL
    events = {
        str(one["eventType"]): str(one["logLevel"])
        for one in options.get("eventConfigurations", ())
        if one.get("logLevel") and one["logLevel"] != level
    }
    if options.get("disableAllLogs") or {level, *events.values()} == {_NO_LEVEL}:
        return None
    return f"{level}, but {', '.join(map(' '.join, sorted(events.items())))}" if events else str(level)


def _with_events(stage: Stage) -> dict[str, Any]:
    """The parameter for the levels of events, if this boto3 knows it (December 2025)."""
    shape = stage.iot.meta.service_model.operation_model("GetV2LoggingOptions").input_shape
    return {"verbose": True} if shape and "verbose" in shape.members else {}


def _policy_drift(stage: Stage, ca: Ca) -> str | None:
    """How the deployed policy differs from the file; None when it does not."""
    name = stage.fleet.policy_name(ca)
    try:
        deployed = json.loads(stage.iot.get_policy(policyName=name)["policyDocument"])
    except stage.iot.exceptions.ResourceNotFoundException:
        return f"{ca.name}: policy {name} is missing: deploy the stack"
    file = ca.policy or _BUILT_IN_POLICY
    if deployed == json.loads(_fill(stage, file.read_text(encoding="utf-8"))):
        return None
    return f"the default version of policy {name} is not {file.name}: deploy, or find out who changed it"


def _fill(stage: Stage, text: str) -> str:
    """A policy file with the stage's values in place of the placeholders, as in the stack."""
    values = (partition_of(stage.region) or "aws", stage.region, stage.account.id)
    for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
        text = text.replace(placeholder, value)
    return text


def _template_drift(stage: Stage, synthesized: Any | None, assembly: Path | None) -> str | None:
    """How the deployed template differs from the synthesized one; None when it does not."""
    if assembly is None:
        return None
    if synthesized is None:
        return f"{assembly} holds no template for it: `make synth`"
    deployed = cloudformation.template(stage)
    # Convert both through JSON, to compare the same types.
    if json.loads(json.dumps(deployed)) == synthesized:
        return None
    return f"the deployed template is not the synthesized one: cdk diff {stage}"


def synthesized_template(assembly: Path, stage: str) -> Any | None:
    """The template that `cdk synth` made for a stage, found by its name in the assembly's manifest; None if none."""
    manifest = assembly / "manifest.json"
    artifacts = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"] if manifest.exists() else {}
    for artifact in artifacts.values():
        if artifact["type"] == "aws:cloudformation:stack" and artifact.get("displayName") == stage:
            template = assembly / artifact["properties"]["templateFile"]
            return json.loads(template.read_text(encoding="utf-8"))
    return None
