"""An outage of AWS, or a permission that is missing, for hours: afterwards every device comes up by itself."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.events import NO_CA_CERTIFICATE
from jitr.iot_models import Status
from jitr.registration.redelivery import RECEIVES_UNTIL_LEFT
from jitr.rules import CheckMode, EnrollmentRule
from jitr.store.registry_items import certificate_key
from jitr.telemetry import FAILURES, LEFT_TO_SWEEP, NOT_PERMITTED
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OrderContext
from simulation import Authority, Call, Died, Fault, Leaf, Moment
from simulation.deployment import ca_rules, rules
from simulation.faults import denied
from tests.support.survival.scenarios import DAY, HOOK_ARN, World, authority
from tests.support.survival.survived import lost

HOUR = 3600.0
FUNCTIONS = ("register", "sweep")
ORDER = OrderContext(by="arn:aws:iam::111111111111:user/operator")


@dataclass
class Outage:
    """What fails for a while: the calls of these callers that match, in this way; and how often it struck."""

    matches: Callable[[Call], bool]
    how: Callable[[Call], Fault] = lambda _: Fault.SERVER_ERROR
    struck: int = field(default=0)

    def __call__(self, call: Call, moment: Moment) -> Fault | None:
        if moment == "after" or call.caller not in FUNCTIONS or not self.matches(call):
            return None
        self.struck += 1
        return self.how(call)


def refuse(call: Call) -> Fault:
    raise denied(call)


def quiet(**settings: Any) -> World:
    """A world that keeps neither calls nor log lines: a day has many."""
    world = World(**settings)
    world.aws._keep_calls = False
    world.deployment.journal.keep = False
    return world


def live(world: World, seconds: float, *, every: float = HOUR) -> None:
    """Deliver whatever is visible, sweep `every` so many seconds, and see that nothing is lost at any sweep."""
    clock, queue = world.aws.clock, world.deployment.registrations
    end = clock.monotonic() + seconds
    next_sweep = clock.monotonic() + every
    while clock.monotonic() < end:
        if world.mapping.poll() is not None:
            continue
        wait = queue.next_visible_in()
        until = min(end, next_sweep)
        clock.advance(max(min(clock.monotonic() + (wait if wait is not None else DAY), until) - clock.monotonic(), 0))
        if clock.monotonic() >= next_sweep:
            assert lost(world.account, world.deployment) == []
            world.deployment.sweep()
            next_sweep += every
    assert lost(world.account, world.deployment) == []


def suffer(world: World, outage: Outage, seconds: float) -> None:
    world.aws.fault = outage
    live(world, seconds)
    world.aws.fault = None
    assert outage.struck


def registered_long_ago(world: World, leaf: Leaf | None = None, *, days: int = 8) -> None:
    """It connects, and no event comes of it; then it is silent for days."""
    rule = dict(world.account.iot.broker.rules)
    world.account.iot.broker.rules.clear()
    world.connect(leaf)
    world.account.iot.broker.rules.update(rule)
    world.aws.clock.advance(days * DAY)


def came_up(world: World, leaf: Leaf | None = None) -> None:
    decision = world.decision(leaf)
    assert world.status(leaf) == "ACTIVE"
    assert world.is_provisioned(leaf)
    assert decision
    assert decision.outcome is Outcome.ACTIVATED
    announced = {(one.detail["certificate_id"], one.detail["outcome"]) for one in world.account.events.put}
    assert (decision.certificate_id, "activated") in announced
    assert world.deployment.dead_letters.size == 0


# Outages


def test_a_device_registered_eight_days_ago_outlives_an_hour_of_5xx() -> None:
    world = quiet()
    registered_long_ago(world)
    world.connect()
    suffer(world, Outage(lambda call: call.service == "iot"), HOUR)
    live(world, 2 * DAY)  # chance decides whether it is still queued, or left to the daily pass
    came_up(world)


def test_a_device_registered_eight_days_ago_outlives_a_day_of_5xx() -> None:
    world = quiet()
    registered_long_ago(world)
    world.connect()
    suffer(world, Outage(lambda call: call.service == "iot"), DAY)
    assert world.deployment.registrations.size == 0
    assert world.deployment.journal.metrics[LEFT_TO_SWEEP] == 1
    live(world, 2 * DAY)
    came_up(world)


def test_a_device_without_any_event_for_eight_days_comes_up() -> None:
    world = quiet()
    registered_long_ago(world)
    live(world, DAY)
    came_up(world)


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
    world = quiet()
    world.connect()
    suffer(world, Outage(matches), DAY)
    live(world, 2 * DAY)
    came_up(world)


def test_a_day_without_crls_loses_no_device() -> None:
    world = quiet(checks={"revocation": CheckMode.ENFORCE})
    world.publish_crl()
    world.connect()
    suffer(world, Outage(lambda call: call.service == "s3"), DAY)
    live(world, 2 * DAY)
    came_up(world)


def test_a_rejection_whose_event_failed_for_a_day_is_recorded_and_announced() -> None:
    world = quiet(common_name="other-[0-9]+")
    world.connect()
    suffer(world, Outage(lambda call: call.service == "events"), 20 * HOUR)
    live(world, 3 * HOUR)  # before the next daily pass
    decision = world.decision()
    assert decision
    assert (world.status(), decision.outcome) == ("INACTIVE", Outcome.REJECTED)
    assert {one.detail["outcome"] for one in world.account.events.put} == {"rejected"}


def test_an_attempt_that_no_registry_recorded_is_found_by_the_daily_pass() -> None:
    """ACTIVE, and then DynamoDB does not answer until the message is gone: not even the index knows of it."""
    world = quiet()
    world.connect()
    activated = False

    def after_active(call: Call) -> bool:
        nonlocal activated
        activated = activated or world.status() == "ACTIVE"
        return activated and call.service == "dynamodb"

    suffer(world, Outage(after_active), DAY)
    assert world.status() == "ACTIVE"
    live(world, 2 * DAY)
    came_up(world)


def test_a_storm_of_two_hundred_within_an_outage_comes_up() -> None:
    world = quiet()
    leaves = [world.issue(f"sensor-{number:04}") for number in range(2, 202)]
    for leaf in leaves:
        world.account.connect(leaf, client_id="storm")
    suffer(world, Outage(lambda call: call.operation == "DescribeCertificate"), 1.5 * HOUR)
    assert world.deployment.journal.metrics[LEFT_TO_SWEEP]
    live(world, 2 * HOUR)
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
    ends: Callable[[World], None] = came_up


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
def test_a_day_without_one_permission_loses_no_device_and_is_counted(action: Action) -> None:
    world = quiet(**action.settings)
    action.prepare(world)
    suffer(
        world,
        Outage(lambda call: call.caller == "register" and call.operation == action.operation, refuse),
        DAY,
    )
    assert world.deployment.journal.metrics[NOT_PERMITTED]
    assert world.deployment.journal.metrics[FAILURES] == 0
    live(world, 2 * DAY)
    action.ends(world)


@pytest.mark.parametrize("operation", ["ChangeMessageVisibility", "SendMessage", "DeleteMessageBatch"])
def test_a_day_without_a_permission_of_the_queue_loses_no_device(operation: str) -> None:
    """They are needed only while something else goes wrong."""
    world = quiet()
    world.connect()
    other = world.issue("sensor-0002")

    def matches(call: Call) -> bool:
        return call.operation in (operation, "CreateThing") and call.caller == "register"

    def how(call: Call) -> Fault:
        return refuse(call) if call.operation == operation else Fault.SERVER_ERROR

    outage = Outage(matches, how)
    world.aws.fault = outage
    live(world, HOUR / 2)
    world.connect(other)  # so that a batch has a message that is done with beside one that was received often
    live(world, DAY)
    world.aws.fault = None
    live(world, 2 * DAY)
    came_up(world)
    came_up(world, other)


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
    world = quiet()

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


# What the sweep keeps


def item(world: World, leaf: Leaf | None = None) -> Any:
    return world.deployment.registry.items.get((certificate_key((leaf or world.leaf).certificate_id),), {})


@pytest.mark.parametrize("days", [0, 8])
def test_a_released_device_whose_event_was_lost_is_sent_by_the_index(days: int) -> None:
    world = quiet(common_name="other-[0-9]+")
    world.connect()
    world.mapping.drain()
    world.operator.release(world.leaf.certificate_id, ORDER)
    world.deploy(common_name="sensor-[0-9]+")
    registered_long_ago(world, days=days)
    world.deployment.sweep()
    world.mapping.drain()
    came_up(world)
    world.aws.clock.advance(2 * HOUR)
    world.deployment.sweep()
    assert "due" not in item(world)


def test_a_device_approved_before_it_came_is_not_due_until_it_is_there() -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.operator.approve(world.leaf.certificate_id, ORDER)
    described = 0

    def count(call: Call, moment: Moment) -> None:
        nonlocal described
        described += (call.caller, call.operation, moment) == ("sweep", "DescribeCertificate", "before")

    world.aws.fault = count
    live(world, 5 * HOUR)
    assert described == 1
    registered_long_ago(world)
    live(world, DAY)
    came_up(world)


@pytest.mark.parametrize("kept", ["decision", "schema 99"])
def test_a_due_record_without_a_readable_decision_is_sent(kept: str) -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    world.operator.approve(world.leaf.certificate_id, ORDER)
    if kept == "decision":
        del item(world)["decision"]
    else:
        item(world)["decision"]["M"]["outcome"] = {"S": "something of a later version"}
    world.deployment.sweep()
    world.mapping.drain()
    came_up(world)


def test_a_held_device_without_a_ca_id_stays_due_and_is_sent_with_the_placeholder() -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    del item(world)["decision"]["M"]["ca_certificate_id"]
    world.aws.clock.advance(HOUR)
    world.deployment.sweep()
    (message,) = world.deployment.registrations.messages
    assert json.loads(str(message.body))["caCertificateId"] == NO_CA_CERTIFICATE
    world.mapping.drain()
    assert world.deployment.journal.metrics["Contradictions"] == 0
    assert item(world)["due"] == {"S": "look"}
    assert lost(world.account, world.deployment) == []


def test_a_device_of_an_unknown_ca_stays_due_and_comes_up_once_its_ca_is_in_the_rules() -> None:
    world = quiet()
    other = Authority.new("Other CA")
    world.connect()
    whole = world.deployment.rules
    world.deployment.rules = rules(ca_rules(other, name="other"))
    world.mapping = world.deployment.mapping()
    # The role may describe the fleet's CAs alone.
    world.aws.fault = Outage(lambda call: call.operation == "DescribeCACertificate", refuse)
    live(world, 3 * DAY)
    world.aws.fault = None
    assert world.deployment.journal.metrics[NOT_PERMITTED] == 0
    decision = world.decision()
    assert decision
    assert decision.reason is Reason.CA_UNKNOWN
    assert item(world)["due"] == {"S": "look"}
    world.deployment.rules = whole
    world.mapping = world.deployment.mapping()
    live(world, 2 * HOUR)
    came_up(world)


def test_the_daily_pass_sends_nothing_while_the_queue_is_behind_and_repeats_itself() -> None:
    world = quiet()
    registered_long_ago(world)
    busy = world.deployment.registrations.send("{}")
    world.aws.clock.advance(HOUR + 1)
    swept = world.deployment.sweep()
    assert (swept.queue_is_behind, swept.sent) == (True, 0)
    world.deployment.registrations.receive()
    world.deployment.registrations.delete(busy.receipt_handle)
    world.aws.clock.advance(HOUR)
    assert world.deployment.sweep().sent == 1
    world.mapping.drain()
    came_up(world)


def test_the_daily_pass_sends_within_the_allowance_and_nothing_twice_within_the_hour() -> None:
    world = quiet()
    world.deployment.rules = replace(world.deployment.rules, every=4)  # half of ten a second for four seconds
    leaves = [world.issue(f"sensor-{number:04}") for number in range(2, 52)]
    for leaf in leaves:
        registered_long_ago(world, leaf, days=0)
    world.aws.clock.advance(8 * DAY)
    sent = [world.deployment.sweep().sent for _ in range(4)]
    assert sent == [20, 20, 10, 0]
    ids = [json.loads(str(one.body))["certificateId"] for one in world.deployment.registrations.messages]
    assert len(ids) == len(set(ids)) == 50
    live(world, HOUR)
    assert {world.status(leaf) for leaf in leaves} == {"ACTIVE"}


def test_what_was_dropped_from_the_index_is_found_by_the_daily_pass() -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    device = world.leaf.certificate_id
    world.registry().clear_evaluation(device, world.registry().recall([device])[device])
    world.deploy(enrollment=EnrollmentRule.OPEN)
    sent = []
    for _ in range(4):
        sent.append(world.deployment.sweep().sent)
        world.mapping.drain()
        world.aws.clock.advance(DAY)
    assert sent == [0, 0, 1, 0]  # its look was due after five minutes, so it is a day overdue at the third
    came_up(world)


def test_a_certificate_that_an_operator_denied_is_not_sent() -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    verdict = OperatorVerdict(action=OperatorAction.DENIED, by=ORDER.by, at=world.aws.clock.now())
    world.registry().give_verdict(world.leaf.certificate_id, verdict, seen=None)
    world.aws.clock.advance(9 * DAY)
    assert world.deployment.sweep().sent == 0
    assert world.status() == Status.PENDING_ACTIVATION


def test_the_invariant_sees_what_is_lost() -> None:
    world = quiet(enrollment=EnrollmentRule.APPROVE)
    world.connect()
    world.mapping.drain()
    assert lost(world.account, world.deployment) == []
    del item(world)["due"]
    assert "nothing is due" in lost(world.account, world.deployment)[0]
    world.deployment.dead_letters.send("x")
    assert "without a reason" in lost(world.account, world.deployment)[0]
    world.connect()
    world.deployment.registrations.messages[0].receives = 1000
    assert "received 1000 times" in lost(world.account, world.deployment)[1]


def test_what_no_ca_of_the_rules_lists_is_lost() -> None:
    world = quiet()
    registered_long_ago(world, days=0)
    assert lost(world.account, world.deployment) == []
    del world.account.iot.cas.by_id[authority().certificate_id]
    assert "no sweep finds it" in lost(world.account, world.deployment)[0]
