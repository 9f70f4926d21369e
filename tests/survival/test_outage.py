"""An outage of AWS, or a permission that is missing, for hours: afterwards every device comes up by itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.registration.redelivery import RECEIVES_UNTIL_LEFT
from jitr.rules import CheckMode
from jitr.telemetry import FAILURES, LEFT_TO_SWEEP, NOT_PERMITTED
from simulation import Call, Died, Fault, Moment
from tests.support.survival.outages import (
    HOUR,
    Outage,
    check_activated,
    pass_time,
    quiet_world,
    refuse,
    register_long_ago,
)
from tests.support.survival.scenario_world import DAY, World
from tests.support.survival.scenarios import HOOK_ARN
from tests.support.survival.survived import lost


def suffer(world: World, outage: Outage, seconds: float) -> None:
    world.aws.fault = outage
    pass_time(world, seconds)
    world.aws.fault = None
    assert outage.struck


# Outages


def test_a_device_registered_eight_days_ago_outlives_an_hour_of_5xx() -> None:
    world = quiet_world()
    register_long_ago(world)
    world.connect()
    suffer(world, Outage(lambda call: call.service == "iot"), HOUR)
    pass_time(world, 2 * DAY)  # chance decides whether it is still queued, or left to the daily pass
    check_activated(world)


def test_a_device_registered_eight_days_ago_outlives_a_day_of_5xx() -> None:
    world = quiet_world()
    register_long_ago(world)
    world.connect()
    suffer(world, Outage(lambda call: call.service == "iot"), DAY)
    assert world.deployment.registrations.size == 0
    assert world.deployment.journal.metrics[LEFT_TO_SWEEP] == 1
    pass_time(world, 2 * DAY)
    check_activated(world)


def test_a_device_without_any_event_for_eight_days_comes_up() -> None:
    world = quiet_world()
    register_long_ago(world)
    pass_time(world, DAY)
    check_activated(world)


@pytest.mark.parametrize(
    "matches",
    [
        pytest.param(lambda call: call.service == "iot", id="iot"),
        pytest.param(lambda call: call.service == "dynamodb", id="dynamodb"),
        pytest.param(lambda call: call.service == "events", id="events"),
        pytest.param(lambda call: call.service == "cloudwatch", id="cloudwatch"),
        pytest.param(lambda call: call.service in ("iot", "sqs"), id="iot, sqs"),
        pytest.param(
            lambda call: call.operation in ("DescribeCertificate", "ChangeMessageVisibility"),
            id="iot, ChangeMessageVisibility",
        ),
        pytest.param(lambda call: call.operation == "UpdateItem", id="UpdateItem"),
        pytest.param(lambda call: call.operation == "UpdateCertificate", id="UpdateCertificate"),
        pytest.param(lambda _: True, id="everything"),
    ],
)
def test_a_day_of_5xx_loses_no_device(matches: Callable[[Call], bool]) -> None:
    world = quiet_world()
    world.connect()
    suffer(world, Outage(matches), DAY)
    pass_time(world, 2 * DAY)
    check_activated(world)


def test_a_day_without_crls_loses_no_device() -> None:
    world = quiet_world(checks={"revocation": CheckMode.ENFORCE})
    world.publish_crl()
    world.connect()
    suffer(world, Outage(lambda call: call.service == "s3"), DAY)
    pass_time(world, 2 * DAY)
    check_activated(world)


def test_a_rejection_whose_event_failed_for_a_day_is_recorded_and_announced() -> None:
    world = quiet_world(common_name="other-[0-9]+")
    world.connect()
    suffer(world, Outage(lambda call: call.service == "events"), 20 * HOUR)
    pass_time(world, 3 * HOUR)  # before the next daily pass
    decision = world.decision()
    assert decision
    assert (world.status(), decision.outcome) == ("INACTIVE", Outcome.REJECTED)
    assert {one.detail["outcome"] for one in world.account.events.put} == {"rejected"}


def test_an_attempt_that_no_registry_recorded_is_found_by_the_daily_pass() -> None:
    """ACTIVE, and then DynamoDB does not answer until the message is gone: not even the index knows of it."""
    world = quiet_world()
    world.connect()
    activated = False

    def after_active(call: Call) -> bool:
        nonlocal activated
        activated = activated or world.status() == "ACTIVE"
        return activated and call.service == "dynamodb"

    suffer(world, Outage(after_active), DAY)
    assert world.status() == "ACTIVE"
    pass_time(world, 2 * DAY)
    check_activated(world)


def test_a_storm_of_a_hundred_within_an_outage_comes_up() -> None:
    world = quiet_world()
    leaves = [world.issue(f"sensor-{number:04}") for number in range(2, 102)]
    for leaf in leaves:
        world.account.connect(leaf, client_id="storm")
    suffer(world, Outage(lambda call: call.operation == "DescribeCertificate"), 1.5 * HOUR)
    assert world.deployment.journal.metrics[LEFT_TO_SWEEP]
    pass_time(world, 2 * HOUR)
    assert {world.status(leaf) for leaf in leaves} == {"ACTIVE"}
    assert world.deployment.dead_letters.size == 0
    assert world.deployment.registrations.size == 0


# Missing permissions


@dataclass(frozen=True)
class Action:
    """One action of `register`, and a way on which it is needed."""

    operation: str
    prepare: Callable[[World], None] = lambda world: (world.connect(), None)[1]
    settings: dict[str, Any] = field(default_factory=dict)
    ends: Callable[[World], None] = check_activated


def thing_of_somebody(world: World) -> None:
    world.admin.create_thing(thingName="sensor-0001", attributePayload={"attributes": {"colour": "red"}})
    world.connect()


def crl_published(world: World) -> None:
    world.publish_crl()
    world.connect()


def hook_created(world: World) -> None:
    assert world.account.functions.create("check", lambda _: {"allowProvisioning": True}) == HOOK_ARN
    world.connect()


def clone_connects(world: World) -> None:
    world.connect()
    world.mapping.drain()
    world.clone = world.issue("sensor-0001")  # type: ignore[attr-defined]  # this way's own
    world.connect(world.clone)  # type: ignore[attr-defined]


def clone_of_hooked_connects(world: World) -> None:
    hook_created(world)
    clone_connects(world)


def clone_is_held(world: World) -> None:
    decision = world.decision(world.clone)  # type: ignore[attr-defined]
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.deployment.dead_letters.size == 0


def claimed_then_refused(world: World) -> None:
    """It claimed its name and died; under the rules of now it is refused, and the name goes back."""

    def die(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("TransactWriteItems", "after"):
            raise Died

    world.aws.fault = die
    world.connect()
    world.mapping.poll()
    world.aws.fault = None
    world.deploy(common_name="other-[0-9]+")


def is_refused(world: World) -> None:
    decision = world.decision()
    assert decision
    assert (decision.outcome, world.status()) == (Outcome.REJECTED, "INACTIVE")
    assert world.registry().owner("sensor-0001") is None
    assert world.deployment.dead_letters.size == 0


ACTIONS = (
    *(
        Action(operation)
        for operation in (
            "BatchGetItem",
            "DescribeCertificate",
            "DescribeCACertificate",
            "CreateThing",
            "AddThingToThingGroup",
            "AttachThingPrincipal",
            "AttachPolicy",
            "TransactWriteItems",
            "UpdateCertificate",
            "PutEvents",
            "UpdateItem",
        )
    ),
    Action("ListThingPrincipals", thing_of_somebody),
    Action("UpdateThing", thing_of_somebody),
    Action("GetObject", crl_published, {"checks": {"revocation": CheckMode.ENFORCE}}),
    Action("Invoke", hook_created, {"hook": HOOK_ARN}),
    Action("DetachPolicy", clone_connects, ends=clone_is_held),
    Action("DetachThingPrincipal", clone_connects, ends=clone_is_held),
    Action("ListPrincipalThings", clone_of_hooked_connects, {"hook": HOOK_ARN}, ends=clone_is_held),
    Action("DeleteItem", claimed_then_refused, ends=is_refused),
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.operation)
def test_hours_without_one_permission_lose_no_device_and_are_counted(action: Action) -> None:
    world = quiet_world(**action.settings)
    action.prepare(world)
    suffer(
        world,
        Outage(lambda call: call.caller == "register" and call.operation == action.operation, refuse),
        6 * HOUR,  # the message is left to the sweep several times
    )
    assert world.deployment.journal.metrics[NOT_PERMITTED]
    assert world.deployment.journal.metrics[FAILURES] == 0
    pass_time(world, 2 * DAY)
    action.ends(world)


@pytest.mark.parametrize("operation", ["ChangeMessageVisibility", "SendMessage", "DeleteMessageBatch"])
def test_hours_without_a_permission_of_the_queue_lose_no_device(operation: str) -> None:
    """They are needed only while something else goes wrong."""
    world = quiet_world()
    world.connect()
    other = world.issue("sensor-0002")

    def matches(call: Call) -> bool:
        return call.operation in (operation, "CreateThing") and call.caller == "register"

    def how(call: Call) -> Fault:
        return refuse(call) if call.operation == operation else Fault.SERVER_ERROR

    outage = Outage(matches, how)
    world.aws.fault = outage
    pass_time(world, HOUR / 2)
    world.connect(other)  # so that a batch has a message that is done with beside one that was received often
    pass_time(world, 6 * HOUR)
    world.aws.fault = None
    pass_time(world, 2 * DAY)
    check_activated(world)
    check_activated(world, other)


def test_a_refused_call_is_logged_as_an_error_that_names_its_action() -> None:
    world = World()
    world.connect()
    suffer(world, Outage(lambda call: call.operation == "CreateThing", refuse), 60)
    errors = [extra for level, text, extra in world.deployment.journal.lines if level == "error"]
    assert {one["action"] for one in errors} == {"iot:CreateThing"}
    assert {one["certificate_id"] for one in errors} == {world.leaf.certificate_id}
    assert all(re.match("iot:CreateThing is not permitted: .*assumed-role", one["exception"]) for one in errors)


# Pauses and limits


def test_the_first_pauses_are_short_and_the_others_double_up_to_a_quarter_of_an_hour() -> None:
    world = World()
    world.connect()
    received = []

    def note(call: Call) -> bool:
        if call.operation == "DescribeCertificate" and call.attempt == 1:
            received.append(world.aws.clock.monotonic())
        return call.service == "iot"

    suffer(world, Outage(note), 3 * HOUR)
    pauses = [after - before for before, after in pairwise(received)]
    bounds = [(1, 30)] * 3 + [(30, 60), (60, 120), (120, 240), (240, 480), *[(450, 900)] * 4]
    assert len(received) == RECEIVES_UNTIL_LEFT
    # botocore's own retries are between a receive and its pause
    assert all(least <= pause <= most + 10 for pause, (least, most) in zip(pauses, bounds, strict=True)), pauses


def test_a_message_that_ends_the_function_is_dead_lettered_with_a_reason_in_the_end() -> None:
    world = quiet_world()

    def die(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("DescribeCertificate", "after"):
            raise Died

    world.aws.fault = die
    world.connect()
    while not world.deployment.dead_letters.size and world.aws.clock.monotonic() < 3 * DAY:
        world.aws.clock.advance(world.deployment.registrations.next_visible_in() or 0)
        world.mapping.poll()
    assert world.deployment.dead_letters.size == 1
    assert lost(world.account, world.deployment) == []
