"""Enrollment on its way through the functions: who is let in, what it costs, and who hears of a change, and when."""

from dataclasses import replace
from typing import Any

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.errors import Reason
from jitr.rules import CheckMode, EnrollmentRule
from jitr.sweep import held_walks
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.enrollment import of_device, of_thing
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named, rules_for
from tests.support.cloud import OPERATOR, TABLE, Cloud, Wire
from tests.support.edge.deployed import ENROLLMENT
from tests.support.edge.events import handle_event
from tests.support.edge.records import recall_decision
from tests.support.examples import MINUTE

DENY = EntryRule.DENY
NEW_DEVICE = ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]


@pytest.fixture
def cloud(cloud: Cloud, wire: Wire) -> Cloud:
    """An account whose CA admits listed devices only, after the sweep has seen these rules; its lists are empty."""
    cloud.under(rules_for(cloud.authority, thing_groups=(), enrollment=EnrollmentRule.LISTED))
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    wire.serve("ListCertificatesByCA", lambda _: {"certificates": []})
    wire.serve("GetMetricStatistics", lambda _: {"Datapoints": []})
    return cloud


def under(cloud: Cloud, **changes: Any) -> None:
    cloud.under(replace(cloud.rules, cas=(replace(cloud.rules.cas[0], **changes),)))


def held(cloud: Cloud) -> str:
    """A device that was held, since it is not on the list."""
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    assert recall_decision(cloud, device).reason is Reason.NOT_LISTED
    return device


def tables(wire: Wire) -> list[str]:
    """The DynamoDB calls in order, each with the table that it reads or writes."""
    names = []
    for service, operation, parameters in wire.calls:
        if service == "dynamodb":
            table = parameters.get("TableName") or next(iter(parameters.get("RequestItems", {"": None})))
            names.append(f"{operation} {table}".strip())
    return names


@pytest.mark.parametrize("by", ["thing name", "certificate"])
def test_a_listed_device_comes_up_without_a_call_more(cloud: Cloud, wire: Wire, by: str) -> None:
    device = cloud.knock()
    cloud.enroll(of_thing() if by == "thing name" else of_device(device))
    assert handle_event(cloud, device) == []
    assert cloud.status(device) == "ACTIVE"
    assert [name for name in wire.operations("dynamodb") if name != "Scan"] == NEW_DEVICE
    assert wire.operations("iot")[:-1] == [
        "DescribeCertificate",
        "DescribeCACertificate",
        "CreateThing",
        "AttachThingPrincipal",
        "AttachPolicy",
        "UpdateCertificate",
    ]
    asked = wire.of("BatchGetItem")[1]["RequestItems"]
    assert len(asked[ENROLLMENT]["Keys"]) == 3, "its certificate's under both ids, and its thing name's"
    assert len(asked[TABLE]["Keys"]) == 2, "the owner of its thing name, and its certificate under the other id"


def test_a_duplicate_of_an_activated_device_does_not_even_read_its_entries(cloud: Cloud, wire: Wire) -> None:
    device = cloud.knock()
    cloud.enroll(of_thing())
    assert handle_event(cloud, device) == []
    assert handle_event(cloud, device) == []
    assert tables(wire) == [f"BatchGetItem {TABLE}"]
    assert wire.operations("iot") == []


def test_a_held_device_that_knocks_costs_two_reads_while_its_entries_stay(cloud: Cloud, wire: Wire) -> None:
    device = held(cloud)
    assert handle_event(cloud, device) == []
    assert tables(wire) == [f"BatchGetItem {TABLE}", f"BatchGetItem {ENROLLMENT}"]
    assert wire.operations("iot") == []
    assert recall_decision(cloud, device).attempts == 1


def test_an_entry_of_another_device_wakes_nobody(cloud: Cloud, wire: Wire) -> None:
    device = held(cloud)
    cloud.enroll(of_device("ab" * 32), Entry(subject=Subject(SubjectKind.THING, "sensor-0002"), rule=EntryRule.ALLOW))
    assert handle_event(cloud, device) == []
    assert wire.operations("iot") == []
    assert cloud.swept().sent == 0


