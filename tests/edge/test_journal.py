"""The sweep's notes: one sweep at a time, and where each part goes on."""

from datetime import timedelta
from typing import Any

import pytest

from jitr.errors import Unavailable
from jitr.store.registry_items import SCHEMA
from jitr.store.sweep_state import LastRun, Pass, SweepState
from tests.support.cases.issuing import DAY, NOW, SECOND
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.examples import HOUR, MILLISECOND

CA = "ef" * 32
OTHER_CA = "0e" * 32


def test_a_lease_is_one_sweeps_until_it_ends(cloud: Cloud) -> None:
    assert cloud.journal.take_lease("one", NOW, seconds=60)
    assert not cloud.journal.take_lease("another", NOW, seconds=60)
    assert not cloud.journal.take_lease("another", NOW + 60 * SECOND, seconds=60)
    assert cloud.journal.take_lease("another", NOW + 60 * SECOND + MILLISECOND, seconds=60)
    assert not cloud.journal.take_lease("one", NOW + 61 * SECOND, seconds=60)


def test_who_has_the_lease_can_take_it_again_for_longer(cloud: Cloud) -> None:
    assert cloud.journal.take_lease("one", NOW, seconds=60)
    assert cloud.journal.take_lease("one", NOW + 30 * SECOND, seconds=60)
    assert not cloud.journal.take_lease("another", NOW + 89 * SECOND, seconds=60)


def test_a_lease_that_is_given_back_is_free(cloud: Cloud) -> None:
    cloud.journal.take_lease("one", NOW, seconds=60)
    cloud.journal.give_back_lease("one")
    assert cloud.items() == {}
    assert cloud.journal.take_lease("another", NOW, seconds=60)


def test_nobody_gives_back_anothers_lease(cloud: Cloud) -> None:
    cloud.journal.give_back_lease("one")
    cloud.journal.take_lease("one", NOW, seconds=60)
    cloud.journal.take_lease("another", NOW + 61 * SECOND, seconds=60)
    cloud.journal.give_back_lease("one")  # which was late
    assert not cloud.journal.take_lease("third", NOW + 61 * SECOND, seconds=60)


def test_a_look_back_begins_at_the_newest_unless_one_was_interrupted(cloud: Cloud) -> None:
    assert cloud.journal.look_back_marker(CA) is None
    cloud.journal.keep_look_back_marker(CA, "from here")
    assert cloud.journal.look_back_marker(CA) == "from here"
    assert cloud.journal.look_back_marker(OTHER_CA) is None
    cloud.journal.keep_look_back_marker(CA, None)
    assert cloud.journal.look_back_marker(CA) is None


PASSES = [
    Pass(),
    Pass(began_at=NOW),
    Pass(began_at=NOW, marker="from here", counts={"ACTIVE": 2}),
    Pass(began_at=NOW, finished_at=NOW + HOUR, counts={"ACTIVE": 100_000, "PENDING_ACTIVATION": 0}),
]


@pytest.mark.parametrize("kept", PASSES, ids=["none", "begun", "going on", "finished"])
def test_a_pass_reads_back(cloud: Cloud, kept: Pass) -> None:
    cloud.journal.keep_pass(CA, kept)
    assert cloud.journal.full_pass(CA) == kept
    assert cloud.journal.full_pass(OTHER_CA) == Pass()


def test_the_look_back_and_the_pass_do_not_overwrite_each_other(cloud: Cloud) -> None:
    cloud.journal.keep_pass(CA, PASSES[3])
    cloud.journal.keep_look_back_marker(CA, "from here")
    assert cloud.journal.full_pass(CA) == PASSES[3]
    cloud.journal.keep_pass(CA, PASSES[2])
    assert cloud.journal.look_back_marker(CA) == "from here"


def test_the_rules_that_were_last_looked_at_are_kept(cloud: Cloud) -> None:
    assert cloud.journal.rules_digest() is None
    for digest in ("one", "another"):
        cloud.journal.keep_rules_digest(digest)
        assert cloud.journal.rules_digest() == digest


def test_the_last_run_that_came_to_its_end_is_kept(cloud: Cloud) -> None:
    assert cloud.journal.last_run() is None
    for failed in ((), ("look back", "retire")):
        run = LastRun(began_at=NOW, finished_at=NOW + timedelta(seconds=2), failed=failed)
        cloud.journal.keep_run(run)
        assert cloud.journal.last_run() == run


def test_every_note_carries_the_schema_version_and_none_is_due(cloud: Cloud) -> None:
    cloud.journal.take_lease("one", NOW, seconds=60)
    cloud.journal.keep_look_back_marker(CA, "from here")
    cloud.journal.keep_rules_digest("one")
    cloud.journal.keep_run(LastRun(began_at=NOW, finished_at=NOW))
    items = cloud.items()
    assert set(items) == {"lease#sweep", f"sweep#{CA}", "sweep#rules", "sweep#run"}
    assert {item["schema"]["N"] for item in items.values()} == {str(SCHEMA)}
    assert not any("due" in item for item in items.values())


def test_a_note_with_fields_of_a_newer_version_can_be_read(cloud: Cloud) -> None:
    cloud.journal.keep_pass(CA, PASSES[3])
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"sweep#{CA}"}},
        UpdateExpression="SET newer = :newer, full_pass.newer = :newer, #schema = :newer",
        ExpressionAttributeNames={"#schema": "schema"},
        ExpressionAttributeValues={":newer": {"N": "2"}},
    )
    assert cloud.journal.full_pass(CA) == PASSES[3]
    assert cloud.journal.look_back_marker(CA) is None


CALLS: dict[str, tuple[str, Any]] = {
    "take": ("UpdateItem", lambda journal: journal.take_lease("one", NOW, seconds=60)),
    "give back": ("DeleteItem", lambda journal: journal.give_back_lease("one")),
    "read": ("GetItem", SweepState.rules_digest),
    "write": ("UpdateItem", lambda journal: journal.keep_rules_digest("one")),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_retry_can_cure_is_unavailable(cloud: Cloud, wire: Wire, name: str) -> None:
    operation, call = CALLS[name]
    wire.fail(operation, "ThrottlingException")
    with pytest.raises(Unavailable, match=operation):
        call(cloud.journal)


def test_notes_are_read_consistently(cloud: Cloud, wire: Wire) -> None:
    cloud.journal.rules_digest()
    assert wire.of("GetItem")[0]["ConsistentRead"] is True


@pytest.mark.parametrize("seconds", [0.5, 60, 900])
def test_a_lease_ends_when_its_function_must_have(cloud: Cloud, seconds: float) -> None:
    cloud.journal.take_lease("one", NOW - DAY, seconds=seconds)
    end = NOW - DAY + timedelta(seconds=seconds)
    assert not cloud.journal.take_lease("another", end, seconds=1)
    assert cloud.journal.take_lease("another", end + MILLISECOND, seconds=1)


def test_a_lease_of_which_no_answer_came_is_given_back(cloud: Cloud, wire: Wire) -> None:
    wire.fail("UpdateItem", "InternalServerError", status=500, times=3)
    with pytest.raises(Unavailable):
        cloud.journal.take_lease("one", NOW, seconds=60)
    (given_back,) = wire.of("DeleteItem")
    assert given_back["ExpressionAttributeValues"] == {":who": {"S": "one"}}
