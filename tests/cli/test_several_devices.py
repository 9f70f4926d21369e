"""One order on several devices: a plan, a question, and a result for each device and stage."""

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.audit import log, record
from jitrctl.device import targets
from jitrctl.run.scope import Scope
from simulation import Leaf
from simulation.faults import Call, Moment, ServiceError
from tests.support.cli.simulated import DEV, NOW, PROD, RULES, Simulated, simulated

BOB = "arn:aws:iam::111111111111:user/bob"
NAMES = ["sensor-0001", "sensor-0002", "sensor-0003"]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(record, "now", fleet.aws.clock.now)
    return fleet


@pytest.fixture
def leaves(fleet: Simulated) -> list[Leaf]:
    """Three ACTIVE devices in dev, unknown in prod."""
    leaves = [fleet.issue(name) for name in NAMES]
    for name, leaf in zip(NAMES, leaves, strict=True):
        assert fleet.knock(DEV, leaf, name) == "accepted"
    return leaves


def actions(fleet: Simulated, name: str, leaves: list[Leaf]) -> list[OperatorAction | None]:
    verdicts = [fleet.verdict(name, leaf) for leaf in leaves]
    return [verdict.action if verdict else None for verdict in verdicts]


def document(fleet: Simulated, *words: str, code: int = 0) -> dict[str, Any]:
    return dict(json.loads("\n".join(fleet.lines(*words, "--json", code=code))))


def test_one_plan_lists_all_and_without_yes_nothing_is_done(fleet: Simulated, leaves: list[Leaf]) -> None:
    said = fleet.say("device", "deny", *NAMES, code=2)

    for name, leaf in zip(NAMES, leaves, strict=True):
        assert f"Certificate {leaf.certificate_id} ({name}): have it denied, in dev/eu-central-1 ACTIVE, {name}" in said
    assert said.count("say --yes") == 1
    assert actions(fleet, DEV, leaves) == [None] * 3


def test_there_is_a_row_an_event_and_a_verdict_for_each_device_and_stage(fleet: Simulated, leaves: list[Leaf]) -> None:
    heading, *rows = fleet.lines("device", "deny", *NAMES, "--note", "lost", "--yes")

    assert heading.split() == ["stage", "device", "certificate", "now", "session"]
    assert [row.split()[:3] for row in rows] == [
        [f"{place}/eu-central-1", name, leaf.certificate_id]
        for place in (DEV, PROD)
        for name, leaf in zip(NAMES, leaves, strict=True)
    ]
    for place in (DEV, PROD):
        assert actions(fleet, place, leaves) == [OperatorAction.DENIED] * 3
        told = [one.detail for one in fleet.place(place).events.put if one.detail.get("verdict")]
        assert [one["certificate_id"] for one in told] == [leaf.certificate_id for leaf in leaves]
        assert {one["note"] for one in told} == {"lost"}
    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["INACTIVE"] * 3


def test_json_has_every_device_in_every_stage(fleet: Simulated, leaves: list[Leaf]) -> None:
    told = document(fleet, "device", "revoke", *NAMES[:2], "--yes")

    assert told["ok"] is True
    dev, prod = told["stages"]
    assert dev["devices"] == [
        {
            "device": name,
            "ok": True,
            "certificate_id": leaf.certificate_id,
            "status": "REVOKED",
            "sessions": [{"client_id": name, "state": "ended", "seconds": 0.0, "came_back": False, "why": None}],
        }
        for name, leaf in zip(NAMES[:2], leaves, strict=False)
    ]
    assert [one["status"] for one in prod["devices"]] == ["not registered here; refused when it comes"] * 2


def test_json_of_one_device_has_its_fields_beside_devices(fleet: Simulated, leaves: list[Leaf]) -> None:
    told = document(fleet, "device", "revoke", NAMES[0], "--account", DEV, "--yes")
    (dev,) = told["stages"]
    assert told["certificate_id"] == leaves[0].certificate_id
    assert (dev["ok"], dev["status"]) == (True, "REVOKED")
    assert [one["device"] for one in dev["devices"]] == [NAMES[0]]


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content), encoding="utf-8"))


def test_standard_input_names_devices_one_a_line(
    fleet: Simulated, leaves: list[Leaf], monkeypatch: pytest.MonkeyPatch
) -> None:
    standard_input(monkeypatch, f"# stolen\n{NAMES[1]}\n\n  {leaves[2].certificate_id}  \n".encode())

    rows = fleet.lines("device", "deny", NAMES[0], "-", "--account", DEV, "--yes")[1:]

    assert len(rows) == 3
    assert actions(fleet, DEV, leaves) == [OperatorAction.DENIED] * 3


