"""Reads a stage's health: the stack, the CAs, the queues, the functions, the alarms, and the drift."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import Unavailable
from jitr.pacing.schedule import read_schedule
from jitrctl.ca import registry
from jitrctl.ca.plan import CaState, differences
from jitrctl.clock import now
from jitrctl.device.bulk_take_away import count_waiting
from jitrctl.device.locations import is_hub
from jitrctl.errors import Refused
from jitrctl.queues.dead_letters import list_queues
from jitrctl.run.parallel import describe_error
from jitrctl.session import cloudformation
from jitrctl.status.alarms import read_alarms
from jitrctl.status.brake import read_engaged_brakes
from jitrctl.status.crls import read_crls
from jitrctl.status.deployment import GOOD_STACK, TemplateHealth, compare_template, policy_drift
from jitrctl.status.function import FAILING, ON, FunctionHealth, read_failure, read_function
from jitrctl.status.iot_logging import iot_logging
from jitrctl.status.messages import age_of_oldest, count_messages
from jitrctl.status.sources import read_sources
from jitrctl.status.sweep import SweepHealth, read_sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta
    from pathlib import Path

    from jitr.brake import Engagement
    from jitr.pacing.schedule import Seen
    from jitrctl.queues.dead_letters import LetterQueue
    from jitrctl.session.stage import Stage
    from jitrctl.status.alarms import RingingAlarm
    from jitrctl.status.crls import CrlHealth
    from jitrctl.status.function import Failure

T = TypeVar("T")

# What is read besides the rest: the status is shown without it, and says why it was not read.
ALARMS, ERRORS, AGE, CRLS = "alarms", "errors of the function", "age of the oldest message", "CRLs"
# Without these nobody knows whether devices get in. The age is read only while messages wait.
DECISIVE = frozenset({ERRORS, AGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A stage's health; fields are None when there is nothing to read, because the stack is not deployed."""

    stack: str | None  # CloudFormation's status
    deployed_at: datetime | None
    cas: tuple[CaState, ...]
    function: FunctionHealth
    failure: Failure | None = None
    waiting: int | None  # messages in the queue `registrations`, including those being processed
    oldest: timedelta | None = None  # how long the oldest of them has waited
    # messages in the queues that nobody works on, those that a stage here has
    letters: Mapping[LetterQueue, int | None]
    waiting_for_hub: int | None  # events in the hub's queue; None in other stages
    sweep: SweepHealth
    enrollment: str | None  # digest of the whole enrollment list; None: there is no table
    turns_per_second: float | None  # the present rate: after long throttling, less than the fleet file says
    throttled: float | None  # the throttled share of the calls since the rate was last adjusted
    iot_logging: str | None  # AWS IoT's default log level; None when it logs nothing
    brakes: Mapping[str, Engagement]  # the engaged ones, by the CA's name
    orders_waiting: int = 0  # certificates that were ordered away, which the functions have not done yet
    # Of each source of certificates registered without a CA: the number of certificates by status, at the last count.
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    crls: Mapping[str, CrlHealth] = field(default_factory=dict)  # of the CAs whose rules ask for one
    alarms: tuple[RingingAlarm, ...] = ()
    policies: tuple[str, ...] = ()  # how deployed policies differ from their files
    template: str | None = None  # how the deployed template differs from the synthesized one
    template_compared: bool = False
    not_read: Mapping[str, str] = field(default_factory=dict)  # what could not be read, and why

    @property
    def drift(self) -> tuple[str, ...]:
        """How the stage differs from the fleet file, in words."""
        drift = [f"{state.name}: {difference}" for state in self.cas for difference in differences(state)]
        if self.stack and self.stack not in GOOD_STACK:
            drift.append(f"the stack is {self.stack}: see its events, then deploy again")
        return (*drift, *self.policies, *([self.template] if self.template else []))

    @property
    def function_state(self) -> str:
        """The function's state in a word: on, paused, failing, or what is wrong with it."""
        return FAILING if self.function.state == ON and self.failure else self.function.state


def read_health(stage: Stage, assembly: Path | None) -> Health:
    """Read a stage's health; `assembly` is the folder with the templates of `cdk synth`, None to compare none.

    Raises botocore's errors, AccessError.
    """
    present = now()
    stack = cloudformation.describe(stage)
    cas = registry.inspect_cas(stage, stage.account.cas)
    schedule = _schedule(stage) if stack else None
    rate = stage.account.activations_per_second
    beside = _Beside()
    names = stage.names
    template = compare_template(stage, assembly) if stack else TemplateHealth()
    return Health(
        stack=stack["StackStatus"] if stack else None,
        deployed_at=(stack.get("LastUpdatedTime") or stack["CreationTime"]) if stack else None,
        cas=cas,
        function=read_function(stage),
        failure=beside.read(ERRORS, lambda: read_failure(stage, present), None) if stack else None,
        waiting=(waiting := count_messages(stage, names.registrations_queue)),
        oldest=beside.read(AGE, lambda: age_of_oldest(stage, present), None) if waiting else None,
        letters={queue: count_messages(stage, queue.queue(stage)) for queue in list_queues(stage)},
        waiting_for_hub=count_messages(stage, names.hub_queue) if is_hub(stage) else None,
        sweep=read_sweep(stage) if stack else SweepHealth(last_run=None, counted_at=None),
        enrollment=_enrollment(stage) if stack else None,
        turns_per_second=min(schedule.rate or rate, rate) if schedule else None,
        throttled=schedule.throttled if schedule else None,
        iot_logging=iot_logging(stage),
        brakes=read_engaged_brakes(stage) if stack else {},
        orders_waiting=_count_orders(stage) if stack else 0,
        sources=read_sources(stage) if stack else {},
        crls=beside.read(CRLS, lambda: read_crls(stage, present), {}) if stack else {},
        alarms=beside.read(ALARMS, lambda: read_alarms(stage), ()) if stack else (),
        policies=tuple(text for one in cas if (text := policy_drift(stage, one.declared.ca))) if stack else (),
        template=template.drift,
        template_compared=template.compared,
        not_read=beside.not_read,
    )


class _Beside:
    """Readings without which the status is still shown."""

    def __init__(self) -> None:
        self.not_read: dict[str, str] = {}

    def read(self, what: str, reading: Callable[[], T], otherwise: T) -> T:
        """The reading's result; when it fails, `otherwise`, and the reason is kept."""
        try:
            return reading()
        except (BotoCoreError, ClientError, Refused, Unavailable) as error:
            self.not_read[what] = describe_error(error)
            return otherwise


def _enrollment(stage: Stage) -> str | None:
    """The digest of the stage's enrollment list; reads the whole table."""
    try:
        return stage.enrollment.digest()
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None


def _count_orders(stage: Stage) -> int:
    try:
        return count_waiting(stage)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return 0


def _schedule(stage: Stage) -> Seen | None:
    try:
        return read_schedule(stage.dynamodb, stage.names.registry_table)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return None
