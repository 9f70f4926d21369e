"""The register function: what becomes of each message, and what each costs."""

import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict

from jitr.admission.enrollment import EntryRule
from jitr.aws import queues
from jitr.aws.queues import QueueMessage
from jitr.errors import CertificateUnknown, Misconfigured, Unavailable, UnreadableEvent
from jitr.handlers import register
from jitr.pacing.schedule import PACE
from jitr.provisioning import AttachPolicy, AttachThingPrincipal, IotStep, SetStatus
from jitr.rules import CertificateMode, Rules
from jitr.store.failure_count import FailureCount
from jitr.store.registry_writes import Due
from jitr.telemetry import CALLS_OF
from jitr.verdicts import OperatorAction
from tests.edge.test_enrollment import of_device
from tests.edge.test_registry import deny, recalled
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named, rules_for
from tests.support.cases.twins import twin_of
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.deployed import ENROLLMENT
from tests.support.examples import HOUR, MINUTE, OWNER, said

EVENTS = Path(__file__).parents[2] / "events"
FIVE = ["DescribeCertificate", "CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"]
NOBODY = "0" * 64


def always() -> bool:
    """Time is left."""
    return True


@pytest.fixture
def warm(cloud: Cloud, wire: Wire) -> Cloud:
    """An execution environment that has described the CA a moment ago."""
    cloud.aws_iot.describe_ca(factory().certificate_id)
    wire.forget()
    return cloud


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Between how many seconds each message was put off, the greatest of which is then taken."""
    asked: list[tuple[int, int]] = []

    def randint(least: int, most: int) -> int:
        asked.append((least, most))
        return most

    monkeypatch.setattr(queues, "random", SimpleNamespace(randint=randint))
    return asked


def test_a_new_device_takes_exactly_five_iot_calls(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert wire.operations("iot") == FIVE
    assert warm.status(device) == "ACTIVE"


@pytest.mark.parametrize("groups", [1, 3])
def test_a_new_device_takes_one_more_iot_call_for_each_group(warm: Cloud, wire: Wire, groups: int) -> None:
    names = tuple(f"group-{number}" for number in range(groups))
    for name in names:
        warm.iot.create_thing_group(thingGroupName=name)
    warm.under(rules_for(factory(), thing_groups=names))
    warm.aws_iot.describe_ca(factory().certificate_id)
    warm.batch(warm.record(warm.event(warm.knock())))
    assert wire.operations("iot") == [*FIVE[:4], *["AddThingToThingGroup"] * groups, *FIVE[4:]]


def test_a_ca_is_described_once_for_many_devices(cloud: Cloud, wire: Wire) -> None:
    devices = [cloud.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(4)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in devices))
    assert wire.operations("iot").count("DescribeCACertificate") == 1
    assert len(wire.operations("iot")) == 1 + 5 * 4


def test_a_batch_is_recalled_with_one_call_and_each_devices_entries_with_another(warm: Cloud, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(3)]
    warm.batch(*(warm.record(warm.event(device)) for device in [*devices, devices[0]]))
    assert [[*call["RequestItems"]] for call in wire.of("BatchGetItem")] == [[TABLE], *[[ENROLLMENT], [TABLE]] * 3]


def test_an_activated_device_has_its_thing_its_policy_and_its_record(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    arn = warm.aws_iot.describe(device).arn
    thing = warm.iot.describe_thing(thingName="sensor-0001")
    assert thing["thingTypeName"] == "sensor"
    assert thing["attributes"] == {"model": "Mark-2", "jitr_certificate": device}
    assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
    assert [one["policyName"] for one in warm.iot.list_attached_policies(target=arn)["policies"]] == [
        "jitr-acme-factory"
    ]
    assert set(warm.items()) == {
        f"certificate#{device}",
        "thing#sensor-0001",
    }
    assert warm.counted() == {"Activated": 1, "SecondsToActive": 1, "RejectedShare": 0}


def test_a_certificate_is_never_active_before_thing_and_policy_are_attached(warm: Cloud) -> None:
    device = warm.knock()
    arn = warm.aws_iot.describe(device).arn
    apply = warm.aws_iot.apply

    def watched(step: IotStep) -> None:
        if isinstance(step, SetStatus):
            assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
            assert warm.iot.list_attached_policies(target=arn)["policies"]
        else:
            assert warm.status(device) == "PENDING_ACTIVATION"
        apply(step)

    warm.aws_iot.apply = watched  # type: ignore[method-assign]
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"
    assert "Failures" not in warm.counted()


def test_a_decided_duplicate_takes_no_iot_call(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    registered = round(warm.aws_iot.describe(device).created_at.timestamp() * 1000)
    warm.batch(warm.record(warm.event(device)))
    for age, event in [
        (SECOND, warm.event(device)),
        (0 * SECOND, warm.event(device)),
        (-DAY, warm.event(device, certificateRegistrationTimestamp=str(registered))),
    ]:
        assert warm.batch(warm.record(event, age=age)) == []
        assert wire.operations("iot") == []
        assert wire.operations("events") == []
    assert warm.counted()["Duplicates"] == 3


@pytest.mark.parametrize(("sent", "outcome"), [(5 * MINUTE, "Duplicates"), (5 * MINUTE + SECOND, "Found")])
def test_a_duplicate_is_one_by_when_the_queue_got_it_not_by_when_it_is_decided(
    warm: Cloud, sent: timedelta, outcome: str
) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    warm.now += DAY
    warm.batch(warm.record(warm.event(device), age=DAY - sent))
    assert warm.counted()[outcome] == 1


def test_a_held_duplicate_takes_no_iot_call_until_its_next_look(warm: Cloud, wire: Wire) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert warm.counted()["Held"] == 1
    warm.now += 5 * MINUTE - SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == []
    warm.now += SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == ["DescribeCertificate", "DescribeCACertificate"]
    assert wire.of("PutEvents") == []
    warm.now += 15 * MINUTE - SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == []


def test_a_held_device_comes_up_when_the_rules_are_deployed_anew(warm: Cloud) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.under(rules_for(factory(), thing_groups=()))
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"


def test_a_device_that_is_held_for_the_same_reason_again_after_another_is_announced_as_news(
    warm: Cloud, wire: Wire
) -> None:
    device, rules = warm.knock(), warm.rules
    (ca,) = rules.cas
    wrong_mode = replace(rules, cas=(replace(ca, certificate_mode=CertificateMode.SNI_ONLY),))
    announced = []
    steps: list[tuple[Rules, Literal["ACTIVE", "INACTIVE"]]]
    steps = [(wrong_mode, "ACTIVE"), (rules, "INACTIVE"), (wrong_mode, "ACTIVE")]
    for deployed, status in steps:
        warm.iot.update_ca_certificate(certificateId=factory().certificate_id, newStatus=status)
        warm.under(deployed)
        warm.batch(warm.record(warm.event(device)))
        ((entry,),) = (one["Entries"] for one in wire.of("PutEvents"))
        announced.append(json.loads(entry["Detail"]))
        warm.now += HOUR
        warm.batch(warm.record(warm.event(device)))
        assert wire.of("PutEvents") == []  # the same again is no news
    assert [one["reason"] for one in announced] == ["CA_WRONG_MODE", "CA_INACTIVE", "CA_WRONG_MODE"]
    assert len({one["id"] for one in announced}) == 3


def test_duplicates_in_one_batch_take_one_describe(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    assert warm.batch(*(warm.record(warm.event(device)) for _ in range(5))) == []
    assert wire.operations("iot") == FIVE
    assert warm.counted() == {"Activated": 1, "SecondsToActive": 1, "RejectedShare": 0, "Duplicates": 4}


def test_refused_duplicates_in_one_batch_take_one_describe(warm: Cloud, wire: Wire) -> None:
    device = warm.knock(factory().leaf(named("gateway-0001")))
    assert warm.batch(*(warm.record(warm.event(device)) for _ in range(3))) == []
    assert wire.operations("iot") == ["DescribeCertificate", "UpdateCertificate"]
    assert warm.counted() == {"Rejected": 1, "RejectedShare": 100, "Duplicates": 2}
    assert warm.status(device) == "INACTIVE"


def test_an_unreadable_message_is_dead_lettered_whole_with_the_reason_and_its_neighbours_are_decided(
    warm: Cloud,
) -> None:
    device = warm.knock()
    bodies = ["not JSON", json.dumps(warm.event(device, certificateId="sensor-0001")), "[]"]
    records = [warm.record(body) for body in [bodies[0], warm.event(device), *bodies[1:]]]
    assert warm.batch(*records) == []
    assert warm.status(device) == "ACTIVE"
    letters = warm.dead_letters()
    assert [body for body, _ in letters] == bodies
    assert [reason.split(":")[0] for _, reason in letters] == ["unreadable"] * 3
    assert "certificateId is not 64 hexadecimal digits" in letters[1][1]
    assert warm.counted()["UnreadableMessages"] == 3


def test_an_unreadable_message_that_cannot_be_dead_lettered_stays_in_the_queue(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    bad, good = warm.record("not JSON"), warm.record(warm.event(device))
    wire.fail("SendMessage", "AccessDenied", status=403)
    assert warm.batch(bad, good) == [bad["messageId"]]
    assert warm.status(device) == "ACTIVE"
    assert warm.counted()["NotPermitted"] == 1


def counted(record: dict[str, Any], **counts: int) -> dict[str, Any]:
    """A message that the version before sent again, with what it counted about it."""
    attributes = {f"jitr_{name}": {"stringValue": str(number), "dataType": "Number"} for name, number in counts.items()}
    return record | {"messageAttributes": attributes}


def later(record: dict[str, Any]) -> dict[str, Any]:
    """The same message at its next receive."""
    attributes = record["attributes"]
    receives = str(int(attributes["ApproximateReceiveCount"]) + 1)
    return record | {"attributes": attributes | {"ApproximateReceiveCount": receives}}


def test_an_unknown_certificate_is_put_off_twice_then_gone_and_no_item_is_written(
    warm: Cloud, wire: Wire, spans: list[tuple[int, int]]
) -> None:
    record = warm.record(warm.event(NOBODY))
    for _ in range(2):
        assert warm.batch(record) == [record["messageId"]]
        assert spans.pop() == (5, 15)
        warm.now += 5 * SECOND
        record = later(record)
    assert warm.batch(record) == []
    assert wire.of("SendMessage") == []
    assert wire.operations("dynamodb") == ["BatchGetItem"]
    assert warm.items() == {}
    assert warm.dead_letters() == []
    assert warm.counted() == {"PutOff": 2, "Gone": 1}


@pytest.mark.parametrize(("receives", "age", "outcome"), [(99, 9, "PutOff"), (2, 900, "PutOff"), (3, 10, "Gone")])
def test_a_certificate_has_time_and_two_more_receives_to_arrive_everywhere(
    warm: Cloud, receives: int, age: int, outcome: str
) -> None:
    """Put-offs for other causes take the place of a second try, but not of the time."""
    record = warm.record(warm.event(NOBODY), receives=receives, age=age * SECOND)
    assert warm.batch(record) == ([] if outcome == "Gone" else [record["messageId"]])
    assert warm.counted() == {outcome: 1}


def test_what_the_version_before_counted_is_counted_on(warm: Cloud, wire: Wire) -> None:
    missed = counted(warm.record(warm.event(NOBODY), age=HOUR), misses=2)
    failed = counted(warm.record(warm.event(warm.knock())), failures=9)
    wire.fail("AttachPolicy", "ValidationException")
    assert warm.batch(missed, failed) == []
    assert warm.counted()["Gone"] == 1
    assert len(warm.dead_letters()) == 1


@pytest.mark.parametrize(("receives", "letters"), [(9, 0), (10, 1)])
def test_a_failure_that_cannot_be_counted_ends_by_the_messages_receives(
    warm: Cloud, wire: Wire, receives: int, letters: int
) -> None:
    record = warm.record(warm.event(warm.knock()), receives=receives)
    wire.fail("BatchGetItem", "ValidationException")
    wire.fail("UpdateItem", "AccessDeniedException", status=403)
    assert len(warm.batch(record)) == 1 - letters
    assert len(warm.dead_letters()) == letters
    assert warm.counted()["NotPermitted"] == 1


THROTTLED = [
    "BatchGetItem",
    "DescribeCertificate",
    *FIVE[1:],
    "TransactWriteItems",
    "PutEvents",
    "UpdateItem",
]


def updates_until(operation: str, receives: int) -> int:
    """How many calls up to the one that decides: from the fourth receive on, it is noted first that it is begun."""
    return 2 if operation == "UpdateItem" and receives > 3 else 1


@pytest.mark.parametrize("operation", THROTTLED)
@pytest.mark.parametrize(
    ("receives", "least", "most"), [(1, 1, 30), (3, 1, 30), (5, 30, 120), (9, 450, 900), (11, 450, 900)]
)
def test_a_throttled_message_is_put_off_and_never_counted(
    warm: Cloud, wire: Wire, operation: str, receives: int, least: int, most: int
) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device), receives=receives)
    times = updates_until(operation, receives)
    wire.fail(operation, "ThrottlingException", times=times)
    assert warm.batch(record) == [record["messageId"]]
    (put_off,) = wire.of("ChangeMessageVisibility")
    assert (least if operation != "BatchGetItem" else least // 2) <= put_off["VisibilityTimeout"] <= most
    assert warm.dead_letters() == []
    assert warm.counted()["Failures"] == times - 1  # what was noted beside the decision
    # and when the throttle is over, all comes to its end
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
@pytest.mark.parametrize("operation", THROTTLED)
@pytest.mark.parametrize("receives", [12, 500])
def test_what_waits_for_aws_is_left_to_the_sweep_at_the_twelfth_receive(
    warm: Cloud, wire: Wire, operation: str, receives: int, code: str
) -> None:
    device = warm.knock()
    times = updates_until(operation, receives)
    wire.fail(operation, code, times=times)
    assert warm.batch(warm.record(warm.event(device), receives=receives)) == []
    assert wire.of("ChangeMessageVisibility") == wire.of("SendMessage") == []
    assert warm.dead_letters() == []
    metrics = warm.counted()
    assert (metrics["LeftToSweep"], metrics["PutOff"]) == (1, 0)
    assert metrics["NotPermitted"] == (times if code == "AccessDeniedException" else 0)
    (line,) = [line for line in warm.logged() if line["message"] == "message is left to the sweep"]
    assert (line["certificate_id"], line["receives"]) == (device, receives)
    # What an attempt began is due; all else is found as it is.
    began = operation in ("UpdateCertificate", "PutEvents", "UpdateItem")
    assert warm.registry.list_due(Due.LOOK, NOW, most=9) == [device] * began


def test_what_is_put_off_for_anything_else_is_left_to_the_sweep_at_the_hundredth_receive(
    warm: Cloud, wire: Wire
) -> None:
    device = warm.knock()
    for receives, again in ((99, 1), (100, 0)):
        wire.fail("UpdateCertificate", "CertificateStateException", status=406)
        assert len(warm.batch(warm.record(warm.event(device), receives=receives))) == again
    assert warm.counted() == {"PutOff": 1, "LeftToSweep": 1}


def test_what_was_received_five_hundred_times_is_dead_lettered_untouched(warm: Cloud, wire: Wire) -> None:
    assert warm.batch(warm.record(warm.event(warm.knock()), receives=501)) == []
    ((_, reason),) = warm.dead_letters()
    assert reason.startswith("received 501 times without an end")
    assert wire.operations("iot") == []


def test_a_throttled_ca_is_put_off(cloud: Cloud, wire: Wire) -> None:
    record = cloud.record(cloud.event(cloud.knock()))
    wire.fail("DescribeCACertificate", "ThrottlingException")
    assert cloud.batch(record) == [record["messageId"]]
    assert wire.of("ChangeMessageVisibility")


def test_a_certificate_that_was_overtaken_is_put_off(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()), receives=10)
    wire.fail("UpdateCertificate", "CertificateStateException", status=406)
    assert warm.batch(record) == [record["messageId"]]
    assert warm.dead_letters() == []


def test_a_recall_that_is_unavailable_puts_off_the_whole_batch_but_not_what_is_unreadable(
    warm: Cloud, wire: Wire
) -> None:
    records = [warm.record(warm.event(warm.knock())), warm.record(warm.event(NOBODY)), warm.record("x")]
    wire.fail("BatchGetItem", "ThrottlingException")
    assert warm.batch(*records) == [record["messageId"] for record in records[:2]]
    assert wire.operations("iot") == []
    assert len(wire.of("ChangeMessageVisibility")) == 2
    assert len(warm.dead_letters()) == 1


def test_any_other_failure_is_put_off_for_longer_each_time_and_dead_lettered_at_the_tenth(
    warm: Cloud, wire: Wire, spans: list[tuple[int, int]]
) -> None:
    event = warm.event(warm.knock())
    record = warm.record(event, receives=50, age=HOUR)  # put-offs do not count
    for failures in range(1, 10):
        wire.fail("AttachPolicy", "ValidationException")
        assert warm.batch(record) == [record["messageId"]]
        assert wire.of("SendMessage") == []
        assert warm.dead_letters() == []
        assert warm.items()[f"failures#{record['messageId']}"]["failures"] == {"N": str(failures)}
        record = later(record)
    assert spans == [(1, longest) for longest in (10, 20, 40, 80, 160, 320, 640, 900, 900)]
    assert warm.counted() == {"Failures": 9, "PutOff": 9}
    wire.fail("AttachPolicy", "ValidationException")
    assert warm.batch(record) == []
    ((body, reason),) = warm.dead_letters()
    assert json.loads(body) == event
    assert reason.startswith("failed 10 times: ")
    assert "AttachPolicy" in reason


def test_a_count_of_failures_expires_after_the_message(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()))
    wire.fail("AttachPolicy", "ValidationException")
    warm.batch(record)
    item = warm.items()[f"failures#{record['messageId']}"]
    assert item["expires_at"] == {"N": str(round((NOW + 14 * DAY).timestamp()))}


def test_a_message_that_the_version_before_sent_again_keeps_when_it_was_sent(warm: Cloud) -> None:
    again = counted(warm.record(warm.event(warm.knock())), sent_at=round((NOW - HOUR).timestamp() * 1000))
    assert warm.batch(again) == []
    assert warm.counts._by_ca["factory"]["SecondsToActive"] == [3600.0]


@pytest.mark.parametrize("number", ["", "-1", "1e9", "²", "9" * 16, "nine"])
def test_counts_that_are_no_numbers_are_none(warm: Cloud, number: str) -> None:
    attributes = {
        name: {"stringValue": number, "dataType": "Number"} for name in ("jitr_failures", "jitr_misses", "jitr_sent_at")
    }
    message = QueueMessage.from_record(warm.record("x") | {"messageAttributes": attributes})
    assert (message.failures, message.misses, message.sent_at) == (0, 0, NOW - SECOND)


def test_a_recall_that_fails_for_another_reason_counts_against_each_message_but_gives_its_answer(
    warm: Cloud, wire: Wire
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2)]
    fresh, old = (warm.record(warm.event(device)) for device in devices)
    wire.fail("BatchGetItem", "ValidationException")
    assert warm.batch(fresh, counted(old, failures=9)) == [fresh["messageId"]]
    ((_, why),) = warm.dead_letters()
    assert why.startswith("failed 10 times: ")
    assert "BatchGetItem" in why
    assert warm.counted() == {"Failures": 2, "PutOff": 1}
    assert wire.operations("iot") == []


def ended_meanwhile(cloud: Cloud, *records: Mapping[str, Any]) -> None:
    """The function began to process these, and ended."""
    for record in records:
        FailureCount(cloud.dynamodb, TABLE).begin(record["messageId"], NOW)


def test_a_message_that_may_end_the_function_comes_last_and_alone_after_its_neighbours(
    warm: Cloud, wire: Wire, spans: list[tuple[int, int]]
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(5)]
    records = [
        warm.record(warm.event(device), receives=receives)
        for device, receives in zip(devices, (5, 1, 5, 3, 99), strict=True)
    ]
    ended_meanwhile(warm, records[0], records[2], records[4])
    wire.fail("CreateThing", "ThrottlingException")  # for the first one whose turn it is
    again = warm.batch(*records)
    assert again == [records[number]["messageId"] for number in (1, 2, 4)]
    described = [one["certificateId"] for one in wire.of("DescribeCertificate")]
    assert described == [devices[1], devices[3], devices[0]]
    (deleted,) = wire.of("DeleteMessageBatch")
    assert [entry["ReceiptHandle"] for entry in deleted["Entries"]] == [records[3]["receiptHandle"]]
    operations = [operation for _, operation, _ in wire.calls]
    assert "DescribeCertificate" in operations[operations.index("DeleteMessageBatch") :]
    statuses = [warm.status(device) for device in devices]
    assert [number for number, status in enumerate(statuses) if status == "ACTIVE"] == [0, 3]
    assert spans == [(1, 30), (1, 15), (1, 15)]


def test_messages_that_were_received_often_in_line_are_decided_side_by_side(warm: Cloud, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(4)]
    records = [warm.record(warm.event(device), receives=5 + number) for number, device in enumerate(devices)]
    assert warm.batch(*records) == []
    assert [warm.status(device) for device in devices] == ["ACTIVE"] * 4
    assert wire.of("DeleteMessageBatch") == []


@pytest.mark.parametrize("error", ["ThrottlingException", "ValidationException"])
def test_what_comes_again_after_its_processing_ended_is_not_suspected(warm: Cloud, wire: Wire, error: str) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(2)]
    records = [warm.record(warm.event(device), receives=5) for device in devices]
    wire.fail("CreateThing", error, times=2)
    assert warm.batch(*records) == [record["messageId"] for record in records]
    assert FailureCount(warm.dynamodb, TABLE).find_begun(record["messageId"] for record in records) == set()
    assert warm.batch(*records) == []


def test_where_nothing_tells_what_was_begun_all_that_was_received_often_is_suspected(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_begun(_self: object, _ids: object) -> set[str]:
        raise Unavailable("BatchGetItem: InternalServerError")

    monkeypatch.setattr(FailureCount, "find_begun", find_begun)
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(2)]
    records = [warm.record(warm.event(device), receives=5) for device in devices]
    assert warm.batch(*records) == [records[1]["messageId"]]


def test_a_message_that_kills_the_function_at_its_fourth_receive_is_alone_at_the_next(warm: Cloud) -> None:
    killer, *neighbours = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(3))
    describe = warm.aws_iot.describe

    def die(certificate_id: str) -> Any:
        if certificate_id == killer:
            raise KeyboardInterrupt
        return describe(certificate_id)

    warm.aws_iot.describe = die  # type: ignore[method-assign]
    ours, *theirs = [warm.record(warm.event(device), receives=4) for device in (killer, *neighbours)]
    with pytest.raises(KeyboardInterrupt):
        warm.batch(ours, *theirs)
    ours["attributes"]["ApproximateReceiveCount"] = "5"
    with pytest.raises(KeyboardInterrupt):
        warm.batch(ours, *theirs)
    assert [warm.status(device) for device in neighbours] == ["ACTIVE", "ACTIVE"]


def test_a_message_that_kills_the_function_takes_no_neighbour_with_it(warm: Cloud) -> None:
    killer, neighbour = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2))
    describe = warm.aws_iot.describe

    def die(certificate_id: str) -> Any:
        if certificate_id == killer:
            raise KeyboardInterrupt
        return describe(certificate_id)

    warm.aws_iot.describe = die  # type: ignore[method-assign]
    records = [warm.record(warm.event(killer), receives=5), warm.record(warm.event(neighbour))]
    ended_meanwhile(warm, records[0])
    with pytest.raises(KeyboardInterrupt):
        warm.batch(*records)
    assert warm.status(neighbour) == "ACTIVE"
    url = warm.settings.registrations_queue_url
    left = warm.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_neighbours_that_cannot_be_deleted_do_not_fail_the_batch(warm: Cloud, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2)]
    records = [warm.record(warm.event(device), receives=n) for device, n in zip(devices, (1, 5), strict=True)]
    ended_meanwhile(warm, records[1])
    wire.fail("DeleteMessageBatch", "AccessDenied", status=403)
    assert warm.batch(*records) == []
    assert [warm.status(device) for device in devices] == ["ACTIVE", "ACTIVE"]
    assert warm.counted()["NotPermitted"] == 1


def test_a_held_device_that_is_gone_is_not_due_any_more(warm: Cloud) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    warm.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
    warm.iot.delete_certificate(certificateId=device)
    warm.now += 5 * MINUTE
    assert warm.batch(warm.record(warm.event(device), receives=3, age=MINUTE)) == []
    assert warm.counted()["Gone"] == 1
    assert warm.registry.list_due(Due.LOOK, NOW + 9 * DAY, most=9) == []
    assert warm.registry.recall([device])[device].is_held


def test_one_messages_failure_is_not_its_neighbours(warm: Cloud, wire: Wire) -> None:
    first, second = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2))
    failing = warm.record(warm.event(first))
    wire.fail("CreateThing", "ValidationException")
    assert warm.batch(failing, warm.record(warm.event(second))) == [failing["messageId"]]
    assert (warm.status(first), warm.status(second)) == ("PENDING_ACTIVATION", "ACTIVE")


def test_a_message_that_cannot_be_put_off_comes_again_all_the_same(warm: Cloud, wire: Wire) -> None:
    record = warm.record(warm.event(warm.knock()))
    wire.fail("DescribeCertificate", "ThrottlingException")
    wire.fail("ChangeMessageVisibility", "InvalidParameterValue")
    assert warm.batch(record) == [record["messageId"]]
    assert warm.counted() == {"PutOff": 1, "Failures": 1}


def test_what_is_not_reached_before_the_deadline_is_put_off_and_not_begun(
    warm: Cloud, spans: list[tuple[int, int]]
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(3)]
    records: list[Mapping[str, Any]] = [warm.record(warm.event(device)) for device in devices]
    left = iter([True] * 7 + [False] * 2)  # before the message, before each of its five steps, and after the turn
    assert warm.batch(*records, time_is_left=lambda: next(left)) == [record["messageId"] for record in records[1:]]
    assert [warm.status(device) for device in devices] == ["ACTIVE", "PENDING_ACTIVATION", "PENDING_ACTIVATION"]
    assert spans == [(1, 5), (1, 5)]


@pytest.mark.parametrize(
    "said", [{"awsAccountId": "222222222222"}, {"caCertificateId": "f" * 64}], ids=["account", "CA"]
)
def test_an_event_of_another_account_or_ca_is_counted_and_the_certificate_decides(
    warm: Cloud, said: dict[str, str]
) -> None:
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device, **said))) == []
    assert warm.status(device) == "ACTIVE"
    assert warm.counted()["Contradictions"] == 1
    (warning,) = (line for line in warm.logged() if line["level"] == "WARNING")
    assert warning["certificate_id"] == device
    assert next(iter(said.values())) in warning["said"].values()


def test_an_operators_verdict_stands_against_the_activation(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    deny(warm, device)
    warm.batch(warm.record(warm.event(device)))
    # What an earlier attempt may have attached is taken back, once.
    assert wire.operations("iot") == ["DescribeCertificate", "DetachPolicy", "DetachThingPrincipal"]
    assert warm.counted() == {"Held": 1}


@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_device_that_an_operator_held_comes_up_at_the_operators_word(warm: Cloud, word: OperatorAction) -> None:
    device = warm.knock()
    deny(warm, device)
    warm.batch(warm.record(warm.event(device)))
    warm.now += SECOND
    warm.registry.give_verdict(device, said(word, warm.now), seen=recalled(warm, device).verdict)
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"


def test_a_verdict_that_comes_while_we_work_stands_against_the_activation(warm: Cloud) -> None:
    device = warm.knock()
    apply = warm.aws_iot.apply

    def overtaken(step: IotStep) -> None:
        apply(step)
        deny(warm, device)

    warm.aws_iot.apply = overtaken  # type: ignore[method-assign]
    record = warm.record(warm.event(device))
    assert warm.batch(record) == [record["messageId"]]
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.aws_iot.apply = apply  # type: ignore[method-assign]
    assert warm.batch(record) == []
    assert warm.status(device) == "PENDING_ACTIVATION"
    assert warm.counted()["Held"] == 1


def reason(cloud: Cloud, device: str) -> str | None:
    decision = cloud.registry.recall([device])[device].decision
    return decision.reason.name if decision and decision.reason else None


def test_a_second_certificate_of_the_same_name_is_held_and_the_first_stays(warm: Cloud, wire: Wire) -> None:
    first, second = warm.knock(), warm.knock()
    warm.batch(warm.record(warm.event(first)), warm.record(warm.event(second)))
    assert (warm.status(first), warm.status(second)) == ("ACTIVE", "PENDING_ACTIVATION")
    assert reason(warm, second) == "NOT_A_ROTATION"
    assert [one["Entries"][0]["DetailType"] for one in wire.of("PutEvents")] == ["Device Activated", "Device Duplicate"]


@pytest.fixture
def rotating(warm: Cloud) -> tuple[str, str]:
    """A device that is near its certificate's end, and the certificate that follows."""
    first = warm.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    warm.batch(warm.record(warm.event(first)))
    return first, warm.knock()


