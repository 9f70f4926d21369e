"""EventBridge: what is put stays put, and single entries can fail."""

from simulation import Aws, Fault, SimulatedAccount

ENTRY = {"Source": "jitr", "DetailType": "Device Activated", "Detail": '{"id": "1"}'}


def test_what_was_put_is_kept(aws: Aws, account: SimulatedAccount) -> None:
    aws.clock.advance(3)
    answer = account.client("events").put_events(Entries=[{**ENTRY, "Time": aws.clock.now()}])
    assert answer["FailedEntryCount"] == 0
    (event,) = account.events.put
    assert (event.detail_type, event.detail, event.at) == ("Device Activated", {"id": "1"}, aws.clock.now())


def test_an_entry_can_fail_beside_others(account: SimulatedAccount) -> None:
    account.events.refuses = lambda entry: "ThrottlingException" if entry["DetailType"] == "Device Held" else None
    answer = account.client("events").put_events(
        Entries=[{**ENTRY, "DetailType": "Device Held"}, ENTRY, {**ENTRY, "Detail": "no JSON"}]
    )
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == ["ThrottlingException", None, "MalformedDetail"]
    assert answer["FailedEntryCount"] == 2
    assert len(account.events.put) == 1


def test_a_partial_fault_fails_the_first_entry(aws: Aws, account: SimulatedAccount) -> None:
    aws.fault = lambda _, moment: Fault.PARTIAL if moment == "before" else None
    answer = account.client("events").put_events(Entries=[ENTRY])
    assert answer["FailedEntryCount"] == 1
    assert account.events.put == []
