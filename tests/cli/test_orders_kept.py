"""The audit log of orders: written before an order is carried out, and read whatever else wrote to it."""

from contextlib import suppress
from typing import Any

import pytest

from jitr.store.dynamodb import deserialize, key, serialize, values
from jitrctl.audit import log, record
from jitrctl.audit.log import BRAKE, MOST_KEPT
from jitrctl.intake import Mapping
from jitrctl.session.access import Access
from jitrctl.session.stage import Stage
from simulation.faults import Call, Died, Fault, Moment
from tests.support.cli.orders import BY, announced_orders, deny_calls, fail_service, last_order, only_audit_log, strike
from tests.support.cli.simulated import DEV, PROD, Simulated


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.TIMEOUT])
def test_the_brake_is_pulled_also_where_the_order_cannot_be_kept_since_dynamodb_is_down(
    fleet: Simulated, mapping: dict[str, str], fault: Fault
) -> None:
    fleet.aws.fault = lambda call, _: fault if call.service == "dynamodb" else None
    said = fleet.say("ca", "pause", "--account", DEV, "--yes")
    assert mapping["state"] == "Disabled"
    assert "dev/eu-central-1: `ca pause` cannot be kept (" in said
    assert [one["order"] for one in announced_orders(fleet)] == ["ca pause"]
    fleet.say("ca", "resume", "--account", DEV)
    assert mapping["state"] == "Enabled"
    fleet.aws.fault = None
    assert last_order(fleet, BRAKE) is None