@pytest.mark.parametrize("by", ["thing name", "certificate"])
def test_a_held_device_comes_up_at_its_next_knock_after_it_was_listed(cloud: Cloud, by: str) -> None:
    device = held(cloud)
    cloud.enroll(of_thing() if by == "thing name" else of_device(device))
    cloud.now += SECOND
    assert handle_event(cloud, device) == []
    assert cloud.status(device) == "ACTIVE"


def test_a_held_device_that_was_listed_and_then_denied_is_refused_for_good(cloud: Cloud) -> None:
    device = held(cloud)
    cloud.enroll(of_thing(), of_device(device, DENY))
    assert handle_event(cloud, device) == []
    assert recall_decision(cloud, device).reason is Reason.ENTRY_DENIES
    assert cloud.status(device) == "INACTIVE"


def test_a_change_while_one_batch_runs_is_looked_at_once(cloud: Cloud, wire: Wire) -> None:
    device = held(cloud)
    cloud.enroll(of_thing(accounts=("999999999999",)))
    assert cloud.batch(*(cloud.record(cloud.event(device)) for _ in range(3))) == []
    assert wire.operations("iot") == ["DescribeCertificate"]
    assert recall_decision(cloud, device).reason is Reason.OTHER_ACCOUNT


def sweep_and_decide(cloud: Cloud) -> int:
    """The sweep, then `register` on what it sent; how many messages that were."""
    sent = cloud.swept().sent
    queue = cloud.settings.registrations_queue_url
    messages = cloud.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        assert cloud.batch(cloud.record(message["Body"])) == []
        cloud.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert len(messages) == sent
    return sent


def test_a_held_device_that_has_given_up_comes_up_by_the_sweep_after_it_was_listed(cloud: Cloud) -> None:
    device = held(cloud)
    assert sweep_and_decide(cloud) == 0
    cloud.enroll(of_thing())
    cloud.now += MINUTE
    assert sweep_and_decide(cloud) == 1
    assert cloud.status(device) == "ACTIVE"
    assert sweep_and_decide(cloud) == 0


def test_a_sweep_reads_the_version_alone_while_the_list_stays(cloud: Cloud, wire: Wire) -> None:
    held(cloud)
    cloud.enroll(of_device("ab" * 32))
    cloud.swept()
    assert f"BatchGetItem {ENROLLMENT}" in tables(wire)
    cloud.swept()
    assert [name for name in tables(wire) if ENROLLMENT in name] == [f"GetItem {ENROLLMENT}"]
    cloud.enroll(of_device("cd" * 32))
    cloud.swept()
    assert f"BatchGetItem {ENROLLMENT}" in tables(wire)


