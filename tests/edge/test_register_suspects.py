"""Messages that may have ended the function, and batches that meet the deadline: no neighbour suffers."""

from collections.abc import Mapping
from typing import Any

import pytest

from jitr.errors import Unavailable
from jitr.store.failure_count import FailureCount
from jitr.store.registry_writes import Due
from tests.support.cases.issuing import DAY, NOW, factory, named, rules_for
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.examples import MINUTE


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


def test_what_is_not_reached_before_the_deadline_is_put_off_and_not_begun(
    warm: Cloud, spans: list[tuple[int, int]]
) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(3)]
    records: list[Mapping[str, Any]] = [warm.record(warm.event(device)) for device in devices]
    left = iter([True] * 7 + [False] * 2)  # before the message, before each of its five steps, and after the turn
    assert warm.batch(*records, time_is_left=lambda: next(left)) == [record["messageId"] for record in records[1:]]
    assert [warm.status(device) for device in devices] == ["ACTIVE", "PENDING_ACTIVATION", "PENDING_ACTIVATION"]
    assert spans == [(1, 5), (1, 5)]


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
