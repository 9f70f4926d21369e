"""Orders that are no verdicts leave a trail all the same: who, when and why, kept before they are carried out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jitr.rules import CertificateMode
from jitrctl.audit.log import BRAKE
from jitrctl.ca import rotation
from jitrctl.doctor import ca as authority
from jitrctl.doctor.context import DeviceContext
from jitrctl.doctor.finding import LinkFinding
from jitrctl.errors import Refused
from jitrctl.session.stage import Stage
from simulation.faults import Call, Moment
from tests.support.cli.orders import (
    BY,
    announced_orders,
    create_unknown_thing,
    deny_calls,
    fail_service,
    last_order,
    only_audit_log,
    strike,
)
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated


def test_a_cas_successor_is_registered_on_record(fleet: Simulated) -> None:
    fleet.say("ca", "rotate", "--account", DEV, "--note", "factory ends in March", "--yes")

    given = last_order(fleet, fleet.new)
    assert given
    assert (given.order, given.by, given.note) == ("ca rotate", BY, "factory ends in March")
    assert given.steps == ("register it, with auto-registration",)
    (event,) = announced_orders(fleet)
    assert (event["subject"], event["by"], event["note"]) == (fleet.new.certificate_id, BY, given.note)
    assert announced_orders(fleet, PROD) == []


def test_a_cas_end_is_on_record_in_every_account(fleet: Simulated) -> None:
    fleet.say("ca", "retire", "factory", "--delete", "--note", "empty", "--yes")

    for name in (DEV, PROD):
        given = last_order(fleet, fleet.old, name)
        assert given
        assert (given.order, given.note) == ("ca retire", "empty")
        assert given.steps == ("disable auto-registration", "set it INACTIVE", "delete it")
        assert [one["order"] for one in announced_orders(fleet, name)] == ["ca retire"]


def test_a_ca_that_is_revoked_and_one_that_is_lifted_are_on_record(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--account", DEV, "--yes")
    fleet.say("ca", "revoke", "factory", "--account", DEV, "--lift", "--yes")
    assert [one["order"] for one in announced_orders(fleet)] == ["ca revoke", "ca revoke --lift"]


def test_an_order_that_was_broken_off_is_kept_and_announced_as_such_so_that_all_steps_add_up(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rotation.retire

    def breaks_off(stage: Stage, one: Any, *, delete: bool) -> None:  # noqa: ARG001 -- as it is called
        real(stage, one, delete=False)
        raise Refused("the connection is gone")

    with monkeypatch.context() as broken:
        broken.setattr("jitrctl.commands.ca.rotate.retire", breaks_off)
        fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "first", "--yes", code=1)
    given = last_order(fleet, fleet.old)
    assert given
    assert given.note == "first"

    fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "second", "--yes")

    told = [(one["note"], one["steps"], one.get("completed", True)) for one in announced_orders(fleet)]
    assert told == [
        ("first", ["disable auto-registration", "set it INACTIVE", "delete it"], False),
        ("second", ["delete it"], True),
    ]


def test_an_order_that_finds_nothing_to_do_leaves_nothing(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--ca", "factory", "--yes")
    assert last_order(fleet, fleet.old) is None
    assert announced_orders(fleet) == []


def test_a_device_that_is_brought_in_line_is_on_record_and_device_show_tells(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.write(RULES + 'thing_groups = ["line-2"]\n')
    fleet.deploy()

    fleet.say("device", "reconcile", "sensor-0001", "--account", DEV, "--note", "hall 2", "--yes")

    given = last_order(fleet, leaf.certificate_id)
    assert given
    assert given.steps == ("join group line-2",)
    assert [one["order"] for one in announced_orders(fleet)] == ["device reconcile"]
    said = fleet.say("device", "show", "sensor-0001")
    assert f"`device reconcile` by {BY}" in said
    assert ": hall 2" in said
    (document,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert document["last_order"]["note"] == "hall 2"


def test_an_adoption_is_kept_before_it_is_carried_out(fleet: Simulated) -> None:
    create_unknown_thing(fleet)

    with strike(fleet, only_audit_log(deny_calls("dynamodb:UpdateItem"))):
        fleet.say("device", "adopt", "old-0001", "--account", DEV, code=1)
    assert fleet.stage(DEV).registry.owner("old-0001") is None


def test_a_second_adoption_finds_nothing_to_do_and_leaves_nothing(fleet: Simulated) -> None:
    device = create_unknown_thing(fleet)
    fleet.say("device", "adopt", "old-0001", "--account", DEV, "--note", "first")
    fleet.say("device", "adopt", "old-0001", "--account", DEV, "--note", "second")
    given = last_order(fleet, device)
    assert given
    assert given.note == "first"
    assert [one["order"] for one in announced_orders(fleet)] == ["device adopt"]


def test_status_names_who_gave_the_last_order_about_a_ca_that_is_not_as_the_fleet_file_says_and_of_no_other(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: None)
    fleet.write(successor_in=())
    fleet.say("ca", "retire", "factory", "--account", DEV, "--note", "stolen key", "--yes")

    said = fleet.say("ca", "status", code=1)

    assert f"dev/eu-central-1 factory: so ordered: `ca retire` by {BY}" in said
    assert ": stolen key" in said
    assert "prod/eu-central-1 factory: so ordered" not in said
    assert fleet.ask("ca", "status", code=1)[DEV]["cas"][0]["last_order"]["order"] == "ca retire"


def broken_off_halfway(fleet: Simulated) -> None:
    """A retirement in dev that has disabled auto-registration, and may not go on."""
    allowed = iter([True])

    def fault(call: Call, moment: Moment) -> None:
        if call.name == "iot:UpdateCACertificate" and moment == "before" and not next(allowed, False):
            deny_calls(call.name)(call, moment)

    with strike(fleet, fault):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--note", "line closed", "--yes", code=1)


def test_status_names_whose_order_was_broken_off_while_the_ca_is_still_active(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: None)
    broken_off_halfway(fleet)

    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory", code=1)

    assert "SNI_ONLY ACTIVE" in said
    assert f"dev/eu-central-1 factory: so ordered: `ca retire` by {BY} " in said
    assert "Z, not known to be completed: line closed" in said


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (authority.check_auto_registration, f"and sends no event; so ordered: `ca retire` by {BY}"),
        (authority.check_mode, "the fleet file says SNI_ONLY"),
    ],
)
def test_doctor_names_an_order_only_where_that_made_the_ca_what_it_is(
    fleet: Simulated, tmp_path: Path, link: Callable[[DeviceContext], LinkFinding], text: str
) -> None:
    broken_off_halfway(fleet)
    pem, stage = fleet.issue("sensor-0001").pem, fleet.stage(DEV)
    case = DeviceContext(stage=stage, file=tmp_path, certificates=(pem,), client_id=None, now=fleet.aws.clock.now())
    found: Any = case.ca.found
    case.__dict__["ca"] = replace(case.ca, found=replace(found, mode=CertificateMode.DEFAULT))
    assert text in link(case).text
    assert ("so ordered" in link(case).text) is ("so ordered" in text)


@pytest.mark.usefixtures("mapping")
def test_who_paused_an_account_and_why_is_told_while_it_is_paused(fleet: Simulated) -> None:
    fleet.say("ca", "pause", "--account", DEV, "--note", "wrong CRL", "--yes")
    given = last_order(fleet, BRAKE)
    assert given
    assert (given.order, given.note) == ("ca pause", "wrong CRL")
    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory")
    assert f"dev/eu-central-1: so ordered: `ca pause` by {BY}" in said

    fleet.say("ca", "resume", "--account", DEV)
    assert [one["order"] for one in announced_orders(fleet)] == ["ca pause", "ca resume"]
    assert "so ordered" not in fleet.say("ca", "status", "--account", DEV, "--ca", "factory")


@pytest.mark.usefixtures("mapping")
def test_nobody_is_named_for_a_pause_that_could_not_be_kept(fleet: Simulated) -> None:
    fleet.say("ca", "pause", "--account", DEV, "--yes")
    fleet.say("ca", "resume", "--account", DEV)
    with strike(fleet, fail_service("dynamodb")):
        fleet.say("ca", "pause", "--account", DEV, "--yes")

    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory")

    assert "paused" in said
    assert "so ordered" not in said