def test_a_device_changes_its_certificate_and_both_work_until_the_overlap_is_over(
    warm: Cloud, wire: Wire, rotating: tuple[str, str]
) -> None:
    first, second = rotating
    assert warm.batch(warm.record(warm.event(second))) == []
    assert (warm.status(first), warm.status(second)) == ("ACTIVE", "ACTIVE")
    (entry,) = (entry for one in wire.of("PutEvents") for entry in one["Entries"])
    assert entry["DetailType"] == "Device Activated"
    assert json.loads(entry["Detail"])["replaces"] == first
    owner = warm.registry.owner("sensor-0001")
    assert owner
    assert owner.certificate_id == second
    assert warm.registry.recall([first])[first].replaced_by == second
    assert warm.registry.list_due(Due.RETIRE, NOW + 7 * DAY, most=9) == [first]


def test_a_device_cannot_go_back_to_the_certificate_that_it_left(warm: Cloud, rotating: tuple[str, str]) -> None:
    first, second = rotating
    warm.batch(warm.record(warm.event(second)))
    pem, arn = warm.aws_iot.describe(first).pem, warm.aws_iot.describe(first).arn
    warm.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
    warm.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
    warm.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    warm.iot.delete_certificate(certificateId=first, forceDelete=True)
    assert warm.knock(pem) == first
    warm.now += DAY
    warm.batch(warm.record(warm.event(first)))
    assert (warm.status(first), reason(warm, first)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")


def test_the_same_certificate_with_its_signature_written_differently_gets_no_second_chance(warm: Cloud) -> None:
    first = warm.knock()
    warm.batch(warm.record(warm.event(first)))
    second = warm.knock(twin_of(warm.aws_iot.describe(first).pem))
    assert second != first
    warm.batch(warm.record(warm.event(second)))
    assert (warm.status(second), reason(warm, second)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")


def test_a_race_for_a_name_ends_with_one_owner_and_the_other_has_no_policy(warm: Cloud) -> None:
    device = warm.knock()
    arn = warm.aws_iot.describe(device).arn
    apply = warm.aws_iot.apply

    def lose(step: IotStep) -> None:
        apply(step)
        if isinstance(step, AttachPolicy):
            assert warm.registry.adopt("sensor-0001", replace(OWNER, certificate_id=NOBODY))

    warm.aws_iot.apply = lose  # type: ignore[method-assign]
    assert warm.batch(warm.record(warm.event(device))) == []
    assert (warm.status(device), reason(warm, device)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")
    assert warm.iot.list_attached_policies(target=arn)["policies"] == []
    assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == []


def test_the_name_of_a_certificate_that_was_deleted_goes_to_the_next_one(warm: Cloud) -> None:
    warm.registry.adopt("sensor-0001", replace(OWNER, certificate_id=NOBODY))
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert warm.status(device) == "ACTIVE"
    owner = warm.registry.owner("sensor-0001")
    assert owner
    assert owner.certificate_id == device


def test_a_certificate_that_is_deleted_while_it_is_provisioned_leaves_no_record_and_is_not_announced(
    warm: Cloud, wire: Wire
) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply = warm.aws_iot.apply

    def delete(step: IotStep) -> None:
        if isinstance(step, AttachThingPrincipal):
            warm.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
            warm.iot.delete_certificate(certificateId=device)
        apply(step)

    warm.aws_iot.apply = delete  # type: ignore[method-assign]
    assert warm.batch(record) == [record["messageId"]]
    assert wire.of("PutEvents") == []
    assert list(warm.items()) == [f"withdrawal#{device}#sensor-0001"], "the thing is to be deleted"
    assert warm.counted() == {"PutOff": 1}


@pytest.mark.parametrize("steps", range(6))
def test_a_deadline_between_two_calls_puts_the_message_off_and_the_next_delivery_goes_on(
    warm: Cloud, spans: list[tuple[int, int]], steps: int
) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    left = iter([True] * steps + [False])
    assert warm.batch(record, time_is_left=lambda: next(left)) == [record["messageId"]]
    assert warm.status(device) == "PENDING_ACTIVATION"
    assert spans == [(1, 30 if steps else 5)]
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


def test_held_devices_take_what_is_idle_and_new_devices_all_of_theirs(cloud: Cloud, wire: Wire) -> None:
    cloud.turns_per_second = 1
    cloud.under(rules_for(factory(), common_name="nobody|sensor-9999", thing_groups=(), certificate_mode="SNI_ONLY"))
    held = [cloud.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(6)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in held))
    cloud.now += 5 * MINUTE
    wire.forget()
    put_off = cloud.batch(*(cloud.record(cloud.event(device)) for device in held))
    assert len(put_off) == 3  # not forgotten: two turns are idle within a second, and one is guaranteed
    assert wire.operations("iot").count("DescribeCertificate") == 3
    assert cloud.counted()["PutOff"] == 3
    new = [cloud.knock(factory().leaf(named("sensor-9999"))) for _ in range(2)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in new))
    assert wire.operations("iot").count("DescribeCertificate") == 2


class AtTheEnd:
    """Runs actions where they are joined."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []

    def start(self, action: Callable[[], None]) -> None:
        self._actions.append(action)

    def join(self) -> None:
        while self._actions:
            self._actions.pop()()


def test_what_was_begun_ends_before_the_batch_does_even_if_the_schedule_fails(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(2)]
    turns = iter([True])  # the second one is no answer, but StopIteration
    monkeypatch.setattr(warm.turns, "wait_until", lambda _turn: next(turns))
    monkeypatch.setattr(warm.register, "_threads", AtTheEnd)
    with pytest.raises(StopIteration):
        warm.batch(*(warm.record(warm.event(device)) for device in devices))
    assert [warm.status(device) for device in devices] == ["ACTIVE", "PENDING_ACTIVATION"]


def test_a_schedule_that_fails_unexpectedly_puts_messages_off_and_fails_no_batch(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_wanted: object) -> list[float]:
        raise ValueError("something unheard of")

    warm.under(rules_for(factory(), thing_groups=(), certificate_mode="SNI_ONLY"))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    assert warm.registry.recall([device])[device].is_held
    warm.now += 5 * MINUTE
    for name in ("reserve", "line_up"):
        monkeypatch.setattr(warm.turns, name, fail)
    held, new = warm.record(warm.event(device)), warm.record(warm.event(warm.knock(factory().leaf(named("sensor-2")))))
    assert warm.batch(held, new) == [new["messageId"]]  # the other one has its look by the sweep
    assert (warm.counted()["PutOff"], warm.counted()["NotItsTurn"]) == (1, 1)


def test_a_knock_right_behind_the_first_event_is_put_off_once_and_then_takes_its_place(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    registered = round(warm.now.timestamp() * 1000)
    soon = warm.record(
        warm.event(device, certificateRegistrationTimestamp=str(registered), timestamp=registered + 2000)
    )
    calls = len(wire.operations("iot"))
    assert warm.batch(soon) == [soon["messageId"]]
    assert len(wire.operations("iot")) == calls
    soon["attributes"]["ApproximateReceiveCount"] = "2"
    assert warm.batch(soon) == []
    assert warm.status(device) == "ACTIVE"


def test_what_another_environment_decided_while_a_batch_waited_costs_no_iot_call(warm: Cloud, wire: Wire) -> None:
    first, second = warm.knock(), warm.knock(factory().leaf(named("sensor-0002")))
    theirs, ours = warm.record(warm.event(second)), [warm.record(warm.event(device)) for device in (first, second)]

    turn = iter(("another environment's",))

    def time_is_left() -> bool:
        """At the first question, the batch is recalled, and another environment decides on the second device."""
        if next(turn, None):
            warm.register.handle_batch([theirs], lambda: True)
            warm.now += 2 * SECOND
            wire.forget()
        return True

    assert warm.batch(*ours, time_is_left=time_is_left) == []
    assert [call["certificateId"] for call in wire.of("DescribeCertificate")] == [first]
    recalled = [
        call["RequestItems"][TABLE]["Keys"] for call in wire.of("BatchGetItem") if TABLE in call["RequestItems"]
    ]
    assert [keys for keys in recalled if {"id": {"S": f"certificate#{second}"}} in keys] == [
        [{"id": {"S": f"certificate#{second}"}}, {"id": {"S": PACE}}]
    ]
    assert warm.status(first) == warm.status(second) == "ACTIVE"


def test_a_device_that_claimed_and_is_then_refused_for_good_gives_its_name_up(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    assert warm.registry.owner("sensor-0001")
    warm.under(rules_for(factory(), common_name="gateway-[0-9]+", thing_groups=()))
    warm.now += 2 * MINUTE
    assert warm.batch(record) == []
    assert (warm.status(device), reason(warm, device)) == ("INACTIVE", "COMMON_NAME_REFUSED")
    assert warm.registry.owner("sensor-0001") is None


def test_a_rotation_that_is_refused_after_its_claim_gives_the_name_back_to_the_certificate_that_works(
    warm: Cloud, wire: Wire
) -> None:
    first = warm.knock(factory().leaf(begins=NOW - 300 * DAY, ends=NOW + 30 * DAY))
    warm.batch(warm.record(warm.event(first)))
    before = warm.registry.owner("sensor-0001")
    second = warm.knock(factory().leaf(begins=NOW - DAY))
    record = warm.record(warm.event(second))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    warm.enroll(of_device(second, EntryRule.DENY))
    warm.now += 2 * MINUTE
    assert warm.batch(record) == []
    assert (warm.status(second), reason(warm, second)) == ("INACTIVE", "ENTRY_DENIES")
    assert warm.registry.owner("sensor-0001") == before
    warm.now += 8 * DAY
    warm.swept()
    assert warm.status(first) == "ACTIVE", "it has the name again, so nothing ends it"


def test_another_run_that_claims_while_we_refuse_is_not_overruled(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down("UpdateCertificate", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    warm.under(rules_for(factory(), common_name="gateway-[0-9]+", thing_groups=()))
    another = warm.record(warm.event(device))
    assert warm.batch(another) == [another["messageId"]]
    assert warm.status(device) == "PENDING_ACTIVATION"
    assert wire.of("UpdateCertificate") == []


@pytest.mark.parametrize("operation", ["PutEvents", "UpdateItem"])
def test_a_crash_after_active_is_made_good_by_the_next_delivery(warm: Cloud, wire: Wire, operation: str) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down(operation, KeyboardInterrupt())  # as abrupt as a crash
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    announced = wire.of("PutEvents")
    assert warm.status(device) == "ACTIVE"
    assert "decision" not in warm.items()[f"certificate#{device}"]
    assert warm.batch(record) == []
    assert wire.operations("iot") == ["DescribeCertificate"]
    item = warm.items()[f"certificate#{device}"]
    assert item["decision"]["M"]["outcome"]["S"] == "activated"
    assert "intent" not in item
    ids = {json.loads(one["Entries"][0]["Detail"])["id"] for one in [*announced, *wire.of("PutEvents")]}
    assert len(ids) == 1


CRASHES = ["DescribeCertificate", *FIVE[1:], "TransactWriteItems"]


@pytest.mark.parametrize("operation", CRASHES)
def test_a_crash_before_active_is_made_good_by_the_next_delivery(warm: Cloud, wire: Wire, operation: str) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.break_down(operation, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        warm.batch(record)
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.now += 6 * MINUTE  # the visibility timeout: by then, the dead attempt is known to be dead
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


def test_a_message_that_is_handed_out_twice_at_once_is_decided_on_once(warm: Cloud, wire: Wire) -> None:
    """A standard queue delivers at least once, also to two environments in the same second."""
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply, copies = warm.aws_iot.apply, list[dict[str, Any]]()

    def handed_out_again(step: IotStep) -> None:
        if isinstance(step, SetStatus) and not copies:
            copies.append(record)
            assert warm.batch(record) == [record["messageId"]], "the other one is at it"
        apply(step)

    warm.aws_iot.apply = handed_out_again  # type: ignore[method-assign]
    assert warm.batch(record) == []
    assert copies
    assert wire.operations("iot").count("UpdateCertificate") == 1
    assert warm.status(device) == "ACTIVE"


def test_an_attempt_that_failed_after_its_claim_lets_the_next_one_begin_at_once(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.fail("UpdateCertificate", "ThrottlingException")
    assert warm.batch(record) == [record["messageId"]]
    assert warm.batch(record) == []
    assert warm.status(device) == "ACTIVE"


def test_a_status_that_was_set_without_an_answer_is_found_to_be_ours(warm: Cloud) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply = warm.aws_iot.apply

    def unanswered(step: IotStep) -> None:
        apply(step)
        if isinstance(step, SetStatus):
            raise Unavailable("UpdateCertificate: ReadTimeoutError")

    warm.aws_iot.apply = unanswered  # type: ignore[method-assign]
    assert warm.batch(record) == [record["messageId"]]
    assert warm.status(device) == "ACTIVE"
    assert warm.batch(record) == []
    assert warm.counted()["Activated"] == 1


def test_a_certificate_that_was_revoked_while_we_worked_is_recorded_as_revoked(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    wire.fail("UpdateCertificate", "CertificateStateException", status=406)
    warm.batch(record)
    warm.iot.update_certificate(certificateId=device, newStatus="REVOKED")
    assert warm.batch(record) == []
    assert warm.registry.recall([device])[device].was_revoked_or_deactivated


def test_a_held_certificate_that_was_revoked_by_hand_is_recorded_as_revoked(warm: Cloud) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    warm.iot.update_certificate(certificateId=device, newStatus="REVOKED")
    warm.now += DAY
    warm.batch(warm.record(warm.event(device)))
    assert warm.registry.recall([device])[device].was_revoked_or_deactivated


def test_a_record_that_cannot_be_read_does_not_stop_its_neighbours(warm: Cloud) -> None:
    first, second = (warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2))
    item = {"id": {"S": f"certificate#{first}"}, "decision": {"M": {"outcome": {"S": "of a newer version"}}}}
    warm.dynamodb.put_item(TableName=TABLE, Item=item)  # type: ignore[arg-type]
    warm.batch(warm.record(warm.event(first)), warm.record(warm.event(second)))
    assert warm.status(second) == "ACTIVE"


def test_what_an_event_says_can_always_be_logged(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(json.dumps(warm.event(device, awsAccountId="\ud800"))))
    assert warm.log.getvalue().encode()  # as standard output must


def test_an_event_cannot_fill_the_log(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device, awsAccountId="1" * 100_000)))
    assert len(warm.log.getvalue()) < 10_000


def test_a_bare_event_returns_the_outcome(warm: Cloud) -> None:
    device = warm.knock()
    answer = warm.register.handle_event(warm.event(device), always)
    assert answer["outcome"] == "activated"
    assert answer["decision"]["thing_name"] == "sensor-0001"
    assert warm.status(device) == "ACTIVE"
    assert json.loads(json.dumps(answer)) == answer


def test_a_bare_event_that_is_settled_returns_the_decision_that_settled_it(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    decision = warm.register.handle_event(warm.event(device), always)["decision"]
    wire.forget()
    assert warm.register.handle_event(warm.event(device), always) == {"outcome": "duplicate", "decision": decision}
    assert wire.operations("iot") == []


@pytest.mark.parametrize(
    ("document", "error"),
    [({}, UnreadableEvent), ({"certificateId": NOBODY, "caCertificateId": NOBODY}, CertificateUnknown)],
)
def test_a_bare_event_that_cannot_be_decided_fails_for_its_sender(
    warm: Cloud, document: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        warm.register.handle_event(document, always)


# The ids of events/: the CA, and the two devices that are in its files.
FILED = {
    "ca": "8299212993163bce382c500b3506779ec2be72e80e5d3dde916ffa8ecf544c46",
    "first": "3138666fe9b5b00c01af058140cdcee2b0ca2081586800a3929ea83dbaaaa408",
    "second": "3a157c11f02726d88849645dc1c56a755193c827be2f9f170656a3cf22bb0675",
}


def retold(name: str, ids: dict[str, str]) -> dict[str, Any]:
    """A file of events/, with the ids of this test's certificates in the place of the made-up ones."""

    def tell(text: str) -> str:
        for who, filed in FILED.items():
            text = text.replace(filed, ids[who])
        return text

    document: dict[str, Any] = json.loads(tell((EVENTS / name).read_text()))
    if "base64OriginalPayload" in document:
        original = tell(base64.b64decode(document["base64OriginalPayload"]).decode())
        document["base64OriginalPayload"] = base64.b64encode(original.encode()).decode()
    return document


@pytest.fixture
def two(warm: Cloud) -> dict[str, str]:
    """Two devices that knock, and the CA."""
    pems = (factory().leaf(named(f"sensor-000{number}")) for number in (1, 2))
    first, second = (warm.knock(pem) for pem in pems)
    return {"ca": factory().certificate_id, "first": first, "second": second}


@pytest.mark.parametrize("name", ["first-connection.json", "repeated-connection.json", "error-action.json"])
def test_an_event_from_a_file_activates_its_device(warm: Cloud, two: dict[str, str], name: str) -> None:
    assert warm.register.handle_event(retold(name, two), always)["outcome"] == "activated"
    assert (warm.status(two["first"]), warm.status(two["second"])) == ("ACTIVE", "PENDING_ACTIVATION")
    assert "Contradictions" not in warm.counted()


@pytest.mark.parametrize("name", ["first-connection.json", "repeated-connection.json", "error-action.json"])
def test_an_event_from_a_file_activates_its_device_from_the_queue_too(
    warm: Cloud, two: dict[str, str], name: str
) -> None:
    assert warm.batch(warm.record(retold(name, two))) == []
    assert warm.status(two["first"]) == "ACTIVE"


def test_the_batch_from_a_file_activates_both_of_its_devices(warm: Cloud, two: dict[str, str]) -> None:
    assert warm.batch(*retold("sqs-batch.json", two)["Records"]) == []
    assert (warm.status(two["first"]), warm.status(two["second"])) == ("ACTIVE", "ACTIVE")


def test_every_file_of_events_is_replayed_and_described() -> None:
    replayed = {"first-connection.json", "repeated-connection.json", "error-action.json", "sqs-batch.json"}
    files = {path.name for path in EVENTS.glob("*.json")}
    assert files == replayed | {"scheduled.json"}  # which test_sweep.py replays
    readme = (EVENTS / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in files)


@pytest.fixture
def deployed(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The handler itself, with its own clients, as Lambda invokes it; nothing is paced, and the time is the tests'."""
    for name, value in replace(warm.settings, activations_per_second=1e9).to_environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rules.json").write_text(warm.rules.to_json())
    load = Rules.load
    monkeypatch.setattr(Rules, "load", lambda: load(tmp_path))
    monkeypatch.setattr(register, "_now", warm.clock)
    register._built.cache_clear()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    return lambda event: register.handler(event, context)  # type: ignore[arg-type]


Handler = Callable[[dict[str, Any]], dict[str, Any]]


def test_the_handler_decides_a_batch_and_writes_its_metrics_once(
    warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    device = warm.knock(factory().leaf())
    assert deployed({"Records": [warm.record(warm.event(device))]}) == {"batchItemFailures": []}
    assert warm.status(device) == "ACTIVE"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    emf = {line["ca"]: line for line in lines if "_aws" in line}
    assert (emf["factory"]["Activated"], emf["factory"]["fleet"]) == ([1.0], "acme")
    assert [emf["none"][name] for name in CALLS_OF.values()] == [[1.0], [1.0], [1.0]]
    assert len(emf) == len([line for line in lines if "_aws" in line]) == 2
    (line,) = (line for line in lines if "_aws" not in line and line["message"] != "runtime")
    assert (line["message"], line["certificate_id"], line["service"]) == ("device outcome", device, "register")
    assert line["outcome"] == "activated"
    assert "location" not in line


def test_the_handler_decides_a_bare_event(warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    device = warm.knock(factory().leaf())
    assert deployed(warm.event(device))["outcome"] == "activated"
    assert capsys.readouterr().err == ""


def test_the_handler_tells_the_sender_of_a_bare_event_what_is_wrong(deployed: Handler) -> None:
    with pytest.raises(UnreadableEvent):
        deployed({"certificateId": "x"})


def test_a_throttle_that_a_retry_overcame_is_counted_too(
    warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = warm.knock(factory().leaf())
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    decider, _ = register._built()
    throttle: Any = AWSResponse("", 400, HeadersDict({"x-amzn-ErrorType": "ThrottlingException"}), None)  # type: ignore[arg-type]
    throttle._content = b'{"message": "Rate exceeded"}'
    throttles = iter([throttle] * 2)
    events: Any = decider._registration._iot._client.meta.events
    events.register_first("before-send.iot.AttachPolicy", lambda **_: next(throttles, None))
    assert deployed({"Records": [warm.record(warm.event(device))]}) == {"batchItemFailures": []}
    assert warm.status(device) == "ACTIVE"
    emf = {line["ca"]: line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line}
    assert emf["none"]["Throttles"] == [2.0]
    assert emf["factory"]["Activated"] == [1.0]


def test_environments_that_began_as_copies_of_one_do_not_go_on_in_step(deployed: Handler) -> None:
    """As SnapStart makes them: with the same state of the random numbers, from the moment they were put together."""

    def drawn_after_the_first_event() -> float:
        random.seed("of the snapshot")
        with pytest.raises(UnreadableEvent):  # decided without a random number
            deployed({"certificateId": "x"})
        return random.random()  # noqa: S311 -- no secret

    firsts = set()
    for _ in range(2):
        register._seed_random.cache_clear()
        firsts.add(drawn_after_the_first_event())

    assert len(firsts) == 2
    assert drawn_after_the_first_event() == drawn_after_the_first_event(), "once in an environment"


def test_a_second_invocation_puts_nothing_together_again(warm: Cloud, deployed: Handler, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2)]
    for device in devices:
        deployed({"Records": [warm.record(warm.event(device))]})
    assert len(wire.of("DescribeCACertificate")) == 1


def test_nothing_secret_and_no_certificate_is_ever_written(
    warm: Cloud, deployed: Handler, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    pems = [
        factory().leaf(),
        factory().leaf(named("gateway-0001")),
        factory().leaf(named("sensor-0002"), begins=NOW - 2 * DAY, ends=NOW - DAY),
        factory().leaf(named("sensor-0003")),
    ]
    devices = [warm.knock(pem) for pem in pems]
    events = [warm.event(device, certificatePem=pem) for device, pem in zip(devices, pems, strict=True)]
    wire.fail("AttachPolicy", "ValidationException")
    deployed({"Records": [warm.record(body) for body in [*events, f"{pems[0]}", json.dumps({"x": pems[0]})]]})
    with pytest.raises(CertificateUnknown):
        warm.register.handle_event(warm.event(NOBODY), always)
    written = "".join(capsys.readouterr()) + warm.log.getvalue()
    assert '"outcome":"rejected"' in written
    assert "message failed" in written
    assert "message is unreadable" in written
    assert "BEGIN" not in written
    assert "SECRET" not in written.upper()
    assert not any(line in written for pem in pems for line in pem.splitlines() if line)
    assert "BEGIN" not in json.dumps(wire.of("PutEvents"), default=str)


@pytest.mark.parametrize("missing", ["JITR_FLEET", "JITR_MAX_CONCURRENCY"])
def test_a_function_without_settings_does_not_start(warm: Cloud, missing: str) -> None:
    environ = warm.settings.to_environ()
    del environ[missing]
    with pytest.raises(Misconfigured, match=missing):
        register.build(environ)


def test_a_function_without_rules_does_not_start(warm: Cloud) -> None:
    with pytest.raises(Misconfigured, match=r"rules\.json"):
        register.build(warm.settings.to_environ())
