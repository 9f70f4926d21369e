"""Held devices in the sweep: which are sent to be evaluated again, in which order, and how many at a time."""

import json
from dataclasses import replace

import pytest

from jitr.errors import Reason
from jitr.store.registry_writes import Due
from jitr.sweep import due_evaluations, held_walks, runner
from jitr.sweep.runner import SweepResult
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.cloud import Cloud, Wire
from tests.support.edge.sweeping import HELD_FIELDS, has_time_for, record_decision, sent_ids
from tests.support.examples import HOUR, MINUTE, said


@pytest.mark.usefixtures("same_rules", "listing")
def test_looks_at_held_devices_are_sent_at_the_rate_and_the_others_by_later_sweeps(cloud: Cloud, wire: Wire) -> None:
    cloud.under(replace(cloud.rules, every=4))
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    for number in range(75):
        record_decision(
            cloud, at=NOW - DAY + number * SECOND, number=number, **HELD_FIELDS | {"rules_digest": cloud.rules.digest}
        )
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (36, True)
    delays = [entry["DelaySeconds"] for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    assert delays == [number // 9 for number in range(36)]  # nine tenths of ten a second
    everybody = set(sent_ids(wire))
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (36, True)
    everybody |= set(sent_ids(wire))
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (3, False)
    assert len(everybody | set(sent_ids(wire))) == 75


@pytest.mark.usefixtures("same_rules", "listing")
def test_a_held_device_that_is_sent_takes_one_write(cloud: Cloud, wire: Wire) -> None:
    record_decision(cloud, at=NOW - DAY, **HELD_FIELDS)
    cloud.swept()
    written = [one for one in wire.of("UpdateItem") if one["Key"]["id"]["S"].startswith("certificate#")]
    assert len(written) == 1


@pytest.mark.usefixtures("same_rules", "listing")
def test_looks_that_time_ran_out_for_are_left_to_the_next_sweep(cloud: Cloud) -> None:
    for number in range(150):
        record_decision(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD_FIELDS)
    swept = cloud.swept(has_time_for(0))
    assert (swept.sent, swept.more_is_due) == (100, True)
    assert cloud.swept().sent == 50


@pytest.fixture
def same_rules(cloud: Cloud) -> None:
    """Held devices were looked at under these rules."""
    cloud.journal.keep_rules_digest(cloud.rules.digest)


@pytest.mark.usefixtures("same_rules", "listing")
def test_held_devices_that_are_due_are_found_by_index_beyond_the_horizon_too(cloud: Cloud, wire: Wire) -> None:
    due = record_decision(cloud, at=NOW - 30 * DAY, attempts=9, registered_at=NOW - 90 * DAY, **HELD_FIELDS)
    record_decision(cloud, at=NOW, number=2, **HELD_FIELDS)
    record_decision(cloud, at=NOW - DAY, number=3)
    assert cloud.swept() == SweepResult(sent=1)
    ((entry,),) = (one["Entries"] for one in wire.of("SendMessageBatch"))
    body = json.loads(entry["MessageBody"])
    assert (body["certificateId"], body["caCertificateId"]) == (due.certificate_id, due.ca_certificate_id)
    assert body["certificateRegistrationTimestamp"] == str(round(due.registered_at.timestamp() * 1000))
    assert "Scan" not in wire.operations("dynamodb")


@pytest.mark.usefixtures("same_rules", "listing")
def test_held_devices_that_are_due_are_sent_longest_overdue_first(cloud: Cloud, wire: Wire) -> None:
    for number in (2, 1, 3):
        record_decision(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD_FIELDS)
    cloud.swept()
    assert sent_ids(wire) == [f"{number:064x}" for number in (1, 2, 3)]


@pytest.mark.usefixtures("listing")
def test_every_held_device_is_sent_once_when_the_rules_have_changed(cloud: Cloud) -> None:
    for number in range(3):
        record_decision(
            cloud, at=NOW - MINUTE, number=number, attempts=number + 1, **HELD_FIELDS | {"rules_digest": "other"}
        )
    assert cloud.swept().sent == 3
    assert cloud.journal.rules_digest() == cloud.rules.digest
    cloud.now += HOUR - MINUTE
    assert cloud.swept().sent == 0


@pytest.mark.usefixtures("same_rules", "listing")
@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_held_device_is_sent_at_once_after_an_operators_word(cloud: Cloud, wire: Wire, word: OperatorAction) -> None:
    held = record_decision(cloud, at=NOW, **HELD_FIELDS | {"reason": Reason.OPERATOR_VERDICT})
    assert cloud.swept().sent == 0
    cloud.registry.give_verdict(held.certificate_id, said(word, NOW), seen=None)
    assert cloud.swept().sent == 1
    assert sent_ids(wire) == [held.certificate_id]


@pytest.mark.usefixtures("same_rules", "listing")
def test_what_was_decided_since_leaves_the_index(cloud: Cloud) -> None:
    decision = record_decision(cloud, at=NOW - DAY)
    cloud.registry.give_verdict(decision.certificate_id, said(OperatorAction.APPROVED, NOW), seen=None)
    assert cloud.swept().sent == 0
    assert cloud.registry.list_due(Due.LOOK, NOW, most=9) == []


MOST_DUE = 2


def held_again(cloud: Cloud, *numbers: int) -> None:
    """What `register` records of those that were sent."""
    for number in numbers:
        record_decision(cloud, at=cloud.now, number=number, attempts=4, **HELD_FIELDS)


@pytest.mark.usefixtures("same_rules", "listing")
def test_a_held_device_that_was_sent_and_not_looked_at_lets_the_others_have_their_turn(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(5):
        record_decision(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD_FIELDS)
    rounds = []
    for _ in range(3):
        cloud.swept()
        rounds.append(sent_ids(wire))
    assert [len(one) for one in rounds] == [2, 2, 1]
    assert len({one for some in rounds for one in some}) == 5


@pytest.mark.usefixtures("listing")
def test_changed_rules_are_a_reason_to_look_once_however_many_are_held(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(5):
        record_decision(cloud, at=NOW - MINUTE, number=number, attempts=4, **HELD_FIELDS | {"rules_digest": "other"})
    rounds = []
    for _ in range(6):
        cloud.swept()
        rounds.append(sent_ids(wire))
        held_again(cloud, *(int(one, 16) for one in sent_ids(wire)))
        cloud.now += HOUR
    assert sorted(one for some in rounds for one in some) == [f"{number:064x}" for number in range(5)]
    assert cloud.journal.rules_digest() == cloud.rules.digest


@pytest.mark.usefixtures("listing")
def test_the_walk_over_held_devices_goes_on_where_the_last_sweep_stopped_until_its_end(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_walks, "_PAGE", 3)
    monkeypatch.setattr(runner, "PART_OF_LOOKS", 2 / (10 * cloud.rules.every))  # two in a sweep
    for number in range(7):
        record_decision(
            cloud,
            at=NOW - MINUTE + number * SECOND,
            number=number,
            attempts=4,
            **HELD_FIELDS | {"rules_digest": "other"},
        )
    rounds, finished = [], []
    for _ in range(5):
        cloud.swept()
        rounds.append(sent_ids(wire))
        finished.append(cloud.journal.rules_digest() == cloud.rules.digest)
        held_again(cloud, *(int(one, 16) for one in rounds[-1]))
        cloud.now += 15 * MINUTE
    assert sorted(one for some in rounds for one in some) == [f"{number:064x}" for number in range(7)]
    assert [len(some) for some in rounds] == [2, 2, 2, 1, 0]
    assert finished == [False, False, False, True, True]


@pytest.mark.usefixtures("same_rules", "listing")
def test_verdicts_on_devices_that_never_came_do_not_keep_others_from_being_looked_at(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(MOST_DUE):
        cloud.registry.give_verdict(f"{9 - number:064x}", said(OperatorAction.APPROVED, NOW - DAY), seen=None)
    record_decision(cloud, at=NOW - HOUR, **HELD_FIELDS)
    assert sum(cloud.swept().sent for _ in range(3)) == 1