def test_a_walk_that_ran_out_of_time_is_gone_on_with_and_sends_nobody_twice(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [cloud.knock(factory().leaf(named(f"sensor-{number:04}"))) for number in range(3)]
    for device in devices:
        assert handle_event(cloud, device) == []
    cloud.enroll(*(of_device(device) for device in devices))
    cloud.now += MINUTE
    monkeypatch.setattr(held_walks, "_PAGE", 1)
    assert cloud.swept(lambda: False).unfinished == ["enrollment", "factory", "full pass"]
    assert [cloud.swept(lambda: False).sent for _ in range(4)] == [1, 1, 0, 0]


def test_a_device_that_was_sent_for_another_cause_just_before_it_was_listed_is_sent_again(cloud: Cloud) -> None:
    device = held(cloud)
    cloud.now += 10 * MINUTE
    assert sweep_and_decide(cloud) == 1
    cloud.enroll(of_thing())
    cloud.now += MINUTE
    assert sweep_and_decide(cloud) == 1
    assert cloud.status(device) == "ACTIVE"


def test_a_device_held_by_an_earlier_version_waits_for_its_interval(cloud: Cloud, wire: Wire) -> None:
    device = held(cloud)
    cloud.registry.record(replace(recall_decision(cloud, device), enrollment=None, requested_name=None))
    cloud.enroll(of_thing())
    assert handle_event(cloud, device) == []
    assert wire.operations("iot") == []
    cloud.now += 5 * MINUTE
    assert handle_event(cloud, device) == []
    assert cloud.status(device) == "ACTIVE"


def test_a_device_awaits_an_operators_approval_and_comes_up_without_its_help(cloud: Cloud) -> None:
    under(cloud, enrollment=EnrollmentRule.APPROVE)
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    assert recall_decision(cloud, device).reason is Reason.AWAITING_APPROVAL
    cloud.now += MINUTE
    cloud.registry.give_verdict(
        device, OperatorVerdict(action=OperatorAction.APPROVED, by=OPERATOR, at=cloud.now), seen=None
    )
    cloud.now += MINUTE
    assert sweep_and_decide(cloud) == 1
    assert cloud.status(device) == "ACTIVE"


def test_an_approval_lifts_no_denial(cloud: Cloud) -> None:
    device = held(cloud)
    cloud.enroll(of_thing(DENY))
    cloud.registry.give_verdict(
        device, OperatorVerdict(action=OperatorAction.APPROVED, by=OPERATOR, at=cloud.now), seen=None
    )
    cloud.now += SECOND
    assert handle_event(cloud, device) == []
    assert recall_decision(cloud, device).reason is Reason.ENTRY_DENIES
    assert cloud.status(device) == "INACTIVE"


def test_what_an_entry_gives_is_provisioned(cloud: Cloud) -> None:
    under(cloud, extra_types=("meter",))
    cloud.iot.create_thing_type(thingTypeName="meter")
    device = cloud.knock()
    cloud.enroll(of_thing(additions=Additions(thing_type="meter", attributes={"site": "Ulm"})))
    assert handle_event(cloud, device) == []
    thing = cloud.iot.describe_thing(thingName="sensor-0001")
    assert thing["thingTypeName"] == "meter"
    assert thing["attributes"] == {"model": "Mark-2", "site": "Ulm", "jitr_certificate": device}


def test_a_second_certificate_follows_long_before_the_first_ends_once_an_entry_says_so(cloud: Cloud) -> None:
    cloud.enroll(of_thing())
    first = cloud.knock(factory().leaf(begins=NOW - 2 * DAY))
    assert handle_event(cloud, first) == []
    second = cloud.knock(factory().leaf(begins=NOW - DAY))
    assert handle_event(cloud, second) == []
    assert recall_decision(cloud, second).reason is Reason.NOT_A_ROTATION
    cloud.enroll(of_thing(may_follow=True))
    assert handle_event(cloud, second) == []
    assert (cloud.status(second), recall_decision(cloud, second).replaces) == ("ACTIVE", first)


@pytest.mark.parametrize(
    ("mode", "reads", "would_reject"),
    [(CheckMode.OBSERVE, [ENROLLMENT, TABLE], (Reason.ENTRY_DENIES,)), (CheckMode.OFF, [TABLE], ())],
)
def test_a_check_that_is_not_enforced_lets_in_and_reads_nothing_that_it_does_not_use(
    cloud: Cloud, wire: Wire, mode: CheckMode, reads: list[str], would_reject: tuple[Reason, ...]
) -> None:
    under(cloud, checks={"enrollment": mode})
    cloud.enroll(of_thing(DENY))
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    assert [[*one["RequestItems"]] for one in wire.of("BatchGetItem")] == [[TABLE], reads]
    assert cloud.status(device) == "ACTIVE"
    assert recall_decision(cloud, device).would_reject == would_reject


def test_a_list_that_cannot_be_read_lets_nobody_in_and_refuses_nobody(cloud: Cloud, wire: Wire) -> None:
    cloud.enroll(of_thing())
    device = cloud.knock()
    wire.answer("BatchGetItem", {"Responses": {}, "UnprocessedKeys": {}})
    wire.fail("BatchGetItem", "ThrottlingException")
    assert len(cloud.batch(cloud.record(cloud.event(device)))) == 1
    assert cloud.registry.recall([device])[device].decision is None
    assert cloud.status(device) == "PENDING_ACTIVATION"
    assert handle_event(cloud, device) == []
    assert cloud.status(device) == "ACTIVE"