def test_standard_input_without_a_device_is_refused(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b"\n")
    assert "standard input names no device" in fleet.say("device", "deny", "-", "--yes", code=2)


def test_no_order_is_on_more_devices_than_anybody_reads(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MOST", 2)
    said = fleet.say("device", "deny", *NAMES, "--yes", code=2)
    assert "these are 3 devices, and one order may be on 2: split the list" in said


def test_a_device_that_is_named_twice_is_one(fleet: Simulated, leaves: list[Leaf]) -> None:
    rows = fleet.lines("device", "deny", NAMES[0], leaves[0].certificate_id, NAMES[0], "--account", DEV, "--yes")[1:]
    assert [row.split()[1] for row in rows] == [leaves[0].certificate_id]


ORDERS = ["approve", "deny --yes", "deactivate --yes", "revoke --yes", "release --yes", "retire --yes", "remove --yes"]


@pytest.mark.parametrize("order", [*ORDERS, "reconcile --yes", "adopt"])
def test_nothing_is_done_with_any_when_some_are_unknown_and_all_of_those_are_named(
    fleet: Simulated, leaves: list[Leaf], order: str
) -> None:
    said = fleet.say("device", *order.split(), NAMES[0], "sensor-8888", "sensor-9999", code=1)

    assert "nothing was done" in said
    assert "sensor-8888" in said
    assert "sensor-9999" in said
    assert actions(fleet, DEV, leaves) == [None] * 3
    assert fleet.status(DEV, leaves[0]) == "ACTIVE"


def test_what_can_mean_no_device_is_named_before_any_account_is_asked(fleet: Simulated) -> None:
    began = len(fleet.aws.calls)
    said = fleet.say("device", "deny", NAMES[0], "a/b", "c d", "--yes", code=2)
    assert "a/b is no file" in said
    assert "c d is no file" in said
    assert len(fleet.aws.calls) == began


def test_a_thing_with_several_certificates_stops_the_order_for_all(fleet: Simulated, leaves: list[Leaf]) -> None:
    newer = fleet.issue(NAMES[1], begins=-0.5)
    fleet.knock(DEV, newer, NAMES[1])
    said = fleet.say("device", "deny", *NAMES, "--yes", code=1)
    assert f"{NAMES[1]} has 2 certificates, say which: " in said
    assert actions(fleet, DEV, leaves) == [None] * 3


def overtaken(fleet: Simulated, leaf: Leaf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague revokes a device once the plan was shown."""

    def confirmed(*_: Any, **__: Any) -> None:
        verdict = OperatorVerdict(action=OperatorAction.REVOKED, by=BOB, at=NOW)
        fleet.stage(DEV).registry.give_verdict(leaf.certificate_id, verdict, seen=None)

    monkeypatch.setattr(Scope, "confirm", confirmed)


def test_one_that_fails_does_not_stop_the_others_and_makes_the_exit_code_1(
    fleet: Simulated, leaves: list[Leaf], monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(fleet, leaves[1], monkeypatch)
    said = fleet.say("device", "deactivate", *NAMES, "--account", DEV, code=1)
    assert f"dev/eu-central-1 {NAMES[1]}: certificate " in said
    assert f"revoked by {BOB}" in said
    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["INACTIVE", "ACTIVE", "INACTIVE"]


def test_json_says_which_one_failed_and_whose_verdict_stands(
    fleet: Simulated, leaves: list[Leaf], monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(fleet, leaves[1], monkeypatch)
    told = document(fleet, "device", "deactivate", *NAMES, "--account", DEV, code=1)
    (dev,) = told["stages"]
    assert (told["ok"], dev["ok"]) == (False, False)
    assert [one["ok"] for one in dev["devices"]] == [True, False, True]
    failed = dev["devices"][1]
    assert failed["device"] == NAMES[1]
    assert "give the order again" in failed["error"]
    assert (failed["verdict"]["word"], failed["verdict"]["by"]) == ("revoked", BOB)


def test_where_aws_permits_nothing_the_rest_of_that_stage_is_not_tried(fleet: Simulated, leaves: list[Leaf]) -> None:
    def denied(call: Call, _: Moment) -> None:
        if call.name == "iot:UpdateCertificate":
            raise ServiceError("AccessDeniedException", "not authorized to perform: iot:UpdateCertificate", status=403)

    fleet.aws.fault = denied
    told = document(fleet, "device", "deny", *NAMES, "--yes", code=1)

    dev, prod = told["stages"]
    assert [one["ok"] for one in dev["devices"]] == [False] * 3
    assert "iot:UpdateCertificate" in dev["devices"][0]["error"]
    assert {one["error"] for one in dev["devices"][1:]} == {
        "not tried, since the order on another device failed before"
    }
    assert [one["ok"] for one in prod["devices"]] == [True] * 3
    assert actions(fleet, DEV, leaves) == [OperatorAction.DENIED, None, None]


def test_several_are_released_and_approved(fleet: Simulated, leaves: list[Leaf]) -> None:
    fleet.say("device", "deny", *NAMES, "--account", DEV, "--yes")
    fleet.say("device", "release", *NAMES, "--revoked", "--account", DEV, "--yes")
    assert actions(fleet, DEV, leaves) == [OperatorAction.RELEASED] * 3

    new = [fleet.issue(f"sensor-001{number}") for number in range(2)]
    fleet.say("device", "approve", *(leaf.certificate_id for leaf in new), "--account", DEV)
    assert actions(fleet, DEV, new) == [OperatorAction.APPROVED] * 2


def test_several_that_are_held_are_approved_by_the_names_they_ask_for_and_the_list_is_read_once(
    fleet: Simulated,
) -> None:
    fleet.write(RULES + 'enrollment = "approve"\n')
    fleet.deploy()
    held = [fleet.issue(name) for name in NAMES]
    for name, leaf in zip(NAMES, held, strict=True):
        fleet.knock(DEV, leaf, name)
    fleet.aws.calls.clear()

    fleet.say("device", "approve", *NAMES, "--account", DEV)

    assert actions(fleet, DEV, held) == [OperatorAction.APPROVED] * 3
    assert list(fleet.aws.list_operations(caller="jitrctl", service="dynamodb")).count("Query") == 1


def test_several_are_brought_in_line_with_an_entry_in_the_log_for_each(fleet: Simulated, leaves: list[Leaf]) -> None:
    fleet.write(RULES + 'thing_groups = ["line-2"]\n')
    fleet.deploy()

    told = document(fleet, "device", "reconcile", *NAMES[:2], "--account", DEV, "--note", "hall 2", "--yes")

    (dev,) = told["stages"]
    assert [(one["thing_name"], one["changes"]) for one in dev["devices"]] == [
        (name, ["join group line-2"]) for name in NAMES[:2]
    ]
    for leaf, note in zip(leaves, ["hall 2", "hall 2", None], strict=True):
        given = log.read_last(fleet.stage(DEV), leaf.certificate_id)
        assert (given.note if given else None) == note


def test_several_are_removed_each_with_what_it_had(fleet: Simulated, leaves: list[Leaf]) -> None:
    told = document(fleet, "device", "remove", *NAMES[:2], "--account", DEV, "--yes")

    (dev,) = told["stages"]
    assert [one["removed"] for one in dev["devices"]] == [
        [f"certificate {leaf.certificate_id}", f"thing {name}", f"name {name}"]
        for name, leaf in zip(NAMES[:2], leaves, strict=False)
    ]
    assert told["things"] == NAMES[:2]
    assert [fleet.status(DEV, leaf) for leaf in leaves] == [None, None, "ACTIVE"]


def test_a_device_that_is_named_by_thing_and_by_id_is_removed_once(fleet: Simulated, leaves: list[Leaf]) -> None:
    told = document(fleet, "device", "remove", NAMES[0], leaves[0].certificate_id, "--account", DEV, "--yes")
    (dev,) = told["stages"]
    assert [one["device"] for one in dev["devices"]] == [NAMES[0]]


def test_several_old_certificates_are_retired(fleet: Simulated) -> None:
    old = [fleet.issue(name, begins=-330) for name in NAMES[:2]]
    for name, leaf in zip(NAMES, old, strict=False):
        for place in (DEV, PROD):
            assert fleet.knock(place, leaf, name) == "accepted"
        assert fleet.knock(DEV, fleet.issue(name), name) == "accepted"

    fleet.say("device", "retire", *(leaf.certificate_id for leaf in old), "--account", PROD, "--yes")

    assert [fleet.status(PROD, leaf) for leaf in old] == ["INACTIVE", "INACTIVE"]
    assert [fleet.status(DEV, leaf) for leaf in old] == ["ACTIVE", "ACTIVE"]


def test_several_things_are_adopted(fleet: Simulated) -> None:
    made, iot = ["old-0001", "old-0002"], fleet.iot(DEV)
    for name in made:
        leaf = fleet.issue(name)
        fleet.place(DEV).connect(leaf, client_id=name)
        iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
        iot.create_thing(thingName=name)
        described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
        iot.attach_thing_principal(thingName=name, principal=described["certificateArn"])

    rows = fleet.lines("device", "adopt", *made)[1:]

    assert [row.split()[:2] for row in rows[:2]] == [["dev/eu-central-1", name] for name in made]
    assert all(fleet.stage(DEV).registry.owner(name) for name in made)