@pytest.mark.usefixtures("aws")
def test_the_brake_waits_for_dynamodb_for_one_short_attempt_and_other_orders_are_patient(
    stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, client = list[Any](), Access.client

    def kept_in_mind(access: Access, service: str, config: Any = None) -> Any:
        made = client(access, service, config)
        asked.extend([made.meta.config] if service == "dynamodb" else [])
        return made

    monkeypatch.setattr(Access, "client", kept_in_mind)
    for stage, urgent in zip(stages, (True, False), strict=False):
        with record.audited(stage, "ca pause", BRAKE, ["disable the mapping"], "", urgent=urgent):
            pass

    brakes, others = asked
    assert (brakes.connect_timeout, brakes.read_timeout, brakes.retries["total_max_attempts"]) == (2, 3, 1)
    assert (others.connect_timeout, others.read_timeout, others.retries["total_max_attempts"]) == (5, 30, 5)


def test_the_brake_is_not_pulled_by_who_may_not_write_the_order_down(fleet: Simulated, mapping: dict[str, str]) -> None:
    with strike(fleet, deny_calls("dynamodb:UpdateItem")):
        assert "is not allowed" in fleet.say("ca", "pause", "--account", DEV, "--yes", code=1)
    assert mapping["state"] == "Enabled"


def test_no_other_order_is_carried_out_where_it_cannot_be_kept(fleet: Simulated) -> None:
    with strike(fleet, fail_service("dynamodb")):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    (ca,) = fleet.iot(DEV).list_ca_certificates()["certificates"]
    assert ca["status"] == "ACTIVE"


def test_what_is_kept_says_whether_the_order_was_completed(fleet: Simulated) -> None:
    with strike(fleet, deny_calls("iot:UpdateCACertificate")):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    given = last_order(fleet, fleet.old)
    assert given
    assert not given.completed

    fleet.say("ca", "retire", "factory", "--account", DEV, "--yes")

    given = last_order(fleet, fleet.old)
    assert given
    assert given.completed
    assert "completed" not in str(given)


def test_an_order_whose_completion_cannot_be_kept_stands_is_announced_and_is_told(fleet: Simulated) -> None:
    writes = iter([None])  # the order itself; what comes then fails

    def fault(call: Call, moment: Moment) -> Fault | None:
        is_write = call.name == "dynamodb:UpdateItem" and moment == "before"
        return next(writes, Fault.SERVER_ERROR) if is_write else None

    with strike(fleet, only_audit_log(fault)):
        said = fleet.say("ca", "retire", "factory", "--account", DEV, "--yes")

    assert "`ca retire` about CA factory (disable auto-registration; set it INACTIVE) was carried out, and that" in said
    given = last_order(fleet, fleet.old)
    assert given
    assert "not known to be completed" in str(given)
    assert ["completed" in one for one in announced_orders(fleet)] == [False]


def test_of_an_order_that_jitrctl_does_not_survive_there_is_only_what_was_kept_before(fleet: Simulated) -> None:
    """A second Ctrl-C ends the process in the middle of it; nothing of ours runs any more."""
    with suppress(Died), record.audited(fleet.stage(DEV), "ca pause", BRAKE, ["disable the mapping"], "wrong CRL"):
        raise Died
    given = last_order(fleet, BRAKE)
    assert given
    assert (given.note, given.completed) == ("wrong CRL", False)
    assert announced_orders(fleet) == []


def give(stage: Stage, note: str, *, step: str = "disable the mapping") -> None:
    with record.audited(stage, "ca pause", BRAKE, [step], note):
        pass


def notes(fleet: Simulated) -> list[str]:
    """Of all orders about the brake that are kept, the last one last."""
    stage = fleet.stage(DEV)
    answer = stage.dynamodb.get_item(TableName=stage.names.registry_table, Key=key(f"orders#{BRAKE}"))
    return [one["note"] for one in deserialize(answer["Item"])["orders"]]


def test_of_the_orders_about_a_subject_the_latest_are_kept(fleet: Simulated) -> None:
    for number in range(MOST_KEPT + 3):
        give(fleet.stage(DEV), str(number))
    assert notes(fleet) == [str(number) for number in range(3, MOST_KEPT + 3)]


def test_an_order_finds_room_whatever_long_ones_there_were(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    fields = {"order": "ca pause", "steps": ["disable the mapping"], "by": BY, "at": 1, "note": 100_000 * "x"}
    stage.dynamodb.put_item(
        TableName=stage.names.registry_table, Item={**key(f"orders#{BRAKE}"), **serialize({"orders": 3 * [fields]})}
    )
    give(stage, "short")
    assert notes(fleet) == ["short"]
    for letter in "abc":
        give(stage, letter, step=60_000 * letter)
        assert notes(fleet)[-1] == letter
    assert notes(fleet) == ["c"]


@pytest.mark.parametrize(
    "words", [["ca", "retire", "factory", "--yes"], ["device", "revoke", "a" * 64, "--yes"]], ids=" ".join
)
def test_a_note_that_is_too_long_is_refused_before_anything_is_asked(fleet: Simulated, words: list[str]) -> None:
    called: list[str] = []
    fleet.aws.fault = lambda call, _: called.append(call.name)
    said = fleet.say(*words, "--note", "x" * 1_001, code=2)
    assert called == []
    assert "the note is 1,001 characters long, and may have 1,000: say it shorter" in said


def test_a_note_of_the_greatest_length_is_kept(fleet: Simulated) -> None:
    fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", "--note", 1_000 * "ä")
    given = last_order(fleet, fleet.old)
    assert given
    assert given.note == 1_000 * "ä"


def test_the_trail_has_nothing_that_the_functions_look_for(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    give(stage, "first")
    answer = stage.dynamodb.get_item(TableName=stage.names.registry_table, Key=key(f"orders#{BRAKE}"))
    assert set(answer["Item"]) == {"id", "orders", "schema"}  # not `due`, which would put it into the index


def test_an_order_that_another_version_appends_is_read_and_added_to(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    give(stage, "this version")
    fields = {"order": "ca resume", "steps": ["enable the mapping"], "by": BY, "at": 1, "note": "the one before"}
    stage.dynamodb.update_item(
        TableName=stage.names.registry_table,
        Key=key(f"orders#{BRAKE}"),
        UpdateExpression="SET #orders = list_append(#orders, :one)",
        ExpressionAttributeNames={"#orders": "orders"},
        ExpressionAttributeValues=values(one=[fields]),
    )
    give(stage, "this version again")
    assert notes(fleet) == ["this version", "the one before", "this version again"]


def test_of_two_orders_at_the_same_moment_none_is_lost(fleet: Simulated) -> None:
    stage, others = fleet.stage(DEV), ["meanwhile", "and again"]
    give(stage, "first")

    def somebody_else(call: Call, moment: Moment) -> None:
        if call.name == "dynamodb:GetItem" and moment == "after" and others:
            give(stage, others.pop(0))

    with strike(fleet, somebody_else):
        give(stage, "last")

    assert notes(fleet) == ["first", "meanwhile", "and again", "last"]


def test_an_order_of_which_the_answer_was_lost_is_kept_once(fleet: Simulated) -> None:
    give(fleet.stage(DEV), "first")
    lost = [Fault.TIMEOUT]

    def fault(call: Call, moment: Moment) -> Fault | None:
        return lost.pop() if call.name == "dynamodb:UpdateItem" and moment == "after" and lost else None

    with strike(fleet, fault):
        give(fleet.stage(DEV), "last")

    assert lost == []
    assert notes(fleet) == ["first", "last"]


def test_a_trail_that_cannot_be_read_hides_nothing_else(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: Mapping(uuid="0", state="Disabled"))
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.write(successor_in=())
    fleet.say("ca", "retire", "factory", "--account", PROD, "--yes")

    fleet.aws.fault = only_audit_log(deny_calls("dynamodb:GetItem"))
    for one in fleet.ask("ca", "status", code=1).values():
        assert (one["ok"], one["paused"], one["braked"]) == (True, True, None)
        assert one["cas"][0]["last_order"] is None
    (document,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert (document["status"], document["last_order"]) == ("ACTIVE", None)


@pytest.mark.usefixtures("aws")
def test_before_there_is_a_stack_an_order_is_announced_alone(stages: tuple[Stage, ...]) -> None:
    done = []
    with record.audited(stages[0], "ca apply", "a" * 64, ["register it"], "first"):
        done.append("it")
    assert done == ["it"]
    assert log.read_last(stages[0], "a" * 64) is None
