"""Orders that are no verdicts leave a trail all the same: who, when and why, kept before they are carried out."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from jitrctl import ca_rotation, orders
from jitrctl.brake import Mapping
from jitrctl.errors import Refused
from jitrctl.orders import BRAKE, Given
from jitrctl.stages import Stage
from simulation import Authority
from tests.cli.simulated import DEV, PROD, RULES, Simulated, simulated

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/events/operator-order.v1.schema.json").read_text(encoding="utf-8")
)
BY = "arn:aws:sts::111111111111:assumed-role/operator/ann"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(orders, "now", fleet.aws.clock.now)
    return fleet


def announced(fleet: Simulated, name: str = DEV) -> list[dict[str, Any]]:
    """The details of the orders on an account's bus, each as its schema says."""
    details = [one.detail for one in fleet.place(name).events.put if one.detail_type == orders.ORDER_DETAIL_TYPE]
    for detail in details:
        jsonschema.validate(detail, SCHEMA, format_checker=jsonschema.FormatChecker())
    return details


def kept(fleet: Simulated, subject: Authority | str, name: str = DEV) -> Given | None:
    return orders.last(fleet.stage(name), subject if isinstance(subject, str) else subject.certificate_id)


def test_a_cas_successor_is_registered_on_record(fleet: Simulated) -> None:
    fleet.say("ca", "rotate", "--account", DEV, "--note", "factory ends in March", "--yes")

    given = kept(fleet, fleet.new)
    assert given
    assert (given.order, given.by, given.note) == ("ca rotate", BY, "factory ends in March")
    assert given.steps == ("register it, with auto-registration",)
    (event,) = announced(fleet)
    assert (event["subject"], event["by"], event["note"]) == (fleet.new.certificate_id, BY, given.note)
    assert announced(fleet, PROD) == []


def test_a_cas_end_is_on_record_in_every_account(fleet: Simulated) -> None:
    fleet.say("ca", "retire", "factory", "--delete", "--note", "empty", "--yes")

    for name in (DEV, PROD):
        given = kept(fleet, fleet.old, name)
        assert given
        assert (given.order, given.note) == ("ca retire", "empty")
        assert given.steps == ("disable auto-registration", "set it INACTIVE", "delete it")
        assert [one["order"] for one in announced(fleet, name)] == ["ca retire"]


def test_an_order_that_was_broken_off_is_kept_and_announced_once_it_was_carried_out(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ca_rotation.retire

    def breaks_off(stage: Stage, one: Any, *, delete: bool) -> None:  # noqa: ARG001 -- as it is called
        real(stage, one, delete=False)
        raise Refused("the connection is gone")

    with monkeypatch.context() as broken:
        broken.setattr("jitrctl.commands.ca_rotate.retire", breaks_off)
        fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "first", "--yes", code=1)
    given = kept(fleet, fleet.old)
    assert given
    assert given.note == "first"
    assert announced(fleet) == []

    fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "second", "--yes")

    assert [(one["note"], one["steps"]) for one in announced(fleet)] == [("second", ["delete it"])]


def test_an_order_that_finds_nothing_to_do_leaves_nothing(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--ca", "factory", "--yes")
    assert kept(fleet, fleet.old) is None
    assert announced(fleet) == []


def test_a_device_that_is_brought_in_line_is_on_record_and_device_show_tells(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.write(RULES + 'thing_groups = ["line-2"]\n')
    fleet.deploy()

    fleet.say("device", "reconcile", "sensor-0001", "--account", DEV, "--note", "hall 2", "--yes")

    given = kept(fleet, leaf.certificate_id)
    assert given
    assert given.steps == ("join group line-2",)
    assert [one["order"] for one in announced(fleet)] == ["device reconcile"]
    said = fleet.say("device", "show", "sensor-0001")
    assert f"`device reconcile` by {BY}" in said
    assert ": hall 2" in said
    (document,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert document["last_order"]["note"] == "hall 2"


def test_status_names_who_gave_the_last_order_about_a_ca_that_is_not_active_and_of_no_other(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.brake.mapping", lambda _: None)
    fleet.write(successor_in=())
    fleet.say("ca", "retire", "factory", "--account", DEV, "--note", "stolen key", "--yes")

    said = fleet.say("ca", "status", code=1)

    assert f"dev/eu-central-1 factory: the last order was `ca retire` by {BY}" in said
    assert ": stolen key" in said
    assert "prod/eu-central-1 factory: the last order" not in said
    assert fleet.ask("ca", "status", code=1)[DEV]["cas"][0]["last_order"]["order"] == "ca retire"


def test_who_paused_an_account_and_why_is_told_while_it_is_paused(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = {"state": "Enabled"}
    monkeypatch.setattr("jitrctl.brake.mapping", lambda _: Mapping(uuid="0", state=mapping["state"]))

    def switch(_: Stage, *, on: bool) -> Mapping:
        mapping["state"] = "Enabled" if on else "Disabled"
        return Mapping(uuid="0", state=mapping["state"])

    monkeypatch.setattr("jitrctl.brake.switch", switch)

    fleet.say("ca", "pause", "--account", DEV, "--note", "wrong CRL", "--yes")
    given = kept(fleet, BRAKE)
    assert given
    assert (given.order, given.note) == ("ca pause", "wrong CRL")
    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory")
    assert f"dev/eu-central-1: the last order was `ca pause` by {BY}" in said

    fleet.say("ca", "resume", "--account", DEV)
    assert [one["order"] for one in announced(fleet)] == ["ca pause", "ca resume"]
    assert "last order" not in fleet.say("ca", "status", "--account", DEV, "--ca", "factory")


def test_an_announcement_that_is_not_taken_fails_the_command_and_the_order_stands(fleet: Simulated) -> None:
    fleet.place(DEV).events.refuses = lambda _: "InternalFailure"
    said = fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    assert (
        "`ca retire` was carried out and kept, but EventBridge did not take the announcement (InternalFailure)" in said
    )
    assert kept(fleet, fleet.old) is not None


@pytest.mark.usefixtures("aws")
def test_before_there_is_a_stack_an_order_is_announced_alone(stages: tuple[Stage, ...]) -> None:
    done = []
    with orders.on_record(stages[0], "ca apply", "a" * 64, ["register it"], "first"):
        done.append("it")
    assert done == ["it"]
    assert orders.last(stages[0], "a" * 64) is None
